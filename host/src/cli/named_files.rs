//! Refuses a file that is named for two things, where the one would destroy or mix up what the other has there:
//! `--stdin x --stdout x` empties its input, and `--report guest.wasm` its guest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::exit::{Failure, Status};
use super::log;
use super::source::Source;
use crate::launch::{GuestPlan, StreamSpec};
use crate::sys::{self, FileId};

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It is a guest, a file of grants or of a pipeline: nobody writes to it.
    Program,
    /// A guest reads it.
    Input,
    /// Guests write to it from its start, or at its end: one behind the other, as a shell's `>x 2>&1`.
    Output { appends: bool },
    /// pipehost writes something of its own to it.
    Own,
}

impl Use {
    fn spares(self, other: Self) -> bool {
        match (self, other) {
            (Self::Program | Self::Input, Self::Program | Self::Input) => true,
            (Self::Output { .. }, Self::Output { .. }) => true,
            // What is added to a file that is read gets read, too: some want just that.
            (Self::Output { appends }, Self::Input) | (Self::Input, Self::Output { appends }) => {
                appends
            }
            _ => false,
        }
    }
}

/// One file, under whatever name.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Identity {
    There(FileId),
    /// It is not there yet.
    Missing(PathBuf),
}

impl Identity {
    /// Returns nothing for what is no regular file: a device, a FIFO, a folder.
    fn of(path: &Path) -> Option<Self> {
        match sys::file_id(path) {
            Ok(id) => id.map(Self::There),
            Err(_) => {
                let folder = folder_of(path).canonicalize().ok()?;
                Some(Self::Missing(folder.join(path.file_name()?)))
            }
        }
    }
}

/// The regular files that a command line names.
#[derive(Debug, Default)]
pub(crate) struct NamedFiles<'a> {
    named: Vec<(String, &'a Path, Use)>,
}

impl<'a> NamedFiles<'a> {
    /// Adds a file that says what is run.
    pub(crate) fn program(&mut self, option: &str, path: Option<&'a Path>) {
        self.named.extend(path.map(|path| (option.into(), path, Use::Program)));
    }

    /// Adds a file that pipehost itself writes to.
    pub(crate) fn own(&mut self, option: &str, path: Option<&'a Path>) {
        self.named.extend(path.map(|path| (option.into(), path, Use::Own)));
    }

    /// Adds a guest's file, and those that it is granted. `of` says whose they are: ` of STAGE`.
    pub(crate) fn guest(&mut self, of: &str, source: &'a Source, plan: &'a GuestPlan) {
        if let Source::File(path) = source {
            self.program(&format!("the guest{of}"), Some(path));
        }
        for child in &plan.children {
            if !sys::bytes(child.guest.as_os_str()).starts_with(b"@") {
                self.program(&format!("--child{of}"), Some(&child.guest));
            }
        }
        self.streams(of, [&plan.stdin, &plan.stdout, &plan.stderr]);
    }

    /// Adds the files that stdin, stdout and stderr are.
    pub(crate) fn streams(&mut self, of: &str, streams: [&'a Option<StreamSpec>; 3]) {
        let options = ["--stdin", "--stdout", "--stderr"];
        for (option, stream) in options.into_iter().zip(streams) {
            let (path, how) = match stream {
                Some(StreamSpec::File(path)) if option == "--stdin" => (path, Use::Input),
                Some(StreamSpec::File(path)) => (path, Use::Output { appends: false }),
                Some(StreamSpec::Append(path)) => (path, Use::Output { appends: true }),
                _ => continue,
            };
            self.named.push((format!("{option}{of}"), path, how));
        }
    }

    /// Checks that no two of them are one file that cannot be both. Looks at no file where nothing is written.
    pub(crate) fn check(mut self) -> Result<(), Failure> {
        self.own("--log-file", log::path());
        let writes = |how: &Use| matches!(how, Use::Own | Use::Output { .. });
        if !self.named.iter().any(|(_, _, how)| writes(how)) {
            return Ok(());
        }
        // Of what goes together, the one that spares least.
        let mut seen: HashMap<Identity, Vec<&(String, &Path, Use)>> = HashMap::new();
        for it in &self.named {
            let Some(identity) = Identity::of(it.1) else { continue };
            match seen.entry(identity) {
                Entry::Vacant(entry) => {
                    entry.insert(vec![it]);
                }
                Entry::Occupied(mut entry) => {
                    if let Some(other) = entry.get().iter().find(|other| !it.2.spares(other.2)) {
                        return Err(refused(other, it));
                    }
                    if !entry.get().iter().any(|other| other.2 == it.2) {
                        entry.get_mut().push(it);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns how a guest that may write to these folders could write to `file`, and what to do about it, if it could: one of them has the
/// file somewhere in it, as it is named or where its links lead, or a link on the way to it. Who can put another in its place can
/// put another file there.
pub(crate) fn reached<'a>(file: &Path, folders: impl Iterator<Item = &'a Path>) -> Option<String> {
    let mut folders = folders.peekable();
    folders.peek()?;
    let mut places = vec![resolved(file)?];
    // Each part of the path, where it is itself and not where it leads.
    for part in file.ancestors() {
        let Some(name) = part.file_name() else { continue };
        places.extend(resolved(folder_of(part)).map(|folder| folder.join(name)));
    }
    let folder = folders.find(|folder| {
        resolved(folder).is_some_and(|it| places.iter().any(|place| place.starts_with(&it)))
    });
    let folder = folder?.display();
    Some(format!("by dir {folder}; grant {folder},ro, or keep the file in another folder"))
}

/// Returns the path without links, as far as it exists.
pub(crate) fn resolved(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let name = path.file_name()?;
        Some(resolved(folder_of(path))?.join(name))
    })
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

fn refused(one: &(String, &Path, Use), other: &(String, &Path, Use)) -> Failure {
    if one.0 == "--log-file" || other.0 == "--log-file" {
        // The line about it would be the first to get there.
        log::leave_file();
    }
    let (path, one, other) = (other.1.display(), &one.0, &other.0);
    let error = anyhow!(
        "{path} is named twice, as {one} and as {other}, and cannot be both; name another file"
    );
    Failure { status: Status::Usage, error }
}
