//! A file of grants: what `pipehost run` gives a guest, kept. From the file and the command line to
//! what the run is given.

mod explain;
mod file;
mod own_folder;
mod pin;
mod schema;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::anyhow;

use super::args::{GuestOptions, RunArgs};
use super::exit::{Failure, Status};
use super::launching::file_failure;
use super::shell::shell_quoted;
use super::source::Source;
use crate::launch::GuestPlan;
use crate::sys::{self, OwnFile};
pub(super) use explain::explain;
use file::GrantsFile;
pub(super) use file::parse as parsed;
pub(super) use file::within_reach;
pub(super) use pin::{Pin, hex};
pub use schema::schema;

/// The name of a file of grants that is looked for beside a guest.
const FILE_NAME: &str = "pipehost.toml";

/// What `--grants` takes in place of a file: what is typed, and nothing else.
const NONE: &str = "none";

/// How many bytes a file of grants may have.
const MOST_BYTES: u64 = 1024 * 1024;

/// What a run is given.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) source: Source,
    /// The guest's own arguments: the file's, then the command line's.
    pub(super) args: Vec<String>,
    pub(super) options: GuestOptions,
    /// What the guest's bytes must be.
    pub(super) pin: Option<Pin>,
    file: Option<GrantsFile>,
    /// What was allowed before, with the file that remembers it.
    allowed: Option<(PathBuf, GuestOptions)>,
    /// How many of the arguments were typed.
    typed_args: usize,
    /// Whether nothing but what is typed counts: `--grants none`.
    pub(super) only_typed: bool,
}

impl Granted {
    /// Puts the file of grants, if there is one, and the command line together. A file that is given
    /// may be a FIFO: returns `None` if reading it takes until `deadline`.
    pub(super) fn of(args: &RunArgs, deadline: Option<Instant>) -> Result<Option<Self>, Failure> {
        let named = args.guest.as_deref().map(Source::of).transpose()?;
        let file = match args.grants.grants.as_deref() {
            Some(none) if none == Path::new(NONE) => None,
            Some(path) => match given(path, deadline)? {
                Some(file) => Some(file),
                None => return Ok(None),
            },
            None => named.as_ref().map(beside).transpose()?.flatten(),
        };
        let source = match (named, &file) {
            (Some(named), Some(file)) => file.is_for(named)?,
            (None, Some(GrantsFile { guest: Some(guest), .. })) => guest.clone(),
            (Some(named), None) => named,
            (None, Some(file)) => {
                return Err(
                    file.refused(Status::Usage, "it names no guest; write guest = \"FILE\"")
                );
            }
            (None, None) => {
                let error = anyhow!("GUEST is missing; see `pipehost run --help`");
                return Err(Failure { status: Status::Usage, error });
            }
        };
        let (own, options) = match &file {
            Some(file) => (file.args.clone(), file.options.with_typed(&args.options)),
            None => (Vec::new(), args.options.clone()),
        };
        let only_typed = args.grants.grants.as_deref() == Some(Path::new(NONE));
        let typed_args = args.args.len();
        let args = own.into_iter().chain(args.args.iter().cloned()).collect();
        let pin = file.as_ref().and_then(|file| file.pin.clone());
        Ok(Some(Self { source, args, options, pin, file, allowed: None, typed_args, only_typed }))
    }

    /// Adds what the operator has allowed: now, or before, as the file `remembered` says. What is typed, or in the file of grants, takes
    /// the place of that.
    pub(super) fn allow(&mut self, allowed: GuestOptions, remembered: Option<PathBuf>) {
        let left = allowed.beside(&self.options);
        self.options = allowed.with_typed(&self.options);
        self.allowed = remembered.map(|path| (path, left)).or(self.allowed.take());
    }

    /// Returns how many of the guest's arguments were typed.
    pub(super) fn typed_args(&self) -> usize {
        self.typed_args
    }

    /// Makes the guest's plan, and checks what can be checked without opening anything.
    pub(super) fn plan(&self) -> Result<GuestPlan, Failure> {
        let plan = self.options.plan(&self.source, &self.args);
        plan.check([].into_iter())?;
        if let Some(file) = &self.file {
            file.check_out_of_reach(&plan)?;
        }
        Ok(plan)
    }

    /// Returns the path of the file of grants, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| &*file.path)
    }

    /// Returns the line that says whose grants are used, if nobody has asked for them.
    pub(super) fn notice(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|file| file.is_found)?;
        let path = file.path.display();
        Some(format!("the grants of {path} are used; --grants none runs without them"))
    }
}

/// Reads the file that `--grants` names. Returns `None` if that takes until `deadline`.
fn given(path: &Path, deadline: Option<Instant>) -> Result<Option<GrantsFile>, Failure> {
    match sys::read_file(path, MOST_BYTES, deadline) {
        Ok(bytes) => GrantsFile::of(path, bytes, false).map(Some),
        Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(too_large(path)),
        Err(error) => Err(file_failure("--grants", path, &error)),
    }
}

/// Reads the file beside the guest, if it names that guest.
///
/// # Errors
/// Fails if somebody else may have written it, or if it grants more than what is in its folder.
fn beside(source: &Source) -> Result<Option<GrantsFile>, Failure> {
    let Source::File(guest) = source else { return Ok(None) };
    let Some(name) = guest.file_name() else { return Ok(None) };
    let path = guest.with_file_name(FILE_NAME);
    if name == FILE_NAME {
        let typed = shell_quoted(&guest.display().to_string());
        let error =
            anyhow!("{}: is no guest; type: pipehost run --grants {typed}", guest.display());
        return Err(Failure { status: Status::Usage, error });
    }
    let bytes = match sys::read_own_file(&path, MOST_BYTES) {
        Ok(OwnFile::Read(bytes)) => bytes,
        Ok(OwnFile::Doubtful(why)) => return Err(doubtful(&path, why)),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            return Err(too_large(&path));
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied && path.exists() => {
            return Err(doubtful(&path, "it may not be read"));
        }
        // There is none, or the folder is closed, which reading the guest will tell.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        // It may bound the guest.
        Err(error) => return Err(file_failure(FILE_NAME, &path, &error)),
    };
    let file = GrantsFile::of(&path, bytes, true)?;
    match file.guest.as_ref().is_some_and(|named| file::is_same(named, source)) {
        true => file.kept_to_its_folder().map(Some),
        false => {
            tracing::info!("{} is for another guest, and is not used", path.display());
            Ok(None)
        }
    }
}

fn too_large(path: &Path) -> Failure {
    let path = path.display();
    let error = anyhow!("{path}: is larger than 1 MiB, which no file of grants is");
    Failure { status: Status::Usage, error }
}

fn doubtful(path: &Path, why: &str) -> Failure {
    let (path, typed) = (path.display(), typed(path));
    let error = anyhow!(
        "{path} is beside the guest and is not used, as {why}; type `--grants {typed}` if you trust it, \
         or `--grants none`"
    );
    Failure { status: Status::NotPermitted, error }
}

/// Returns a path as it is typed.
fn typed(path: &Path) -> String {
    shell_quoted(&path.display().to_string())
}
