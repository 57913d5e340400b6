//! What was allowed for good, by the guest's hash: a file in the user's name.

use std::collections::BTreeMap;
use std::env;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::super::args::{GuestOptions, Takes};
use super::super::keys::{self, Keys, Table};
use super::super::shown::values;
use crate::cache::folder_of_user;
use crate::sys::{self, PrivateFolder};

/// The file's name, in pipehost's folder of what is remembered.
const FILE_NAME: &str = "allowed.toml";

/// The lock of those that write the file.
const LOCK: &str = "allowed.lock";

/// How many bytes the file may have.
const MOST_BYTES: u64 = 1024 * 1024;

/// How long one process waits for another that writes the file, which takes some milliseconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the file begins with.
const HEADER: &str = "\
# What you have allowed guests for good. Remove a [[guest]] to be asked again. `grants` has the options of `pipehost run` as
# keys. pipehost writes this file anew with each answer, and keeps no remarks.
";

/// A guest that was allowed something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Of its file, as sha256sum(1) prints it.
    pub(super) sha256: String,
    /// Where it was then.
    pub(super) path: String,
    /// What it imported, sorted.
    pub(super) imports: Vec<String>,
    /// What it wanted.
    pub(super) wants: Vec<String>,
    pub(super) grants: GuestOptions,
}

/// All that was allowed.
#[derive(Debug, Default)]
pub(super) struct Allowed(Vec<Entry>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadFile {
    #[serde(default)]
    guest: Vec<ReadEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadEntry {
    sha256: String,
    path: String,
    #[serde(default)]
    imports: Vec<String>,
    #[serde(default)]
    wants: Vec<String>,
    grants: Spanned<Table>,
}

#[derive(Debug, Serialize)]
struct WrittenFile<'a> {
    guest: Vec<WrittenEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct WrittenEntry<'a> {
    sha256: &'a str,
    path: &'a str,
    imports: &'a [String],
    wants: &'a [String],
    grants: BTreeMap<String, toml::Value>,
}

/// Returns the file's path: `$XDG_STATE_HOME/pipehost/allowed.toml`, or `~/.local/state/pipehost/allowed.toml`, on macOS and Windows
/// in their own places. `None` if the environment names no folder.
pub(super) fn path() -> Option<PathBuf> {
    let folder = folder_of_user(env::var_os("XDG_STATE_HOME"), env::var_os(sys::HOME), sys::STATE);
    Some(folder?.join(FILE_NAME))
}

impl Allowed {
    /// Reads the user's file. It is empty if there is none. Blocks for the file system only.
    ///
    /// # Errors
    /// Says why the file is not used: others may have written it, or it is not what pipehost writes.
    pub(super) fn of_user() -> Result<Self, String> {
        let Some(path) = path() else { return Ok(Self::default()) };
        match (path.parent(), path.symlink_metadata()) {
            (Some(folder), Ok(_)) => {
                let folder = PrivateFolder::open(folder).map_err(|error| error.to_string())?;
                Self::within(&folder)
            }
            _ => Ok(Self::default()),
        }
    }

    /// Reads the file in `folder`.
    fn within(folder: &PrivateFolder) -> Result<Self, String> {
        let path = folder.path().join(FILE_NAME);
        let shown = path.display();
        let Some(file) = folder.file(FILE_NAME) else {
            return match path.symlink_metadata() {
                Ok(_) => Err(format!(
                    "{shown}: is to be a regular file of yours that others cannot use, mode 0600"
                )),
                Err(_) => Ok(Self::default()),
            };
        };
        let mut bytes = Vec::new();
        file.file()
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{shown}: {error}"))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(format!("{shown}: is larger than 1 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("{shown}: is no text"))?;
        Self::parse(&text, folder.path()).map_err(|why| format!("{shown}: {why}"))
    }

    /// Reads `text`. Relative paths in it start from `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let file: ReadFile = toml::from_str(text).map_err(|error| {
            keys::refused(&error, text, "write [[guest]] and below it its keys")
        })?;
        let entry = |entry: ReadEntry| {
            let ReadEntry { sha256, path, imports, wants, grants } = entry;
            let grants = Keys::of(grants, text).options(folder, &[])?;
            Ok(Entry { sha256, path, imports, wants, grants })
        };
        file.guest.into_iter().map(entry).collect::<Result<_, String>>().map(Self)
    }

    fn text(&self) -> Result<String, String> {
        let guest = self.0.iter().map(Entry::written).collect();
        let text = toml::to_string(&WrittenFile { guest }).map_err(|error| error.to_string())?;
        Ok(format!("{HEADER}\n{text}"))
    }

    /// Returns what a guest of this hash was allowed.
    pub(super) fn of(&self, sha256: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.sha256.eq_ignore_ascii_case(sha256))
    }

    /// Adds `entry`, in the place of those of the same guest, and of the same path.
    fn put(&mut self, entry: Entry) {
        self.0.retain(|known| {
            !known.sha256.eq_ignore_ascii_case(&entry.sha256) && known.path != entry.path
        });
        self.0.push(entry);
    }

    /// Returns what the guest at this path was allowed, which may have been another then.
    pub(super) fn at(&self, path: &str) -> Option<&Entry> {
        self.0.iter().rev().find(|entry| entry.path == path)
    }
}

