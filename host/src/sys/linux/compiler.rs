//! A process that compiles guests for this one, and the memory through which their code comes.
//!
//! A confined process can neither open a file nor make memory executable, and it shall not learn to. So a copy of this
//! process, forked while there is one thread, keeps both powers. The two share a piece of memory that has no name and
//! no descriptor any more: the copy can write to it, and this process can read and execute it. Code is run where the
//! copy has written it. Nothing that happens in this process can change it, or bring other code there.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{MemfdFlags, OFlags};
use rustix::net::{RecvFlags, SendFlags};
use wasmtime::CustomCodeMemory;

use super::super::code::Code;
use super::super::unix::{address_space_limit, end};
use super::monitor::Process;
use super::reopen;

/// How many pieces of code there can be at once: that of the guest that runs, and that of the next one.
const SLOTS: usize = 2;

/// The most bytes that a piece of code may have. They are address space, and cost nothing until they are used.
const SLOT: usize = 1 << 30;

/// The same where the address space is limited.
const SMALL_SLOT: usize = 64 << 20;

/// Code that another process has compiled, in memory that only it can write to. Tells that process when a piece of code
/// is used no more.
#[derive(Debug)]
pub(crate) struct CodePool {
    base: NonNull<u8>,
    slot: usize,
    /// Whether there is code in a slot that has not been given back.
    lent: [AtomicBool; SLOTS],
    socket: OwnedFd,
}

// SAFETY: the memory stays mapped as long as the process lives, and this process only reads it.
unsafe impl Send for CodePool {}
// SAFETY: as above.
unsafe impl Sync for CodePool {}

/// What the process that compiles has.
#[derive(Debug)]
pub(crate) struct Workshop {
    base: NonNull<u8>,
    slot: usize,
    socket: OwnedFd,
}

/// Forks a copy of this process that runs `work`, and ends with this process. Must be called while there is one thread.
/// Returns the memory for code, and a socket on which what [`Workshop::tell`] sends arrives, one message for each read.
///
/// # Errors
/// Those of fork(2), memfd_create(2) and mmap(2). ENOMEM if the address space is limited and nothing of it is left.
pub(crate) fn start_compiler(
    work: impl FnOnce(&Workshop) -> io::Result<()>,
) -> io::Result<(Arc<CodePool>, OwnedFd)> {
    let slot = if address_space_limit().is_some() { SMALL_SLOT } else { SLOT };
    let size = SLOTS * slot;
    let memory = rustix::fs::memfd_create("code", MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&memory, size as u64)?;
    // This process shall have no other way to the memory than to read and execute it.
    let readable = reopen(&memory, OFlags::RDONLY)?;
    let writable = map(&memory, size, libc::PROT_READ | libc::PROT_WRITE)?;
    let process = Process::start(|socket, _| {
        die_of_faults()?;
        work(&Workshop { base: writable, slot, socket: socket.try_clone()? })
    });
    // SAFETY: nothing in this process points there.
    unsafe { libc::munmap(writable.as_ptr().cast(), size) };
    let socket = process?.into_socket();
    let base = map(&readable, size, libc::PROT_READ | libc::PROT_EXEC)?;
    let lent = [const { AtomicBool::new(false) }; SLOTS];
    let pool = CodePool { base, slot, lent, socket: socket.try_clone()? };
    Ok((Arc::new(pool), socket))
}

