//! The client's end of somebody else's named pipe: opened at once or, while its server is busy or away, on a
//! thread.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::io::{AsHandle as _, OwnedHandle};
use std::sync::{Arc, Weak};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_PIPE_BUSY, GENERIC_READ, GENERIC_WRITE,
};

use super::channel::Channel;
use super::named_pipe::open;
use super::security;

/// How often a client looks for a server that is busy or away.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Which directions a client wants, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Whether the server may be another user's.
    pub(super) insecure: bool,
}

/// Returns a channel that gets the client's end as soon as there is one. Dropping the channel ends the search.
///
/// # Errors
/// Those of the system, if it has too few resources. The channel is told all others.
pub(super) fn dial(name: &OsStr, wanted: Wanted) -> io::Result<Arc<Channel>> {
    let channel = Arc::new(Channel::new(!wanted.reads)?);
    let dialer = Dialer { name: name.into(), wanted, channel: Arc::downgrade(&channel) };
    if !dialer.tries() {
        let named = std::thread::Builder::new().name("pipe-client".into());
        named.stack_size(128 * 1024).spawn(move || {
            while !dialer.tries() {
                std::thread::sleep(LOOK_AGAIN);
            }
        })?;
    }
    Ok(channel)
}

/// Opens the client's end of a pipe for a channel that waits.
struct Dialer {
    name: OsString,
    wanted: Wanted,
    channel: Weak<Channel>,
}

impl Dialer {
    /// Tries once. Returns whether there is nothing left to try.
    fn tries(&self) -> bool {
        let Some(channel) = self.channel.upgrade() else { return true };
        let opened = match self.open() {
            Err(error)
                if [ERROR_PIPE_BUSY, ERROR_FILE_NOT_FOUND]
                    .iter()
                    .any(|it| error.raw_os_error() == Some(it.cast_signed())) =>
            {
                return false;
            }
            Ok(file) if self.wanted.insecure => Ok(file),
            Ok(file) => match security::ownership(file.as_handle()) {
                Ok(found) if found.stranger.is_none() => Ok(file),
                Ok(_) => Err(io::ErrorKind::PermissionDenied.into()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        channel.dialed(opened);
        true
    }

    fn open(&self) -> io::Result<OwnedHandle> {
        let read = if self.wanted.reads { GENERIC_READ } else { 0 };
        if !self.wanted.writes {
            return open(&self.name, read, true);
        }
        // An end that reads learns at once when its peer leaves. Not every server permits it.
        match open(&self.name, GENERIC_READ | GENERIC_WRITE, true) {
            Err(error) if error.raw_os_error() == Some(ERROR_ACCESS_DENIED.cast_signed()) => {
                open(&self.name, GENERIC_WRITE, true)
                    .or_else(|_| open(&self.name, GENERIC_READ, true))
            }
            opened => opened,
        }
    }
}
