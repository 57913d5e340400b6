//! Every system call about pipes, and what else asks the system for trust: a folder that is private,
//! code out of a file.
//!
//! The layers above see [`End`], [`Fifo`] and the functions here; what a descriptor's flags are,
//! how a FIFO is opened and how a call is kept from blocking is known here alone.

mod code;

#[cfg(unix)]
mod unix;

pub use code::{Code, CodeKey, load as load_code};
#[cfg(unix)]
pub use unix::{
    Direction, End, Fifo, FifoError, FifoOptions, FileInfo, InheritError, PrivateError,
    PrivateFile, PrivateFolder, ReaderWait, anonymous, is_ignored, null_end, open_input_file,
    open_output_file, read_small_file, standard, take_inherited, write_message,
};

#[cfg(not(unix))]
compile_error!(
    "pipehost has no implementation for this system yet: it needs one beside os/unix.rs"
);
