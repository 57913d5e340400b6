//! Descriptors that this process was started with, by their numbers and by the paths that stand for
//! them.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use rustix::io::FdFlags;

use super::super::{Direction, InheritError};

/// How many links are followed: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Returns the number of the descriptor that `path` stands for: /dev/stdin, /dev/fd/N, /proc/self/fd/N,
/// or a link to one of these. Opens nothing.
pub(crate) fn inherited_number(path: &Path) -> Option<RawFd> {
    let mut path = PathBuf::from(path);
    for _ in 0..MOST_LINKS {
        if let Some(number) = number_of(&path) {
            return Some(number);
        }
        let folder = path.parent()?;
        let name = path.file_name()?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = folder.canonicalize().ok()?;
        if let Some(number) = number_of(&folder.join(name)) {
            return Some(number);
        }
        path = folder.join(std::fs::read_link(folder.join(name)).ok()?);
    }
    None
}

/// Returns what follows the folder of descriptors in `path`. The shell's <(...) gives such a path.
pub(crate) fn number_in_path(path: &str) -> Option<&str> {
    path.strip_prefix("/dev/fd/")
}

/// Does the same as [`inherited_number`], but follows no links.
fn number_of(path: &Path) -> Option<RawFd> {
    match path.to_str()? {
        "/dev/stdin" => return Some(0),
        "/dev/stdout" => return Some(1),
        "/dev/stderr" => return Some(2),
        _ => {}
    }
    let own = format!("/proc/{}/fd", std::process::id());
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", &own];
    let name = path.file_name()?.to_str()?;
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let known = folders.iter().any(|folder| path.parent() == Some(Path::new(folder)));
    (known && is_number).then(|| name.parse().ok())?
}

/// Takes over descriptor `number`, of any type, which the parent process has given this process.
///
/// # Errors
/// Fails if the parent process gave no descriptor under that number.
pub(crate) fn take_given(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: as in `take_inherited`.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    // SAFETY: as in `take_inherited`.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes over descriptor `number`, of any type, for one direction.
///
/// # Errors
/// Those of [`InheritError`], except `NotAPipe`.
pub(crate) fn take_inherited_stream(
    number: RawFd,
    direction: Direction,
) -> Result<OwnedFd, InheritError> {
    let fd = take_given(number).map_err(|_| InheritError::NotInherited(number))?;
    check_direction(number, &fd, direction)?;
    Ok(fd)
}

/// Checks that the descriptor inherited as `number` is open for `direction`.
///
/// # Errors
/// [`InheritError::WrongDirection`] if it is not.
pub(crate) fn check_direction(
    number: RawFd,
    fd: &OwnedFd,
    direction: Direction,
) -> Result<(), InheritError> {
    let flags = rustix::fs::fcntl_getfl(fd).map_err(|_| InheritError::NotInherited(number))?;
    match directions(flags).contains(&direction) {
        true => Ok(()),
        false => Err(InheritError::WrongDirection(number, direction.doing())),
    }
}

fn directions(flags: OFlags) -> Vec<Direction> {
    match flags & OFlags::ACCMODE {
        OFlags::RDONLY => vec![Direction::Read],
        OFlags::WRONLY => vec![Direction::Write],
        _ => vec![Direction::Read, Direction::Write],
    }
}

/// Takes over descriptor `number`, which this process must have inherited, and returns the directions
/// for which it is open. Takes a copy of a standard stream.
///
/// A descriptor that survived execve(2) cannot be close-on-exec, and every descriptor that pipehost
/// opens is. This tells an inherited number from one that pipehost opened.
///
/// # Errors
/// Fails if no descriptor was inherited under that number, or if it is not a pipe.
pub(crate) fn take_inherited(number: RawFd) -> Result<(OwnedFd, Vec<Direction>), InheritError> {
    let none = InheritError::NotInherited(number);
    if number < 0 {
        return Err(none);
    }
    if number < 3 {
        let Ok(fd) = super::standard(number) else { return Err(none) };
        return of_pipe(number, fd);
    }
    // SAFETY: the number is only asked about until fcntl(F_GETFD) has shown that it is open and was
    // inherited. From then on no other value in this process can own it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    match rustix::io::fcntl_getfd(fd) {
        Ok(flags) if !flags.contains(FdFlags::CLOEXEC) => {}
        _ => return Err(none),
    }
    if FileType::from_raw_mode(rustix::fs::fstat(fd).map_err(|_| none)?.st_mode) != FileType::Fifo {
        return Err(InheritError::NotAPipe(number));
    }
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)
        .map_err(|_| InheritError::NotInherited(number))?;
    // SAFETY: as above. Close-on-exec now marks it as taken, so it is taken only once.
    of_pipe(number, unsafe { OwnedFd::from_raw_fd(number) })
}

fn of_pipe(number: RawFd, fd: OwnedFd) -> Result<(OwnedFd, Vec<Direction>), InheritError> {
    let none = |_| InheritError::NotInherited(number);
    match FileType::from_raw_mode(rustix::fs::fstat(&fd).map_err(none)?.st_mode) {
        FileType::Fifo => {
            let flags = rustix::fs::fcntl_getfl(&fd).map_err(none)?;
            Ok((fd, directions(flags)))
        }
        _ => Err(InheritError::NotAPipe(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, to: &Path| {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            path
        };
        let own = format!("/proc/{}/fd/7", std::process::id());
        let to_folder = link("folder", Path::new("/dev/fd"));
        let chain = link("chain", &link("first", Path::new("/dev/stdout")));
        let circle = link("circle", &folder.path().join("circle"));
        for (path, number) in [
            (Path::new("/dev/stdin"), Some(0)),
            (Path::new("/dev/fd/63"), Some(63)),
            (Path::new("/proc/self/fd/5"), Some(5)),
            (Path::new(&own), Some(7)),
            (&to_folder.join("9"), Some(9)),
            (&chain, Some(1)),
            (&circle, None),
            (Path::new("/dev/fd/x"), None),
            (Path::new("/dev/fd"), None),
            (Path::new("/dev/null"), None),
            (Path::new("63"), None),
            (Path::new(""), None),
        ] {
            assert_eq!(inherited_number(path), number, "{}", path.display());
        }
    }
}
