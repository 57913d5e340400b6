//! What a file must be to be used as a FIFO, and the locks that keep other hosts from using it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, RawMode, Stat};
use rustix::io::Errno;

use super::super::super::{Direction, FifoError, FifoOptions, FifoWarning, PrivateError};
use super::super::identity::Identity;
use super::super::runtime::Lock;
use super::super::warnings::Warnings;

const GROUP_OR_WORLD_WRITES: RawMode = 0o022;
const WORLD_WRITES: RawMode = 0o002;

/// Takes the locks for these directions. Warns and does without where there is no folder for locks.
pub(super) fn locks(
    path: &Path,
    identity: Identity,
    ways: &[Direction],
    warnings: &Warnings,
) -> Result<Vec<Arc<Lock>>, FifoError> {
    let mut locks = Vec::new();
    for way in ways {
        let letter = match way {
            Direction::Read => "r",
            Direction::Write => "w",
        };
        match Lock::take(&format!("{}-{letter}", identity.text())) {
            Ok(Some(lock)) => locks.push(lock),
            Ok(None) => return Err(FifoError::Busy { path: path.into(), doing: way.doing() }),
            // The following steps would fail for the same reason.
            Err(PrivateError::Io { error, .. }) if is_lack(&error) => {
                return Err(FifoError::Io { path: path.into(), doing: "locking it", error });
            }
            Err(error) => {
                warnings.tell(path, FifoWarning::NotLocked(error.to_string()));
                break;
            }
        }
    }
    Ok(locks)
}

/// Returns whether the error says that this process, or the system, has no more descriptors.
fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| lacks.contains(&number))
}

/// Checks the type, the owner and the mode of the file at `path`.
pub(super) fn check(
    path: &Path,
    stat: &Stat,
    folder: &Stat,
    options: FifoOptions,
) -> Result<(), FifoError> {
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => None,
        FileType::RegularFile => Some("a regular file"),
        FileType::Directory => Some("a folder"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        _ => Some("something else"),
    };
    if let Some(found) = found {
        return Err(FifoError::NotAFifo { path: path.into(), found });
    }
    if options.insecure {
        return Ok(());
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(FifoError::NotOurs { path: path.into(), owner: stat.st_uid });
    }
    if stat.st_mode & GROUP_OR_WORLD_WRITES != 0 && folder.st_mode & WORLD_WRITES != 0 {
        return Err(FifoError::Exposed(path.into()));
    }
    Ok(())
}

impl FifoError {
    pub(super) fn from_errno(path: &Path, doing: &'static str, error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM => Self::NotPermitted { path: path.into(), doing },
            error => Self::Io { path: path.into(), doing, error: error.into() },
        }
    }
}
