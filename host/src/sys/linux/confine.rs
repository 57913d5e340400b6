//! This process gives up what it needs no more, so that whoever takes it over has little.
//!
//! A seccomp filter (seccomp(2)) bounds what the kernel is asked for at all: nothing is opened, removed or started any
//! more, as the monitor does that. Where a folder is granted, files can be opened, and Landlock (landlock(7)) bounds
//! which, whatever path leads to them. And without new privileges, and not dumpable (prctl(2)), no program that is
//! executed gains any and no other process of the user's reads this one's memory.

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

use super::{Direction, Fifo, is_proc_mounted, monitor, native, null};

/// What a process keeps when it confines itself. By default: the descriptors that it has, pipes and
/// threads to be made, its own memory without new code in it, and the clocks.
#[derive(Debug, Default)]
pub struct SandboxPolicy {
    /// Standard streams, which may be opened once more while guests are being set up.
    files: Vec<(OwnedFd, Access)>,
    folders: Vec<(OwnedFd, Access)>,
    natives: bool,
    /// Landlock bounds this thread already, or cannot: see [`SandboxPolicy::bound_files`].
    bounded: bool,
    /// What was inherited is closed.
    closed: bool,
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
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// This crate was built without its feature `sandbox`.
    #[error("this program was built without the feature `sandbox`")]
    Feature,
    /// The kernel has no Landlock, or it is switched off, and a folder is granted.
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
    /// The kernel has it, and refuses.
    #[error("{fence} is refused: {error}")]
    Refused {
        /// Which of them.
        fence: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A Landlock that does not bound truncating files, and a folder is granted.
    #[error(
        "this kernel's Landlock is of version {0}, and {wanted}, which Linux 6.2 has, bounds truncating files in folders, too",
        wanted = landlock::WANTED
    )]
    Old(i32),
}

impl Missing {
    /// What to do where this process lacks what the fence takes, descriptors, memory or /proc, and not the kernel
    /// the fence.
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

    /// Whether what is left is far less than it should be.
    pub fn is_critical(&self) -> bool {
        !matches!(self, Self::Old(_))
    }
}

impl SandboxPolicy {
    /// Keeps: a FIFO, to be opened for `directions`, and to be removed if it is ours to remove. The monitor does so
    /// from now on.
    ///
    /// # Errors
    /// Where there is no monitor.
    pub fn fifo(&mut self, fifo: &Fifo, directions: &[Direction]) -> io::Result<()> {
        fifo.leave_to_monitor(directions)
    }

    /// Keeps: opening what `fd` stands for once more.
    ///
    /// # Errors
    /// Where no descriptor is to be had.
    pub fn stream(&mut self, fd: &OwnedFd, direction: Direction) -> io::Result<()> {
        self.files.push((fd.try_clone()?, Access::of(&[direction])));
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

    /// Closes what was inherited, and opens what is needed later, while files can be opened; once.
    fn close_what_is_left(&mut self) -> Option<Missing> {
        if std::mem::replace(&mut self.closed, true) {
            return None;
        }
        // Where it does not exist, that is said when it is needed.
        let _ = null();
        if self.natives {
            native::has_terminal();
        }
        let error = close_strays().err()?;
        Some(Missing::Refused { fence: "closing what was inherited", error })
    }

    /// Where a folder is granted, bounds which files this thread can open, and those that it starts from now on, by
    /// Landlock. [`confine`] does so, if it has not been done before. To be called before, with what this process
    /// must open but for its grants opened, where threads are started in between.
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
        // Whatever is written in other threads' memory, they open nothing either.
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

/// Confines this process, all its threads, for ever. Gives what it could not have; the rest is in force.
///
/// Closes the descriptors that this process has inherited and nobody has taken: all above 2 that are not
/// close-on-exec, as none of its own are.
pub fn confine(mut policy: SandboxPolicy) -> Vec<Missing> {
    if cfg!(not(feature = "sandbox")) {
        return vec![Missing::Feature];
    }
    if !is_proc_mounted() {
        return vec![Missing::NoProc];
    }
    let mut missing = policy.bound_files();
    missing.extend(policy.close_what_is_left());
    if let Err(error) = undumpable() {
        missing.push(Missing::Refused { fence: "PR_SET_DUMPABLE", error });
    }
    monitor::seal();
    // Last: it refuses what the others need.
    match filter::install(&policy) {
        Ok(true) => {}
        Ok(false) => missing.push(Missing::Seccomp),
        Err(error) => missing.push(Missing::Refused { fence: "a seccomp filter", error }),
    }
    missing
}

/// Closes what was inherited and is nobody's.
fn close_strays() -> io::Result<()> {
    for entry in Dir::read_from(std::fs::File::open("/proc/self/fd")?)? {
        let number = entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number.filter(|number| *number > 2) else { continue };
        // SAFETY: fcntl(2) with F_GETFD touches no memory.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: no value of this process's owns it: those that do are close-on-exec.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// PR_SET_DUMPABLE of prctl(2): no core file, and /proc/PID/mem is nobody's but root's.
fn undumpable() -> io::Result<()> {
    // SAFETY: changes an attribute of this process, and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
