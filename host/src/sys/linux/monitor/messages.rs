//! The messages between a process and its monitor: JSON in packets of a socket, with descriptors
//! (SCM_RIGHTS of unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::super::unix::trace::Removed;
use super::super::super::{MOST_OTHERS, NativeEnd, Usage};

/// The longest message in bytes: two names of files as JSON, or the numbers of a command's descriptors.
const MOST_BYTES: usize = 8 * 1024;

/// How many descriptors one message can carry: a command's words, its standard streams, and its others.
const MOST_DESCRIPTORS: usize = 4 + MOST_OTHERS;

/// A request to the monitor. Those before `Remove` have no reply.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Request {
    /// With the folder's descriptor, and that of a named FIFO.
    Announce {
        id: u32,
        kind: TraceKind,
        name: Vec<u8>,
    },
    Forget {
        id: u32,
    },
    Permit {
        id: u32,
        read: bool,
        write: bool,
    },
    Seal,
    /// All permitted FIFOs. With the socket that gets the descriptor.
    Watch,
    Signal {
        pid: i32,
        signal: i32,
    },
    Abandon {
        pid: i32,
    },
    Remove {
        id: u32,
    },
    IsInPlace {
        id: u32,
    },
    Open {
        id: u32,
        write: bool,
    },
    OpenWhenRead {
        id: u32,
    },
    /// With the descriptor to open anew.
    Reopen,
    /// With descriptors: a file with the command's words, its standard streams, and those for
    /// `numbers`.
    Start {
        numbers: Vec<i32>,
    },
    Reap {
        pid: i32,
    },
}

/// The kind of a file on disk, which says what becomes of it in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum TraceKind {
    Unnamed,
    Made,
    Found,
    Lock,
    Place,
}

/// The monitor's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(in super::super) enum Reply {
    Removed(Removed),
    IsInPlace(bool),
    /// With the descriptor.
    Descriptor,
    /// With a pidfd.
    Started {
        pid: i32,
        leads: bool,
    },
    Running,
    Ended(Ended),
    /// The error's number: errno(3).
    Error(i32),
}

impl Reply {
    /// Makes an error of the reply, also if the reply does not fit the request.
    pub(in super::super) fn into_error(self) -> io::Error {
        match self {
            Self::Error(number) => io::Error::from_raw_os_error(number),
            _ => io::ErrorKind::InvalidData.into(),
        }
    }

    pub(in super::super) fn of_error(error: &io::Error) -> Self {
        Self::Error(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// How a command ended, and what it used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in super::super) struct Ended {
    by_signal: bool,
    /// The exit status, or the signal.
    number: u8,
    cpu: Duration,
    memory: u64,
}

impl From<(NativeEnd, Usage)> for Ended {
    fn from((end, Usage { cpu, memory }): (NativeEnd, Usage)) -> Self {
        let (by_signal, number) = match end {
            NativeEnd::Exited(status) => (false, status),
            NativeEnd::Signaled(signal) => (true, signal),
        };
        Self { by_signal, number, cpu, memory }
    }
}

impl From<Ended> for (NativeEnd, Usage) {
    fn from(Ended { by_signal, number, cpu, memory }: Ended) -> Self {
        let end = if by_signal { NativeEnd::Signaled(number) } else { NativeEnd::Exited(number) };
        (end, Usage { cpu, memory })
    }
}

/// Makes a pair of sockets that keep messages apart, close-on-exec.
///
/// # Errors
/// Those of socketpair(2).
pub(in super::super) fn socket_pair(flags: SocketFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = flags | SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Sends a message: sendmsg(2), with these flags. Use DONTWAIT if the other side may not read.
///
/// # Errors
/// Those of sendmsg(2); EMSGSIZE if the message is too long or has too many descriptors.
pub(in super::super) fn send(
    socket: &OwnedFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), Errno> {
    let text = serde_json::to_vec(message).map_err(|_| Errno::INVAL)?;
    if text.len() > MOST_BYTES || fds.len() > MOST_DESCRIPTORS {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::io::retry_on_intr(|| {
        let text = [IoSlice::new(&text)];
        rustix::net::sendmsg(socket, &text, &mut control, SendFlags::NOSIGNAL | flags)
    })?;
    Ok(())
}

/// Receives the next message, and the descriptors that came with it: recvmsg(2). Returns `None` once
/// the other side is closed.
///
/// # Errors
/// Those of recvmsg(2); `InvalidData` for a malformed message. A descriptor for which there is no room
/// is lost.
pub(in super::super) fn receive<T: DeserializeOwned>(
    socket: &OwnedFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = [0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut text)];
        rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&text[..got.bytes]);
    message.map(|message| Some((message, fds))).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Receives the descriptor that [`super::open_when_read`] promised, once the socket is readable.
///
/// # Errors
/// Those of open(2); `BrokenPipe` if the monitor is gone.
pub(in crate::sys) fn receive_descriptor(socket: &OwnedFd) -> io::Result<OwnedFd> {
    match receive::<Reply>(socket)? {
        Some((Reply::Descriptor, fds)) => fds.into_iter().next().ok_or(Errno::MFILE.into()),
        Some((reply, _)) => Err(reply.into_error()),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}
