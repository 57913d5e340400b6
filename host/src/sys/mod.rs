//! Every system call about pipes, and what else asks the system for trust: a folder that is private,
//! code out of a file.
//!
//! The layers above see [`End`], [`Fifo`] and the functions here; what a descriptor's flags are,
//! how a FIFO is opened and how a call is kept from blocking is known here alone.

mod code;

#[cfg(unix)]
mod unix;

pub use code::{Code, CodeKey, load as load_code};
#[cfg(all(test, unix))]
pub(crate) use unix::breakout;
#[cfg(unix)]
pub use unix::{
    Allocator, Direction, End, Fifo, FifoError, FifoOptions, FifoWatch, FileInfo, Folder,
    FolderLock, Growth, InheritError, Joint, MOST_OTHERS, Missing, Native, NativeCommand,
    NativeEnd, PIPE_BUF, Powers, PrivateError, PrivateFile, PrivateFolder, ReaderWait, Usage,
    address_space_limit, anonymous, another_writer, append, bytes, check_direction, confine,
    demand_standard_output, descriptor_number, descriptors_left, end_helpers, file_size_limit,
    find_command, ignore_file_size_signal, inherited_number, is_ignored, is_no_memory, joint,
    kill_natives, memory_file, null, open_input_file, open_output_file, prepare_messages, read_at,
    read_file, read_small_file, retire_standard_input_and_output, standard, start_broker,
    start_sweeper, take_given, take_inherited, take_inherited_stream, text, thread_cpu_time,
    unblock_signals_of_ours, write_at, write_message,
};

#[cfg(not(unix))]
compile_error!(
    "pipehost has no implementation for this system yet: it needs one beside os/unix.rs"
);