/// Maps a file, so that what one process writes is there for the other: mmap(2).
fn map(file: impl AsFd, size: usize, access: libc::c_int) -> io::Result<NonNull<u8>> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size, access, libc::MAP_SHARED, fd, 0) };
    match NonNull::new(at.cast()) {
        Some(base) if at != libc::MAP_FAILED => Ok(base),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the signals of faults of this process's own through. The others stay blocked.
fn die_of_faults() -> io::Result<()> {
    // SAFETY: `sigemptyset` makes the set valid before it is used; only this thread's mask changes.
    let error = unsafe {
        let mut faults = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut faults);
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
            libc::sigaddset(&mut faults, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &faults, std::ptr::null_mut())
    };
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

impl CodePool {
    /// Loads the code that [`Workshop::put`] has written into this slot, of that many bytes. If that fails, the slot is
    /// given back.
    ///
    /// # Errors
    /// Those of the engine: the code is of another version or other settings.
    pub(crate) fn load<C: Code>(
        &self,
        engine: &wasmtime::Engine,
        slot: usize,
        length: usize,
    ) -> wasmtime::Result<C> {
        if slot >= SLOTS || length > self.slot {
            return Err(wasmtime::Error::msg("there is no such code"));
        }
        // SAFETY: within the mapping.
        let start = unsafe { self.base.add(slot * self.slot) };
        let memory = NonNull::slice_from_raw_parts(start, length);
        self.lent[slot].store(true, Ordering::SeqCst);
        // SAFETY: another process of this program has compiled it, and writes to the slot again only after this process
        // has told it to, in `give_back`. No other process can.
        let loaded = unsafe { C::in_place(engine, memory) };
        if loaded.is_err() {
            // Unless the engine, which had it for a moment, has done so.
            self.give_back(slot);
        }
        loaded
    }

    fn slot_of(&self, at: *const u8) -> Option<usize> {
        let offset = at.addr().checked_sub(self.base.as_ptr().addr())?;
        Some(offset / self.slot).filter(|slot| *slot < SLOTS)
    }

    /// Tells the other process, once for what is there, that it may use the slot again. Never blocks.
    fn give_back(&self, slot: usize) {
        if !self.lent[slot].swap(false, Ordering::SeqCst) {
            return;
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // Fails if the other process is gone.
        let _ = rustix::net::send(&self.socket, &[u8::try_from(slot).unwrap_or(u8::MAX)], flags);
    }
}

impl CustomCodeMemory for CodePool {
    fn required_alignment(&self) -> usize {
        rustix::param::page_size()
    }

    /// Does nothing for the pool's own memory. Other code, such as that in the cache, becomes executable as ever.
    fn publish_executable(&self, at: *const u8, length: usize) -> wasmtime::Result<()> {
        if self.slot_of(at).is_some() {
            return Ok(());
        }
        let access = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the engine owns these pages, and has written its code to them.
        match unsafe { libc::mprotect(at.cast_mut().cast(), length, access) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().into()),
        }
    }

    /// The engine drops the code. Memory that is not the pool's it unmaps right after this.
    fn unpublish_executable(&self, at: *const u8, _: usize) -> wasmtime::Result<()> {
        if let Some(slot) = self.slot_of(at) {
            self.give_back(slot);
        }
        Ok(())
    }
}

impl Workshop {
    /// How many slots there are.
    pub(crate) const SLOTS: usize = SLOTS;

    /// Returns how many bytes of code a slot can hold.
    pub(crate) fn room(&self) -> usize {
        self.slot
    }

    /// Writes code into a slot that is free.
    ///
    /// # Errors
    /// Fails if the code is too long, or if there is no memory.
    pub(crate) fn put(&self, slot: usize, code: &[u8]) -> io::Result<()> {
        if slot >= SLOTS || code.len() > self.slot {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // SAFETY: within the mapping; the slot is free, so that nobody runs or reads what was there. Without its old
        // pages, no processor has anything of the old code.
        unsafe {
            let start = self.base.add(slot * self.slot);
            if libc::madvise(start.as_ptr().cast(), self.slot, libc::MADV_REMOVE) != 0 {
                return Err(io::Error::last_os_error());
            }
            start.copy_from_nonoverlapping(NonNull::from(code).cast(), code.len());
        }
        Ok(())
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Fails if the other process is gone, or if the message is too long for the socket.
    pub(crate) fn tell(&self, message: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.socket, message, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Calls `free`, on a thread of its own, with each slot that may be used again. Ends this process when the other
    /// has ended, whatever it is doing.
    ///
    /// # Errors
    /// Fails if no thread can be started.
    pub(crate) fn listen(&self, free: impl Fn(usize) + Send + 'static) -> io::Result<()> {
        let socket = self.socket.try_clone()?;
        std::thread::Builder::new().name("listen".into()).spawn(move || {
            let mut message = [0; 1];
            loop {
                match end::restart(|| rustix::net::recv(&socket, &mut message, RecvFlags::empty()))
                {
                    Ok((1.., _)) => free(message[0].into()),
                    // SAFETY: ends this process at once: all values are copies of the other's.
                    _ => unsafe { libc::_exit(0) },
                }
            }
        })?;
        Ok(())
    }
}

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    place: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Returns the stamp of a regular file, links followed: stat(2). `None` if there is no such file.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Stamp {
        place: (found.dev(), found.ino()),
        bytes: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protect(pool: &CodePool, access: libc::c_int) -> io::Result<()> {
        // SAFETY: nothing points to the page, and it is the test's own.
        match unsafe { libc::mprotect(pool.base.as_ptr().cast(), 4096, access) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[test]
    fn code_comes_from_the_other_process_alone() {
        let (pool, socket) = start_compiler(|workshop| {
            for code in [&b"one"[..], b"another"] {
                workshop.put(1, code)?;
                workshop.tell(code)?;
                // Until the slot is given back.
                rustix::net::recv(&workshop.socket, &mut [0; 1], RecvFlags::empty())?;
            }
            Ok(())
        })
        .unwrap();
        for code in [&b"one"[..], b"another"] {
            let mut told = [0; 100];
            let (length, _) = rustix::net::recv(&socket, &mut told, RecvFlags::empty()).unwrap();
            assert_eq!(&told[..length], code);
            // SAFETY: within the mapping, and the other process does not write there before it is told.
            let there = unsafe {
                std::slice::from_raw_parts(pool.base.add(pool.slot).as_ptr(), code.len() + 1)
            };
            assert_eq!(there, [code, &[0]].concat());
            pool.lent[1].store(true, Ordering::SeqCst);
            pool.give_back(1);
            // What is given back already is not given back again.
            pool.give_back(1);
        }
        let refused = protect(&pool, libc::PROT_READ | libc::PROT_WRITE).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
        protect(&pool, libc::PROT_READ | libc::PROT_EXEC).unwrap();
        // The other process has ended.
        let (length, _) = rustix::net::recv(&socket, &mut [0; 1], RecvFlags::empty()).unwrap();
        assert_eq!(length, 0);
    }
}
