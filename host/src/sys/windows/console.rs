//! A console: text in UTF-8 for the guest, and in UTF-16 for Windows, whatever the code page is.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle as _, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::Console::{
    ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, ReadConsoleW, SetConsoleMode, WriteConsoleW,
};

use super::calls::done;

/// The character that ends the input: Ctrl-Z at the start of a line.
const END: u16 = 0x1a;

/// How many characters are written at once. Older consoles refuse more than about 26000.
const AT_ONCE: usize = 8192;

/// Returns whether the handle is a console's.
pub(super) fn is_console(file: &OwnedHandle) -> bool {
    let mut mode = 0;
    // SAFETY: a place for the mode.
    unsafe { GetConsoleMode(file.as_raw_handle(), &raw mut mode) != 0 }
}

/// Returns whether the handle is that of a console which understands the sequences for colours now.
pub(super) fn has_colours(file: &OwnedHandle) -> bool {
    let mut mode = 0;
    // SAFETY: a place for the mode.
    let is_console = unsafe { GetConsoleMode(file.as_raw_handle(), &raw mut mode) != 0 };
    is_console && mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING != 0
}

/// A console that understands the sequences for colours. Dropping this sets it back.
#[derive(Debug)]
pub(super) struct Mode {
    file: OwnedHandle,
    before: u32,
}

impl Mode {
    /// Has the console understand colours. Returns `None` if it does already, or never will.
    pub(super) fn with_colours(file: &OwnedHandle) -> Option<Self> {
        let mut before = 0;
        let file = file.try_clone().ok()?;
        // SAFETY: the handle is open, and there is a place for the mode.
        unsafe {
            done(GetConsoleMode(file.as_raw_handle(), &raw mut before)).ok()?;
            let new = before | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            (new != before && SetConsoleMode(file.as_raw_handle(), new) != 0)
                .then_some(Self { file, before })
        }
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        // SAFETY: the handle is open.
        unsafe { SetConsoleMode(self.file.as_raw_handle(), self.before) };
    }
}

/// Turns UTF-8 in pieces into UTF-16. A character may be cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Decoder(Vec<u8>);

impl Decoder {
    /// Returns the characters that `piece` completes. What is no UTF-8 becomes U+FFFD.
    pub(super) fn decode(&mut self, piece: &[u8]) -> Vec<u16> {
        self.0.extend_from_slice(piece);
        let mut text = String::new();
        let mut rest = &self.0[..];
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text += whole;
                    rest = &[];
                }
                Err(error) => {
                    let (whole, after) = rest.split_at(error.valid_up_to());
                    text += &String::from_utf8_lossy(whole);
                    rest = after;
                    if let Some(bad) = error.error_len() {
                        text.push(char::REPLACEMENT_CHARACTER);
                        rest = &rest[bad..];
                        continue;
                    }
                }
            }
            break;
        }
        self.0 = rest.to_vec();
        text.encode_utf16().collect()
    }
}

/// Writes characters to the console. Waits as long as the user has it stopped.
///
/// # Errors
/// Those of `WriteConsoleW`.
pub(super) fn write(file: &File, text: Vec<u16>) -> io::Result<()> {
    let mut rest = &text[..];
    while !rest.is_empty() {
        let most = rest.len().min(AT_ONCE);
        let mut written = 0;
        // SAFETY: the characters live, and there is a place for their number.
        unsafe {
            done(WriteConsoleW(
                file.as_raw_handle(),
                rest.as_ptr(),
                u32::try_from(most).unwrap_or(0),
                &raw mut written,
                null(),
            ))?;
        }
        match written as usize {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => rest = &rest[n.min(rest.len())..],
        }
    }
    Ok(())
}

/// Reads a line, or its beginning: no more than `most` bytes. Returns nothing at the end of the input.
///
/// # Errors
/// Those of `ReadConsoleW`.
pub(super) fn read(file: &File, most: usize) -> io::Result<Vec<u8>> {
    // A character of UTF-16 has up to three bytes in UTF-8. One more for the rest of a pair.
    let mut text = vec![0_u16; (most / 3).clamp(2, AT_ONCE)];
    let length = u32::try_from(text.len() - 1).unwrap_or(1);
    let mut read = read_text(file, &mut text, length)?;
    if let Some(last) = read.checked_sub(1).map(|at| text[at])
        && (0xd800..0xdc00).contains(&last)
    {
        read += read_text(file, &mut text[read..], 1)?;
    }
    match text.first() {
        Some(&END) if read > 0 => Ok(Vec::new()),
        _ => Ok(String::from_utf16_lossy(&text[..read]).into_bytes()),
    }
}

fn read_text(file: &File, text: &mut [u16], most: u32) -> io::Result<usize> {
    let mut read = 0;
    // SAFETY: there is room for `most` characters, and a place for their number.
    unsafe {
        done(ReadConsoleW(
            file.as_raw_handle(),
            text.as_mut_ptr().cast(),
            most.min(u32::try_from(text.len()).unwrap_or(0)),
            &raw mut read,
            null_mut(),
        ))?;
    }
    Ok((read as usize).min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_cut_come_out_whole() {
        let text = "a\u{e4}\u{20ac}\u{1f600}";
        let mut decoder = Decoder::default();
        let pieces = text.as_bytes().chunks(1).flat_map(|piece| decoder.decode(piece));
        assert_eq!(String::from_utf16(&pieces.collect::<Vec<_>>()).unwrap(), text);
        assert_eq!(decoder.decode(b"\xffb"), [0xfffd, u16::from(b'b')]);
    }
}
