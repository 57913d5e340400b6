//! Confines this process: it gives up the powers that it no longer needs, so that a guest that takes it
//! over can do little.
//!
//! A seccomp filter (seccomp(2)) bounds which system calls the kernel accepts: files can no longer be
//! opened or removed, nor programs started, as the monitor does that. If a folder is granted, files can
//! be opened, and Landlock (landlock(7)) bounds which, whatever path leads to them. Without new
//! privileges (prctl(2)), no program that is executed gains any. As the process is not dumpable
//! (prctl(2)), no other process of this user can read its memory.

#[cfg(test)]
pub(crate) mod breakout;
#[cfg_attr(not(feature = "sandbox"), path = "confine/no_filter.rs")]
mod filter;
#[cfg_attr(not(feature = "sandbox"), path = "confine/no_landlock.rs")]
mod landlock;
mod threads;

pub use threads::{expect_folders, renounce_files};

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags};

use super::super::unix::native;
use super::super::{Direction, Fifo, null};
use super::{monitor, opens_fifos};

/// What a process keeps when it confines itself. By default these are: the descriptors that it has,
/// making pipes and threads, its own memory without new code in it, and the clocks.
///
/// See the example of [`sandbox`](crate::sandbox).
#[derive(Debug, Default)]
pub struct SandboxPolicy {
    /// Standard streams, which may be opened once more while guests are being set up.
    files: Vec<(OwnedFd, Access)>,
    folders: Vec<(OwnedFd, Access)>,
    natives: bool,
    /// True if [`SandboxPolicy::bound_files`] has been called: Landlock bounds this thread already, or
    /// cannot.
    bounded: bool,
    /// True once inherited descriptors are closed.
    closed: bool,
}

/// What may be done with a file, or with all files in a folder.
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

/// A part of the sandbox that [`confine`] could not set up.
///
/// See the example of [`sandbox`](crate::sandbox).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// This crate was built without its feature `sandbox`.
    #[error("this program was built without the feature `sandbox`")]
    Feature,
    /// A folder is granted, and the kernel has no Landlock, or it is switched off.
    #[error(
        "this kernel has no Landlock, which Linux 5.13 and later have: granted folders are bounded by the engine alone"
    )]
    Landlock,
    /// A folder is granted, and threads run that Landlock does not bound.
    #[error("{0} threads were started before, which Landlock does not bound")]
    Threads(usize),
    /// /proc is not mounted.
    #[error("/proc is not mounted, which the fences need")]
    NoProc,
    /// The kernel takes no seccomp filter.
    #[error(
        "this kernel has no seccomp filters, which Linux 3.17 and later have: system calls are bounded by the engine alone"
    )]
    Seccomp,
    /// The kernel has this part, and refuses it.
    #[error("{fence} is refused: {error}")]
    Refused {
        /// The name of the part.
        fence: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A folder is granted, and this kernel's Landlock does not bound truncating files.
    #[error(
        "this kernel's Landlock is of version {0}, and {wanted}, which Linux 6.2 has, bounds truncating files in folders, too",
        wanted = landlock::WANTED
    )]
    Old(i32),
}

impl Missing {
    /// Returns what the user can do if this process lacks descriptors, memory or /proc. Returns `None`
    /// if the kernel lacks the part.
    pub fn remedy(&self) -> Option<&'static str> {
        const WANT: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN];
        match self {
            Self::NoProc => Some("type `mount -t proc proc /proc`"),
            Self::Refused { error, .. }
                if error.raw_os_error().is_some_and(|it| WANT.contains(&it)) =>
            {
                Some("raise `ulimit -n` or `ulimit -v`")
            }
            _ => None,
        }
    }

    /// Returns whether the sandbox is far weaker than it should be.
    pub fn is_critical(&self) -> bool {
        !matches!(self, Self::Old(_))
    }
}

impl SandboxPolicy {
    /// Keeps a FIFO: it can be opened for `directions`, and removed if this process made it. The
    /// monitor does both from now on.
    ///
    /// # Errors
    /// Fails if there is no monitor.
    pub fn fifo(&mut self, fifo: &Fifo, directions: &[Direction]) -> io::Result<()> {
        fifo.leave_to_monitor(directions)
    }

