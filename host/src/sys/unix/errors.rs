//! The numbers of errors: errno(3).

use rustix::io::Errno;

use super::super::SystemError;

/// The errors that this program tells apart, and their numbers.
pub(crate) const ERRORS: &[(SystemError, i32)] = &[
    (SystemError::Access, Errno::ACCESS.raw_os_error()),
    (SystemError::Again, Errno::AGAIN.raw_os_error()),
    (SystemError::BadHandle, Errno::BADF.raw_os_error()),
    (SystemError::ConnectionReset, Errno::CONNRESET.raw_os_error()),
    (SystemError::Quota, Errno::DQUOT.raw_os_error()),
    (SystemError::FileTooLarge, Errno::FBIG.raw_os_error()),
    (SystemError::Invalid, Errno::INVAL.raw_os_error()),
    (SystemError::Io, Errno::IO.raw_os_error()),
    (SystemError::IsFolder, Errno::ISDIR.raw_os_error()),
    (SystemError::ProcessHandles, Errno::MFILE.raw_os_error()),
    (SystemError::SystemHandles, Errno::NFILE.raw_os_error()),
    (SystemError::NoDevice, Errno::NODEV.raw_os_error()),
    (SystemError::NoMemory, Errno::NOMEM.raw_os_error()),
    (SystemError::NoSpace, Errno::NOSPC.raw_os_error()),
    (SystemError::NotConnected, Errno::NOTCONN.raw_os_error()),
    (SystemError::NotExecutable, Errno::NOEXEC.raw_os_error()),
    (SystemError::NoSuchDevice, Errno::NXIO.raw_os_error()),
    (SystemError::NotPermitted, Errno::PERM.raw_os_error()),
    (SystemError::BrokenPipe, Errno::PIPE.raw_os_error()),
    (SystemError::ReadOnly, Errno::ROFS.raw_os_error()),
    (SystemError::NoSeek, Errno::SPIPE.raw_os_error()),
    (SystemError::Stale, Errno::STALE.raw_os_error()),
    (SystemError::TimedOut, Errno::TIMEDOUT.raw_os_error()),
];
