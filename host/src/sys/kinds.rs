//! The kinds of files, and the direction in which bytes go.

/// The direction in which bytes go through an end, seen from this process.
///
/// See the example of [`End`](super::End).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Bytes are read from the end.
    Read,
    /// Bytes are written to the end.
    Write,
}

impl Direction {
    /// Returns what is done with the end, in a word: "reading", "writing".
    pub fn doing(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Write => "writing",
        }
    }
}

/// A file that says something in its user's name.
#[derive(Debug)]
pub(crate) enum OwnFile {
    /// Only this process's user and root can have written these bytes.
    #[cfg_attr(windows, allow(dead_code, reason = "nobody looks there"))]
    Read(Vec<u8>),
    /// Somebody else can have written the file, or nobody knows. It says why, and nothing was read.
    Doubtful(&'static str),
}

/// Who will have an end of a pipe between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A guest, in this process or in one of its own: its reads and writes must not wait.
    Guest,
    /// A native command, which expects them to wait.
    Native,
}

/// The kind of a file.
///
/// A part of an [`Event`](crate::Event): see the example of [`Pipes`](crate::Pipes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file: bytes at offsets.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link, not what it leads to.
    Link,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device that is read and written as a stream, such as a terminal or /dev/null.
    CharacterDevice,
    /// A device with bytes at offsets.
    BlockDevice,
    /// Another kind, or an unknown one.
    Unknown,
}
