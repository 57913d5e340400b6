//! How this process is tied to the commands that it starts, without pidfds.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::thread::Builder;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Held by those who make pipes, which are not close-on-exec from the start, and by who starts a
/// command, which would inherit them: its peers would never see the end of file.
static FORKING: RwLock<()> = RwLock::new(());

/// The stack in bytes of a thread that waits for a command. It calls waitid(2) and little else.
const STACK: usize = 64 * 1024;

/// Makes a pipe: pipe(2) and FIOCLEX, by `os_pipe`.
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left.
pub(in crate::sys) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let _making = FORKING.read().unwrap_or_else(PoisonError::into_inner);
    let (reader, writer) = os_pipe::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Keeps other threads from making descriptors that a new process would inherit.
pub(in crate::sys) fn forking() -> RwLockWriteGuard<'static, ()> {
    FORKING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a descriptor that becomes readable when a child of this process has ended. A thread waits
/// for it, and leaves it to be reaped: waitid(2) with WNOWAIT.
///
/// # Errors
/// EMFILE and ENFILE if no descriptors are left; EAGAIN if no thread can be started.
pub(in crate::sys) fn ended(pid: Pid) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe()?;
    let wait = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        // An error says that it has been reaped.
        let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
        drop(writer);
    };
    Builder::new().name("command".into()).stack_size(STACK).spawn(wait)?;
    Ok(reader)
}

/// Has the system kill this process when its parent ends. This is not known here.
///
/// # Errors
/// None.
pub(in crate::sys) fn tie_to_parent() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags};
    use std::process::{Command, Stdio};

    #[test]
    fn the_end_of_a_child_is_told_and_left_to_be_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let end = ended(Pid::from_child(&child)).unwrap();
        let ready = |patience| {
            let patience = rustix::event::Timespec { tv_sec: patience, tv_nsec: 0 };
            let mut fds = [PollFd::new(&end, PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&patience)).unwrap() > 0
        };
        assert!(!ready(0));
        drop(child.stdin.take());
        assert!(ready(20));
        assert!(child.wait().unwrap().success());
    }
}
