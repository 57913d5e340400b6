//! Memory of the host's own where there is not enough of it: how much may be reserved, and what becomes of
//! an allocation that fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// From here on whoever asks for memory has to reckon with being refused: [`Allocator`] lets them.
const HUGE: usize = 1 << 30;

/// What is said where the system has no memory. There is none to put a sentence together with.
const NO_MEMORY: &[u8] =
    b"pipehost: there is no memory left for the host; raise `ulimit -v`, or what the container \
    may use\n";

/// As `cli::exit::Status::Io` has it.
const STATUS: i32 = 74;

/// How long a reader of stderr may take, in milliseconds.
const PATIENCE: i32 = 50;

/// How many bytes of address space this process may have; `None` without a limit. getrlimit(2), RLIMIT_AS.
pub(crate) fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// How many bytes a file may have that this process writes to; `None` without a limit. getrlimit(2),
/// RLIMIT_FSIZE.
pub(crate) fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Whether `error` is ENOMEM.
pub(crate) fn is_no_memory(error: &(dyn Error + 'static)) -> bool {
    let of_io = |error: &io::Error| error.kind() == io::ErrorKind::OutOfMemory;
    error.downcast_ref::<io::Error>().is_some_and(of_io)
        || error.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
}

/// The system's allocator, for the `pipehost` command: where memory is out, the process says so and ends with
/// 74. Rust's way would be to abort, and 134 is what a guest's trap gives.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: all of it is the system's allocator; what that refuses is passed on, or ends the process.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.realloc(at, layout, size) }, size)
    }
}

fn had(at: *mut u8, size: usize) -> *mut u8 {
    if at.is_null() && size < HUGE {
        out_of_memory();
    }
    at
}

/// Ends this process, with system calls alone. What it has made is removed by its monitor.
#[cold]
fn out_of_memory() -> ! {
    let mut stderr = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the one descriptor, and bytes that are there; ends the process at once.
    unsafe {
        if libc::poll(&raw mut stderr, 1, PATIENCE) == 1 {
            libc::write(2, NO_MEMORY.as_ptr().cast(), NO_MEMORY.len());
        }
        libc::_exit(STATUS)
    }
}
