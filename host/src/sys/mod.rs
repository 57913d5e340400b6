//! The interface to the system: everything that differs between platforms, and all `unsafe` code.
//!
//! The modules here say what a platform provides, in types that all platforms share. `unix` provides
//! it, and asks `own` for what each Unix does in its own way: `linux`, `apple`, or `portable`, which is
//! Linux without what only Linux has. `windows` provides it on Windows. The layers above use [`End`],
//! [`Fifo`] and the functions here. Only the layers below know a descriptor's flags, how a FIFO is
//! opened and how a call is kept from blocking.

#[cfg(all(feature = "portable", not(debug_assertions)))]
compile_error!("the feature `portable` is for tests of pipehost: such a build confines nothing");

mod code;
mod errors;
mod fifo;
mod inherit;
mod kinds;
mod native;
mod private;
mod stop;
#[cfg(any(windows, target_os = "macos", feature = "portable"))]
mod without;

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod unix;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use unix as platform;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
use linux as own;

#[cfg(all(target_os = "linux", feature = "portable"))]
mod portable;
#[cfg(all(target_os = "linux", feature = "portable"))]
use portable as own;

#[cfg(target_os = "macos")]
mod apple;
#[cfg(target_os = "macos")]
use apple as own;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
compile_error!(
    "pipehost runs on Linux, macOS and Windows: `host/src/sys` has nothing for this system"
);

pub(crate) use code::{Code, CodeKey, load as load_code};
pub(crate) use errors::SystemError;
pub use fifo::{FifoError, FifoOptions, FifoWarning, IsAFifo};
pub use inherit::InheritError;
pub use kinds::{Direction, FileKind};
pub(crate) use kinds::{Holder, OwnFile};
pub(crate) use native::{MOST_OTHERS, Usage, descriptor_number};
pub use native::{NativeCommand, NativeEnd};
#[cfg(all(test, target_os = "linux", not(feature = "portable")))]
pub(crate) use own::breakout;
pub use platform::{
    Allocator, CapacityLease, End, Fifo, Handle, Missing, PipePair, SandboxPolicy, confine,
    end_monitor, expect_folders, null, pipe_pair, renounce_files, standard, start_monitor,
};
pub(crate) use platform::{
    CACHES, Drawing, ERRORS, FifoWatch, FileId, Folder, FolderLock, HOME, LISTS_RUNS, Listed,
    Listing, NEEDS_UNWIND_INFO, Native, PIPE_BUF, PIPES_ARE_FILES, PrivateFile, PrivateFolder,
    Prompter, ReaderWait, STATE, address_space_limit, allow_folders, anonymous, append, bytes,
    check_direction, demand_standard_output, descriptors_left, file_id, file_size_limit,
    find_command, ignore_file_size_signal, inherited_number, is_drive, is_no_memory, is_terminal,
    kill_natives, kind_of, listed, memory_file, number_in_path, open_input_file, open_log_file,
    open_output_file, own_program, pid_namespace, pipe_with_writers, prepare_messages, read_at,
    read_file, read_own_file, read_small_file, retire_standard_input_and_output, shared_clock,
    stop_requests, take_given, take_inherited, take_inherited_stream, text, thread_cpu_time,
    write_at, write_message, write_message_within,
};
#[cfg(feature = "cli")]
pub(crate) use platform::{CodePool, Stamp, Workshop, stamp, start_compiler};
pub(crate) use private::FileInfo;
pub use private::PrivateError;
pub use stop::Stop;
