//! The seam to the system: all that differs between platforms, and all `unsafe` code.
//!
//! The modules here say what a platform provides, in types that all share; `linux` provides it, and `stub`, which
//! compiles anywhere, refuses it as unsupported. The layers above see [`End`], [`Fifo`] and the functions here. What
//! a descriptor's flags are, how a FIFO is opened and how a call is kept from blocking is known below.

mod code;
mod errors;
mod fifo;
mod inherit;
mod kinds;
mod native;
mod private;
mod stop;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod stub;
#[cfg(not(target_os = "linux"))]
use stub as platform;

pub use code::{Code, CodeKey, load as load_code};
pub use errors::SystemError;
pub use fifo::{FifoError, FifoOptions, IsAFifo};
pub use inherit::InheritError;
pub use kinds::{Direction, FileKind};
pub use native::{MOST_OTHERS, NativeCommand, NativeEnd, Usage, descriptor_number};
#[cfg(all(test, target_os = "linux"))]
pub(crate) use platform::breakout;
pub use platform::{
    Allocator, CapacityLease, ERRORS, End, Fifo, FifoWatch, Folder, FolderLock, Handle, Missing,
    NEEDS_UNWIND_INFO, Native, PIPE_BUF, PipePair, PrivateFile, PrivateFolder, ReaderWait,
    SandboxPolicy, address_space_limit, anonymous, another_writer, append, bytes, check_direction,
    confine, demand_standard_output, descriptors_left, end_monitor, expect_folders,
    file_size_limit, find_command, ignore_file_size_signal, inherited_number, is_no_memory,
    kill_natives, kind_of, memory_file, null, number_in_path, open_input_file, open_output_file,
    own_program, pipe_pair, prepare_messages, read_at, read_file, read_small_file, renounce_files,
    retire_standard_input_and_output, standard, start_monitor, stop_requests, take_given,
    take_inherited, take_inherited_stream, text, thread_cpu_time, write_at, write_message,
};
pub use private::{FileInfo, PrivateError};
pub use stop::Stop;
