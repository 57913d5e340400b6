//! This process gives up what it needs no more, so that whoever takes it over has little.
//!
//! Three fences, each of which stands alone: Landlock (landlock(7)) bounds which files can be opened,
//! whatever path leads to them; a seccomp filter (seccomp(2)) bounds what the kernel is asked for at
//! all, and by which paths; and without new privileges, and not dumpable (prctl(2)), no program that is
//! executed gains any and no other process of the user's reads this one's memory.

#[cfg(test)]
pub(crate) mod breakout;
mod filter;
mod landlock;
mod threads;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::{Direction, Fifo, native, sealed};

/// What a process keeps when it confines itself. By default: the descriptors that it has, pipes and
/// threads to be made, its own memory without new code in it, and the clocks.
#[derive(Debug, Default)]
pub struct Powers {
    files: Vec<(OwnedFd, Access)>,
    folders: Vec<(OwnedFd, Access)>,
    /// The folders of what is to be removed.
    removals: Vec<OwnedFd>,
    /// The names in them, and in those of FIFOs that stay.
    names: Vec<CString>,
    natives: bool,
}

/// What may be done with a file, or with all in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Access {
    read: bool,
    write: bool,
}

impl Access {
    fn of(directions: &[Direction]) -> Self {
        Self {
            read: directions.contains(&Direction::Read),
            write: directions.contains(&Direction::Write),
        }
    }
}

/// What [`confine`] could not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The kernel has no Landlock, or it is switched off.
    Landlock,
    /// The kernel takes no seccomp filter.
    Seccomp,
}

impl Powers {
    /// Keeps: a FIFO, to be opened for `directions`, and to be removed if it is ours to remove.
    ///
    /// # Errors
    /// Where no descriptor is to be had.
    pub fn fifo(&mut self, fifo: &Fifo, directions: &[Direction]) -> io::Result<()> {
        self.files.push((fifo.handle().try_clone()?, Access::of(directions)));
        let (folders, names) = fifo.traces()?;
        self.removals.extend(folders);
        self.names.extend(names);
        Ok(())
    }

    /// Keeps: opening what `fd` stands for once more.
    ///
    /// # Errors
    /// Where no descriptor is to be had.
    pub fn stream(&mut self, fd: impl AsFd, direction: Direction) -> io::Result<()> {
        self.files.push((fd.as_fd().try_clone_to_owned()?, Access::of(&[direction])));
        Ok(())
    }

    /// Keeps: all that is in a folder, to be read, or also written to.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn folder(&mut self, path: &Path, write: bool) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        self.folders.push((fd, Access { read: true, write }));
        Ok(())
    }

    /// Keeps: waiting for native commands that were started before, and sending them signals.
    pub fn natives(&mut self) {
        self.natives = true;
    }
}

/// Confines this process, all its threads, for ever. Gives what the kernel does not have; the rest is
/// in force.
///
/// # Errors
/// Where a fence that the kernel has could not be put up whole. The process may then be confined in
/// part.
pub fn confine(powers: &Powers) -> io::Result<Vec<Missing>> {
    let mut missing = Vec::new();
    undumpable()?;
    if powers.natives {
        // Looked at while that is permitted.
        native::has_terminal();
    }
    let names: Vec<_> = powers.names.iter().map(CString::as_c_str).collect();
    let sealed = sealed::seal(&names)?;
    match landlock::ruleset(powers)? {
        Some(ruleset) => threads::restrict(&ruleset)?,
        None => missing.push(Missing::Landlock),
    }
    if !sealed.lasting {
        tracing::debug!("this kernel does not seal memory: paths are only read-only");
    }
    // Last: it refuses what the others need.
    if !filter::install(powers, sealed)? {
        missing.push(Missing::Seccomp);
    }
    Ok(missing)
}

/// PR_SET_DUMPABLE of prctl(2): no core file, and /proc/PID/mem is nobody's but root's.
fn undumpable() -> io::Result<()> {
    // SAFETY: changes an attribute of this process, and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
