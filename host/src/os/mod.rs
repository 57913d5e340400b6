//! Every system call about pipes.
//!
//! The layers above see [`End`], [`Fifo`] and the functions here; what a descriptor's flags are,
//! how a FIFO is opened and how a call is kept from blocking is known here alone.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use unix::{
    Direction, End, Fifo, FifoError, FifoOptions, InheritError, ReaderWait, anonymous, is_ignored,
    null_end, open_input_file, open_output_file, standard, take_inherited, write_message,
};

#[cfg(not(unix))]
compile_error!(
    "pipehost has no implementation for this system yet: it needs one beside os/unix.rs"
);
