//! The words of a native command, on their way to the monitor.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt;

use super::super::super::NativeCommand;
use super::super::memory_file;

/// The most bytes that a command's words have: what execve(2) takes, two million bytes on Linux.
const MOST_BYTES: u64 = 2 << 20;

/// Writes the words of a command to a file in memory: they can be longer than a message.
pub(super) fn write_words(command: &NativeCommand) -> io::Result<File> {
    let mut text = Vec::new();
    for word in std::iter::once(&command.program).chain(&command.args) {
        if word.as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a word with a NUL in it"));
        }
        text.extend_from_slice(word.as_bytes());
        text.push(0);
    }
    let mut file = File::from(memory_file("command", text.len() as u64)?);
    file.write_all(&text)?;
    file.rewind()?;
    Ok(file)
}

/// Reads the words that [`write_words`] wrote.
pub(in super::super) fn read_words(file: File) -> io::Result<Vec<OsString>> {
    // Reading any other kind of file could block the monitor.
    if !file.metadata()?.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut text = Vec::new();
    if file.take(MOST_BYTES + 1).read_to_end(&mut text)? as u64 > MOST_BYTES {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    // No word follows the last NUL.
    text.pop();
    Ok(text.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect())
}
