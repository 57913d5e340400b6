//! The attempts of a guest that has taken over its host's process. Compiled into tests only.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::super::unix::trace::Trace;
use super::super::{FifoHandle, monitor};

/// An attempt, and its error, or `None` if it succeeded.
pub(crate) type Attempt = (&'static str, Option<i32>);

fn outcome(returned: libc::c_long) -> Option<i32> {
    match returned {
        -1 => Some(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        _ => None,
    }
}

fn open(path: &CStr, flags: i32) -> Option<i32> {
    // SAFETY: the path ends with a 0; the new descriptor stays open until the process ends.
    outcome(unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), flags, 0o600) }.into())
}

/// Reads a file that every process may read if it may read any.
pub(crate) fn passwd() -> Option<i32> {
    open(c"/etc/passwd", libc::O_RDONLY)
}

/// Tries what must fail. `beside` is a file beside a granted FIFO; `victim` is another process of the
/// same user.
pub(crate) fn attempts(beside: &Path, victim: i32) -> Vec<Attempt> {
    let beside = CString::new(beside.as_os_str().as_bytes()).unwrap();
    let beside_new = CString::new([beside.as_bytes(), b"-new"].concat()).unwrap();
    let folder = beside_folder(&beside);
    let home = CString::new(std::env::var("HOME").unwrap_or("/root".into())).unwrap();
    let memory = CString::new(format!("/proc/{victim}/mem")).unwrap();
    let cell = 0u64;
    let part = libc::iovec { iov_base: (&raw const cell).cast_mut().cast(), iov_len: 8 };
    let call = outcome;
    // SAFETY: each is a system call whose pointers are valid during the call. Calls that change this
    // process are expected to be refused, or are the last thing that it does.
    unsafe {
        vec![
            ("/etc/passwd", passwd()),
            ("/etc/passwd through /proc", open(c"/proc/self/root/etc/passwd", libc::O_RDONLY)),
            ("the home folder", open(&home, libc::O_RDONLY | libc::O_DIRECTORY)),
            ("a descriptor once more", open(c"/proc/self/fd/2", libc::O_RDWR)),
            ("a file beside the FIFO", open(&beside, libc::O_RDONLY)),
            ("a new file", open(&beside_new, libc::O_CREAT | libc::O_WRONLY)),
            ("a file's mode", call(libc::chmod(beside.as_ptr(), 0o777).into())),
            ("truncating a file", call(libc::truncate(beside.as_ptr(), 0).into())),
            ("renaming a file", call(libc::rename(beside.as_ptr(), beside_new.as_ptr()).into())),
            ("removing a file", call(libc::unlink(beside.as_ptr()).into())),
            ("the FIFO's folder's mode", call(libc::chmod(folder.as_ptr(), 0o757).into())),
            ("the mode of what is open", call(libc::fchmod(0, 0o666).into())),
            ("a signal by way of a pipe", {
                let mut ends = [0; 2];
                libc::pipe(ends.as_mut_ptr());
                call(libc::fcntl(ends[0], libc::F_SETOWN, victim).into())
            }),
            ("a signal to everybody", call(libc::kill(-1, 0).into())),
            ("a datagram to somebody", {
                let address = 0x7000_0000_0000 as *const libc::sockaddr;
                call(libc::sendto(0, (&raw const cell).cast(), 8, 0, address, 16) as i64)
                    // ENOTSOCK: descriptor 0 is no socket.
                    .filter(|error| *error != libc::ENOTSOCK)
            }),
            ("a program of its own choice", monitor_starts(c"/bin/sh")),
            ("an internet socket", call(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into())),
            ("a local socket", call(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).into())),
            ("io_uring", call(libc::syscall(libc::SYS_io_uring_setup, 1, &raw const cell))),
            ("ptrace", call(libc::ptrace(libc::PTRACE_SEIZE, victim, 0, 0))),
            ("reading another process", {
                let flags = 0 as libc::c_ulong;
                call(libc::process_vm_readv(victim, &part, 1, &part, 1, flags) as libc::c_long)
                    // EFAULT: the victim has nothing at that address.
                    .filter(|error| *error != libc::EFAULT)
            }),
            ("another process's memory", open(&memory, libc::O_RDWR)),
            ("a signal to another process", call(libc::kill(victim, 0).into())),
            ("new code", {
                let rwx = libc::PROT_READ | libc::PROT_EXEC;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let map = libc::mmap(std::ptr::null_mut(), 4096, rwx, flags, -1, 0);
                call(if map == libc::MAP_FAILED { -1 } else { 0 })
            }),
            ("removing a file by way of the monitor", monitor_removes(&beside)),
            ("opening more by way of the monitor", monitor_opens()),
            ("a second watch by way of the monitor", monitor_watches()),
            ("a user namespace", call(libc::unshare(libc::CLONE_NEWUSER).into())),
            ("a mount", {
                let nothing = std::ptr::null();
                let kind = c"tmpfs".as_ptr();
                call(libc::mount(kind, c"/nowhere".as_ptr(), kind, 0, nothing).into())
                    .filter(|error| *error != libc::ENOENT)
            }),
            ("being dumpable", call(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0).into())),
            ("a new process", {
                let pid = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
                if pid == 0 {
                    libc::_exit(0);
                }
                call(pid)
            }),
        ]
    }
}