    /// Keeps a standard stream: the file behind `fd` can be opened once more.
    ///
    /// # Errors
    /// Fails if no descriptors are left.
    pub fn stream(&mut self, fd: &OwnedFd, direction: Direction) -> io::Result<()> {
        self.files.push((fd.try_clone()?, Access::of(&[direction])));
        Ok(())
    }

    /// Keeps a folder: all files in it can be read, and with `write` also written.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn folder(&mut self, path: &Path, write: bool) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        self.folders.push((fd, Access { read: true, write }));
        Ok(())
    }

    /// Keeps native commands that were started before: they can be waited for, and be sent signals.
    pub fn natives(&mut self) {
        self.natives = true;
    }

    /// Closes inherited descriptors, and opens what is needed later, while files can be opened. Does so
    /// once.
    fn close_what_is_left(&mut self) -> Option<Missing> {
        if std::mem::replace(&mut self.closed, true) {
            return None;
        }
        // If /dev/null does not exist, the code that needs it reports that.
        let _ = null();
        if self.natives {
            native::has_terminal();
        }
        let error = close_strays().err()?;
        Some(Missing::Refused { fence: "closing what was inherited", error })
    }

    /// Bounds by Landlock which files this thread, and the threads that it starts from now on, can
    /// open, if a folder is granted. [`confine`] calls this if it has not been called before. Call it
    /// earlier if threads are started before `confine`. This process must then already have opened all
    /// that it needs besides its grants.
    pub fn bound_files(&mut self) -> Vec<Missing> {
        let mut missing = Vec::new();
        if cfg!(not(feature = "sandbox"))
            || self.folders.is_empty()
            || std::mem::replace(&mut self.bounded, true)
        {
            return missing;
        }
        missing.extend(self.close_what_is_left());
        let Some(version) = landlock::version() else {
            missing.push(Missing::Landlock);
            return missing;
        };
        // Otherwise a guest could write to the memory of an unbounded thread and have it open files.
        let bounded = threads::unbounded().and_then(|count| {
            if count > 0 {
                missing.push(Missing::Threads(count));
            }
            landlock::bound_this_thread(self, version)
        });
        match bounded {
            Ok(()) if version >= landlock::WANTED => {}
            Ok(()) => missing.push(Missing::Old(version)),
            Err(error) => missing.push(Missing::Refused { fence: "Landlock", error }),
        }
        missing
    }
}

/// Confines this process, all its threads, for ever. Returns the parts that could not be set up. All
/// others are in force.
///
/// Closes the descriptors that this process has inherited and not taken over: all above 2 that are not
/// close-on-exec. Every descriptor that pipehost opens is close-on-exec.
///
/// See the example of [`sandbox`](crate::sandbox).
pub fn confine(mut policy: SandboxPolicy) -> Vec<Missing> {
    if cfg!(not(feature = "sandbox")) {
        return vec![Missing::Feature];
    }
    if !opens_fifos() {
        return vec![Missing::NoProc];
    }
    let mut missing = policy.bound_files();
    missing.extend(policy.close_what_is_left());
    if let Err(error) = undumpable() {
        missing.push(Missing::Refused { fence: "PR_SET_DUMPABLE", error });
    }
    monitor::seal();
    // The filter comes last: it refuses calls that the other parts need.
    match filter::install(&policy) {
        Ok(true) => {}
        Ok(false) => missing.push(Missing::Seccomp),
        Err(error) => missing.push(Missing::Refused { fence: "a seccomp filter", error }),
    }
    missing
}

/// Closes the inherited descriptors that no value of this process owns.
fn close_strays() -> io::Result<()> {
    for entry in Dir::read_from(std::fs::File::open("/proc/self/fd")?)? {
        let number = entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|number| *number > 2) else { continue };
        // SAFETY: fcntl(2) with F_GETFD touches no memory.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: no value in this process owns the descriptor: all owned ones are close-on-exec.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Clears PR_SET_DUMPABLE of prctl(2): no core file is written, and only root can open /proc/PID/mem.
fn undumpable() -> io::Result<()> {
    // SAFETY: changes an attribute of this process, and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
