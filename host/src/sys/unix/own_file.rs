//! Reads a file that says something in its user's name, unless somebody else may have written it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;

use super::super::OwnFile;

const GROUP_WRITES: RawMode = 0o020;
const WORLD_WRITES: RawMode = 0o002;
/// In a folder with this bit, only the owner of a file may replace it.
const STICKY: RawMode = 0o1000;

/// Reads the regular file at `path`, of up to `most` bytes, if only this process's user and root can
/// have written it, and only they can put another in its place. Blocks for the file system only.
///
/// # Errors
/// `FileTooLarge`; those of open(2), read(2) and stat(2).
pub(crate) fn read_own_file(path: &Path, most: u64) -> io::Result<OwnFile> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags | OFlags::NOCTTY, Mode::empty()) {
        Err(Errno::LOOP) => return Ok(OwnFile::Doubtful("it is a symbolic link")),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(OwnFile::Doubtful("it is no regular file"));
    }
    if !is_trusted(stat.st_uid) {
        return Ok(OwnFile::Doubtful("another user owns it"));
    }
    if others_write(&stat) {
        return Ok(OwnFile::Doubtful("other users may write to it"));
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = rustix::fs::stat(folder.unwrap_or(Path::new(".")))?;
    if !is_trusted(folder.st_uid) {
        return Ok(OwnFile::Doubtful("another user owns its folder"));
    }
    if others_write(&folder) && folder.st_mode & STICKY == 0 {
        return Ok(OwnFile::Doubtful("other users may write to its folder"));
    }
    let mut bytes = Vec::new();
    File::from(file).take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(OwnFile::Read(bytes)),
    }
}

fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// Returns whether others than its owner may write to it. A group of the same number as its user is
/// that user's alone, by the custom of systems whose umask is 002.
fn others_write(stat: &Stat) -> bool {
    let is_shared = stat.st_gid != stat.st_uid;
    stat.st_mode & WORLD_WRITES != 0 || stat.st_mode & GROUP_WRITES != 0 && is_shared
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_that_others_can_have_written_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mode =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let why = |path: &Path| match read_own_file(path, 3).unwrap() {
            OwnFile::Read(bytes) => String::from_utf8(bytes).unwrap(),
            OwnFile::Doubtful(why) => why.to_owned(),
        };
        assert!(read_own_file(&path, 3).is_err_and(|it| it.kind() == io::ErrorKind::NotFound));
        fs::write(&path, "abc").unwrap();
        mode(&path, 0o644);
        assert_eq!(why(&path), "abc");
        mode(&path, 0o646);
        assert_eq!(why(&path), "other users may write to it");
        mode(&path, 0o600);
        mode(dir.path(), 0o777);
        assert_eq!(why(&path), "other users may write to its folder");
        mode(dir.path(), 0o1777);
        assert_eq!(why(&path), "abc");
        mode(dir.path(), 0o700);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(why(&link), "it is a symbolic link");
        assert_eq!(why(dir.path()), "it is no regular file");
        fs::write(&path, "abcd").unwrap();
        assert!(read_own_file(&path, 3).is_err_and(|it| it.kind() == io::ErrorKind::FileTooLarge));
    }
}
