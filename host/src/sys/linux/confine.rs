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

pub use threads::unblock_signals_of_ours;

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Dir, Mode, OFlags};

use super::{Direction, Fifo, is_proc_mounted, native, sealed};

/// What a process keeps when it confines itself. By default: the descriptors that it has, pipes and
/// threads to be made, its own memory without new code in it, and the clocks.
#[derive(Debug, Default)]
pub struct Powers {
    files: Vec<(OwnedFd, Access)>,
    folders: Vec<(OwnedFd, Access)>,
    /// What FIFOs are called in their folders, to be looked for there.
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
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The kernel has no Landlock, or it is switched off.
    #[error(
        "this kernel has no Landlock, which Linux 5.13 and later have: files are bounded by the engine alone"
    )]
    Landlock,
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
    /// A Landlock that does not bound everything that this one is asked for: truncating files before
    /// version 3, devices before 5, signals before 7.
    #[error(
        "this kernel's Landlock is of version {0}, and {wanted} bounds truncating, devices and signals, too; a newer \
         kernel has it",
        wanted = landlock::WANTED
    )]
    Old(i32),
    /// Before Linux 6.10: what breaks out can change the paths that the filter permits.
    #[error(
        "this kernel does not seal memory, as Linux 6.10 and later do by mseal(2): the seccomp filter bounds paths only \
         as long as nobody changes them"
    )]
    Sealing,
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
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::Old(_) | Self::Sealing)
    }
}

impl Powers {
    /// Keeps: a FIFO, to be opened for `directions`, and to be removed if it is ours to remove.
    ///
    /// # Errors
    /// Where no descriptor is to be had.
    pub fn fifo(&mut self, fifo: &Fifo, directions: &[Direction]) -> io::Result<()> {
        self.files.push((fifo.handle().try_clone()?, Access::of(directions)));
        self.names.push(fifo.name()?);
        Ok(())
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
}

static CONFINED: AtomicBool = AtomicBool::new(false);

/// Whether [`confine`] has been called.
pub(super) fn is_confined() -> bool {
    CONFINED.load(Ordering::SeqCst)
}

/// Confines this process, all its threads, for ever. Gives what it could not have; the rest is in force.
///
/// Closes the descriptors that this process has inherited and nobody has taken: all above 2 that are not
/// close-on-exec, as none of its own are.
pub fn confine(powers: Powers) -> Vec<Missing> {
    CONFINED.store(true, Ordering::SeqCst);
    if !is_proc_mounted() {
        return vec![Missing::NoProc];
    }
    let mut missing = Vec::new();
    for (fence, raised) in
        [("closing what was inherited", close_strays()), ("PR_SET_DUMPABLE", undumpable())]
    {
        if let Err(error) = raised {
            missing.push(Missing::Refused { fence, error });
        }
    }
    if powers.natives {
        // Looked at while that is permitted.
        native::has_terminal();
    }
    let names: Vec<_> = powers.names.iter().map(CString::as_c_str).collect();
    let sealed = sealed::seal(&names);
    match landlock::ruleset(&powers).and_then(|ruleset| {
        ruleset.map(|(ruleset, version)| threads::restrict(&ruleset).map(|()| version)).transpose()
    }) {
        Ok(Some(version)) if version >= landlock::WANTED => {}
        Ok(Some(version)) => missing.push(Missing::Old(version)),
        Ok(None) => missing.push(Missing::Landlock),
        Err(error) => missing.push(Missing::Refused { fence: "Landlock", error }),
    }
    match &sealed {
        Ok(sealed) if sealed.lasting => {}
        Ok(_) => missing.push(Missing::Sealing),
        // Without them, the filter lets nothing be opened.
        Err(_) => {}
    }
    // Last: it refuses what the others need.
    match sealed.and_then(|sealed| filter::install(&powers, sealed)) {
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