fn beside_folder(path: &CStr) -> CString {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    CString::new(path.parent().unwrap().as_os_str().as_bytes()).unwrap()
}

/// Asks the monitor, if there is one, for a program that was not granted.
fn monitor_starts(program: &CStr) -> Option<i32> {
    let null = || crate::sys::null().unwrap();
    let command = crate::sys::NativeCommand {
        program: std::ffi::OsStr::from_bytes(program.to_bytes()).into(),
        args: Vec::new(),
        stdin: null(),
        stdout: null(),
        stderr: null(),
        others: Vec::new(),
    };
    let error = monitor::start(&command).err()?;
    Some(error.raw_os_error().unwrap_or(libc::ENOENT))
}

/// Announces a file that this process did not make, with a descriptor of some other file as its folder,
/// and asks the monitor to remove it.
fn monitor_removes(path: &CStr) -> Option<i32> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()));
    let name = path.file_name().unwrap().to_str().unwrap();
    // This process cannot open a folder. The monitor must refuse before it looks at the descriptor.
    let folder = crate::sys::null().unwrap();
    let id = monitor::announce(Trace::Unnamed { folder: folder.as_fd(), name });
    match id.ok().flatten().and_then(monitor::remove) {
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(error.raw_os_error()),
        None => Some(libc::ENOENT),
    }
}

/// Announces a FIFO as found after this process was confined, with descriptors that it has, and asks
/// the monitor to open it.
fn monitor_opens() -> Option<i32> {
    let fd = crate::sys::null().unwrap();
    let handle = FifoHandle::from(fd.try_clone().unwrap());
    let (folder, handle) = (fd.as_fd(), &handle);
    let found = Trace::Found { folder, handle, name: "null".as_ref() };
    let Ok(Some(id)) = monitor::announce(found) else { return Some(libc::ENOENT) };
    let _ = monitor::permit(id, true, true);
    let error = monitor::open(id, crate::sys::Direction::Write).err()?;
    Some(error.raw_os_error().unwrap_or(0))
}

/// Asks the monitor to watch FIFOs, again and again. It does it once at most. A descriptor that is sent
/// with the request cannot be made here: a pair of sockets is refused.
fn monitor_watches() -> Option<i32> {
    match monitor::socket_pair(rustix::net::SocketFlags::empty()) {
        Ok(_) => None,
        Err(error) => Some(error.raw_os_error()),
    }
}

/// Executes a program: execve(2). Returns only if that is refused.
pub(crate) fn execute() -> Option<i32> {
    let words = [c"/bin/true".as_ptr(), std::ptr::null()];
    // SAFETY: a list of one word that ends with a null pointer.
    outcome(unsafe { libc::execv(words[0], words.as_ptr()) }.into())
}
