//! What a file is, and which way bytes go.

/// Which way bytes go through an end, seen from this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Bytes come out of it.
    Read,
    /// Bytes go into it.
    Write,
}

impl Direction {
    /// What is done with the end, in a word: "reading", "writing".
    pub fn doing(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Write => "writing",
        }
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file with bytes at places.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link, itself.
    Link,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device that is read and written as a stream: a terminal, /dev/null.
    CharacterDevice,
    /// A device with bytes at places.
    BlockDevice,
    /// Something else, or it cannot be told.
    Unknown,
}