/// Reads `text` as the user's file, and keeps nothing of it.
///
/// # Errors
/// Says what is wrong, with the line.
pub(in crate::cli) fn parsed(text: &str) -> Result<(), String> {
    Allowed::parse(text, Path::new(".")).map(|_| ())
}

/// Adds `entry` to the user's file. It takes the place of those of the same guest, and of the same path. Waits for other processes that
/// do the same, for some seconds at most.
///
/// # Errors
/// Says why it cannot be remembered. The file is as it was then.
pub(super) fn remember(entry: Entry) -> Result<PathBuf, String> {
    let Some(path) = path() else {
        return Err(format!(
            "there is no place; set XDG_STATE_HOME or {} to a folder's whole path",
            sys::HOME
        ));
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = PrivateFolder::open(folder).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let began = Instant::now();
    let _lock = loop {
        match folder.try_lock(LOCK).map_err(failed)? {
            Some(lock) => break lock,
            None if began.elapsed() > LONGEST_WAIT => {
                return Err(format!("{}: another process writes it", path.display()));
            }
            None => std::thread::sleep(LOOK_AGAIN),
        }
    };
    let mut all = Allowed::within(&folder)?;
    all.put(entry);
    let text = all.text()?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!(
            "{}: would be larger than 1 MiB; remove guests that you do not use",
            path.display()
        ));
    }
    folder.put(FILE_NAME, &[text.as_bytes()]).map_err(failed)?;
    Ok(path)
}

impl Entry {
    fn written(&self) -> WrittenEntry<'_> {
        let mut grants = BTreeMap::new();
        for known in GuestOptions::known() {
            let mut values = values(&self.grants, &known.name).unwrap_or_default();
            let value = match (known.takes, values.len()) {
                (_, 0) => continue,
                (Takes::Nothing, _) => true.into(),
                (Takes::List, _) => values.into(),
                _ => values.remove(0).into(),
            };
            grants.insert(known.key().to_owned(), value);
        }
        let Self { sha256, path, imports, wants, .. } = self;
        WrittenEntry { sha256, path, imports, wants, grants }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(options: &[&str]) -> Entry {
        let words: Vec<_> = options.iter().map(Into::into).collect();
        Entry {
            sha256: "ab".repeat(32),
            path: "/a\"b\n\u{7f}.wasm".into(),
            imports: vec!["wasi:cli/run@0.2.0".into()],
            wants: vec!["env LANG".into()],
            grants: GuestOptions::of(&words).unwrap(),
        }
    }

    fn parse(text: &str) -> Result<Allowed, String> {
        Allowed::parse(text, Path::new("/folder"))
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn what_is_written_reads_the_same() {
        let one = entry(&[
            "--fifo=in=/a,,b,r",
            "--dir=/x y::/d,ro",
            "--env=LANG=C",
            "--env=A=\u{7f}\n'\"",
        ]);
        let two = entry(&["--child=a=@cat", "--max-memory=1M", "--raw-terminal", "--exec=s=sort"]);
        let all = Allowed(vec![one.clone(), two]);
        let text = all.text().unwrap();
        let read = parse(&text).unwrap();
        assert_eq!(read.0, all.0, "{text}");
        assert_eq!(read.of(&"AB".repeat(32)), Some(&one));
        assert_eq!(read.of("ab"), None);
        assert_eq!(read.at("/a"), None);
        assert_eq!(parse("").unwrap().0, []);
        assert_eq!(parse(&Allowed::default().text().unwrap()).unwrap().0, []);
    }

    #[test]
    fn one_guest_is_remembered_once() {
        let old = Entry { sha256: "AB".repeat(32), path: "/old".into(), ..entry(&[]) };
        let other = Entry { sha256: "cd".repeat(32), path: "/other".into(), ..entry(&[]) };
        let mut all = Allowed(vec![old, other.clone()]);
        all.put(entry(&["--env=A=b"]));
        assert_eq!(all.0, [other.clone(), entry(&["--env=A=b"])]);
        let moved = Entry { sha256: "ef".repeat(32), ..entry(&[]) };
        all.put(moved.clone());
        assert_eq!(all.0, [other, moved]);
    }

    #[test]
    fn mistakes_are_named_with_their_lines() {
        for (text, part) in [
            ("guest = 1", "line 1: write [[guest]]"),
            ("x = 1", "line 1: unknown key `x`"),
            ("[[guest]]\nsha256 = \"a\"\npath = \"b\"", "line 1: missing field `grants`"),
            ("[[guest]]\nsha256 = 1", "line 2"),
            (
                "[[guest]]\nsha256 = \"a\"\npath = \"b\"\n[guest.grants]\nfifoo = 1",
                "line 5: unknown key `fifoo`",
            ),
            (
                "[[guest]]\nsha256 = \"a\"\npath = \"b\"\n[guest.grants]\nenv = [\"A\"]",
                "line 5: env: write NAME",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in any::<String>()) {
            if let Err(error) = parse(&text) {
                prop_assert!(error.starts_with("line "), "{}", error);
            }
        }

        #[test]
        fn any_path_reads_the_same(path in any::<String>(), import in any::<String>()) {
            let entry = Entry { path, imports: vec![import], ..entry(&[]) };
            let read = parse(&Allowed(vec![entry.clone()]).text().unwrap()).unwrap();
            prop_assert_eq!(&read.0, &[entry]);
        }
    }
}
