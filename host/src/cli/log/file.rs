//! The file of `--log-file`. A message is written at once or not at all: a full disk drops messages, and
//! makes nobody wait.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many bytes this process writes to the file. A guest can cause messages without end, and is not
/// to fill the disk. What says why the process ends is not bounded.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A file that messages are appended to. Other processes may do the same.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    written: AtomicU64,
    /// Whether the last message was written in part.
    is_torn: AtomicBool,
    dropped: AtomicU64,
    /// Why the first message was dropped.
    why: OnceLock<String>,
}

impl LogFile {
    /// Makes a log of a regular file that is open for appending.
    pub(super) fn new(path: &Path, file: File) -> Self {
        Self {
            path: path.into(),
            file,
            written: AtomicU64::new(0),
            is_torn: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            why: OnceLock::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a message that ends its line. Takes no lock, as a thread that ends the process may call it
    /// while another hangs in the file system.
    pub(super) fn write(&self, message: &str, always: bool) {
        let before = self.written.fetch_add(message.len() as u64, Ordering::Relaxed);
        if before.saturating_add(message.len() as u64) > MOST_BYTES && !always {
            self.drop_one(|| format!("a process writes at most {} MiB", MOST_BYTES >> 20));
            return;
        }
        let new_line = if self.is_torn.load(Ordering::Relaxed) { "\n" } else { "" };
        let whole = format!("{new_line}{message}");
        loop {
            // In one call, so that messages of several processes are not mixed.
            return match (&self.file).write(whole.as_bytes()) {
                Ok(count) if count == whole.len() => self.is_torn.store(false, Ordering::Relaxed),
                Ok(count) => {
                    self.is_torn.fetch_or(count > 0, Ordering::Relaxed);
                    self.drop_one(|| "it has no more room".into());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.drop_one(|| error.to_string()),
            };
        }
    }

    fn drop_one(&self, why: impl FnOnce() -> String) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.why.get_or_init(why);
    }

    /// Returns, once, a line about the messages that were dropped, if any were.
    pub(super) fn missing(&self) -> Option<String> {
        let count = self.dropped.swap(0, Ordering::Relaxed);
        let (path, why) = (self.path.display(), self.why.get()?);
        (count > 0).then(|| format!("--log-file {path}: {count} messages are missing: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_causes_is_bounded_and_the_end_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log =
            LogFile::new(&path, File::options().append(true).create(true).open(&path).unwrap());
        assert_eq!(log.missing(), None);
        log.write("first\n", false);
        log.written.store(MOST_BYTES - 5, Ordering::Relaxed);
        log.write("second\n", false);
        log.write("third\n", false);
        log.write("last\n", true);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first\nlast\n");
        let missing = log.missing().unwrap();
        assert!(missing.ends_with("log: 2 messages are missing: a process writes at most 64 MiB"));
        assert_eq!(log.missing(), None);
    }

    #[test]
    fn a_line_after_a_torn_one_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "half").unwrap();
        let log = LogFile::new(&path, File::options().append(true).open(&path).unwrap());
        log.is_torn.store(true, Ordering::Relaxed);
        log.write("a\n", false);
        log.write("b\n", false);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "half\na\nb\n");
    }

    /// A file that takes no bytes.
    #[test]
    fn what_cannot_be_written_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "").unwrap();
        let log = LogFile::new(&path, File::open(&path).unwrap());
        log.write("a\n", false);
        log.write("b\n", true);
        assert!(log.missing().unwrap().contains("log: 2 messages are missing: "));
    }
}
