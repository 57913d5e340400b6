//! Makes pipes larger than the kernel's default: reader and writer then take fewer, longer turns.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

/// The size in bytes that a pipe grows to, if it may. It is also the kernel's own bound for an ordinary
/// user, /proc/sys/fs/pipe-max-size. A larger pipe gains nothing.
const GOAL: usize = 1024 * 1024;

/// How many pages a pipe has by default: PIPE_DEF_BUFFERS of Linux. A pipe of another size was resized
/// on purpose, or comes from a kernel that is short of pages.
const DEFAULT_PAGES: usize = 16;

/// How many bytes all pipes of this process may grow by, together. Pages of pipes count against a limit
/// per user, 64 MiB by default (/proc/sys/fs/pipe-user-pages-soft). Over that limit all new pipes of
/// the user are tiny. A guest that makes many pipes must not do that to the others.
const SHARE: usize = 16 * 1024 * 1024;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The bytes that a pipe has grown by. Dropping this gives them back.
#[derive(Debug)]
pub(in crate::sys) struct Lease {
    bytes: usize,
    taken: &'static AtomicUsize,
}

impl Lease {
    fn take(bytes: usize, taken: &'static AtomicUsize) -> Option<Self> {
        let sum = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= SHARE);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).ok()?;
        Some(Self { bytes, taken })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Makes a pipe of the default size larger: F_SETPIPE_SZ of fcntl(2). Returns `None` if its size stays:
/// it has another size, the share is used up, or the kernel refuses.
pub(in crate::sys) fn grow(pipe: impl AsFd) -> Option<Lease> {
    grow_within(pipe, &TAKEN)
}

/// Returns whether this is a pipe, anonymous or named.
pub(in crate::sys) fn is_pipe(fd: impl AsFd) -> bool {
    rustix::pipe::fcntl_getpipe_size(fd).is_ok()
}

/// Returns how many bytes a pipe can hold: F_GETPIPE_SZ.
///
/// # Errors
/// EBADF if this is not a pipe.
pub(in crate::sys) fn capacity(pipe: impl AsFd) -> io::Result<u64> {
    Ok(rustix::pipe::fcntl_getpipe_size(pipe)? as u64)
}

/// Asks for another capacity in bytes: F_SETPIPE_SZ. The kernel rounds up to a power of two of pages.
///
/// # Errors
/// EPERM above the user's limits (pipe(7), /proc/sys/fs/pipe-*), EBUSY if more bytes than that wait in
/// the pipe.
pub(in crate::sys) fn set_capacity(pipe: impl AsFd, bytes: u64) -> io::Result<()> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    rustix::pipe::fcntl_setpipe_size(pipe, bytes)?;
    Ok(())
}

fn grow_within(pipe: impl AsFd, taken: &'static AtomicUsize) -> Option<Lease> {
    let pipe = pipe.as_fd();
    let had = rustix::pipe::fcntl_getpipe_size(pipe).ok()?;
    if had != DEFAULT_PAGES * rustix::param::page_size() {
        return None;
    }
    let mut wanted = GOAL;
    while wanted > had {
        let lease = Lease::take(wanted - had, taken)?;
        match rustix::pipe::fcntl_setpipe_size(pipe, wanted) {
            Ok(_) => return Some(lease),
            // Above one of the user's limits. A smaller size may be below it.
            Err(Errno::PERM) => wanted /= 2,
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(pipe: impl AsFd) -> usize {
        rustix::pipe::fcntl_getpipe_size(pipe).unwrap()
    }

    #[test]
    fn pipes_grow_within_the_share() {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        let grow = |pipe: &os_pipe::PipeReader| grow_within(pipe, &TAKEN);
        let mut grown = Vec::new();
        let refused = loop {
            let (reader, _writer) = os_pipe::pipe().unwrap();
            match grow(&reader) {
                Some(lease) => grown.push((reader, lease)),
                None => break reader,
            }
        };
        let default = DEFAULT_PAGES * rustix::param::page_size();
        assert_eq!(size(&refused), default);
        let sum: usize = grown.iter().map(|(pipe, _)| size(pipe) - default).sum();
        assert!(sum <= SHARE && sum > SHARE - GOAL, "{sum} of {SHARE}");
        assert!(grown.iter().all(|(pipe, lease)| size(pipe) == default + lease.bytes));

        grown.pop();
        assert!(grow(&refused).is_some(), "what is dropped is given back");
        drop(grown);

        let (resized, _writer) = os_pipe::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&resized, default * 2).unwrap();
        assert!(grow(&resized).is_none(), "somebody chose that size");
        assert_eq!(size(&resized), default * 2);
    }
}
