//! The host's own memory if there is not enough of it: how much may be reserved, and what happens when
//! an allocation fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// An allocation of at least this many bytes may be refused: [`Allocator`] then returns null to the
/// caller.
const HUGE: usize = 1 << 30;

/// The message for a system that is out of memory. It is constant, as no memory is left to format one.
const NO_MEMORY: &[u8] =
    b"pipehost: there is no memory left for the host; raise `ulimit -v`, or what the container \
    may use\n";

/// The same as `cli::exit::Status::Io`.
const STATUS: i32 = 74;

/// How long a reader of stderr may take, in milliseconds.
const PATIENCE: i32 = 50;

/// Returns how many bytes of address space this process may have, or `None` without a limit: RLIMIT_AS
/// of getrlimit(2).
pub(crate) fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Returns how many bytes a file that this process writes to may have, or `None` without a limit:
/// RLIMIT_FSIZE of getrlimit(2).
pub(crate) fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns whether `error` is ENOMEM.
pub(crate) fn is_no_memory(error: &(dyn Error + 'static)) -> bool {
    let of_io = |error: &io::Error| error.kind() == io::ErrorKind::OutOfMemory;
    error.downcast_ref::<io::Error>().is_some_and(of_io)
        || error.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
}

/// The system's allocator, for the `pipehost` command. If memory is out, the process says so and ends
/// with status 74. Rust would abort, which gives 134, the status of a guest's trap.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: every call goes to the system's allocator. Its null is passed on, or ends the process.
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

/// Ends this process with system calls alone. Its monitor removes what it has made.
#[cold]
fn out_of_memory() -> ! {
    let mut stderr = libc::pollfd { fd: 2, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one descriptor, and bytes that live; ends the process at once.
    unsafe {
        if libc::poll(&raw mut stderr, 1, PATIENCE) == 1 {
            libc::write(2, NO_MEMORY.as_ptr().cast(), NO_MEMORY.len());
        }
        libc::_exit(STATUS)
    }
}
