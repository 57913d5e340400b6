//! Moves bytes from one pipe to another without showing them to a guest.

use super::reader::Splice;
use super::{Fault, Read, Reader, Writer};
use crate::limits::Allowance;

/// The result of an attempt to transfer.
///
/// See the example of [`transfer()`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// This many bytes moved, at least one. All of them are the writer's now: they are in the
    /// kernel, or accepted.
    Bytes(usize),
    /// Everything has been read and the last writer is gone.
    End,
    /// There are no bytes to read yet: await [`Reader::ready`].
    NoBytes,
    /// The pipe has no room, or no reader yet: await [`Writer::ready`].
    NoRoom,
}

/// Which side of a transfer failed.
///
/// Returned by [`transfer()`], which has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferFault {
    /// The reader failed, as in [`Reader::try_read`].
    #[error("reading: {0}")]
    Reading(Fault),
    /// The writer failed, as in [`Writer::try_write`].
    #[error("writing: {0}")]
    Writing(Fault),
}

/// Moves up to `most` bytes, at least one, from `reader` to `writer`. Uses splice(2), which copies
/// nothing; if that is impossible, copies at most 64 KiB. Reads no more bytes than there is room
/// for. Never blocks.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::Pipes;
/// use pipehost::pipes::{Transfer, transfer};
///
/// let pipes = Pipes::builder().build();
/// let ((mut from, mut source), (_sink, mut to)) = (pipes.create()?, pipes.create()?);
/// source.try_write(b"hello")?;
/// assert_eq!(transfer(&mut from, &mut to, 1 << 16), Ok(Transfer::Bytes(5)));
/// assert_eq!(transfer(&mut from, &mut to, 1 << 16), Ok(Transfer::NoBytes));
/// drop(source);
/// assert_eq!(transfer(&mut from, &mut to, 1 << 16), Ok(Transfer::End));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of the two ends. A writer whose reader is gone, or that may write no more bytes, fails
/// only if there are bytes to write to it.
pub fn transfer(
    reader: &mut Reader,
    writer: &mut Writer,
    most: usize,
) -> Result<Transfer, TransferFault> {
    debug_assert!(most > 0);
    if writer.is_shedding() {
        // Splice(2) would go past what is to be dropped.
        return copy(reader, writer, most);
    }
    let Some(to) = writer.splice_target().map_err(TransferFault::Writing)? else {
        writer.waits();
        return Ok(Transfer::NoRoom);
    };
    let most = match (reader.allow(most), writer.allow(most)) {
        (Allowance::Bytes(read), Allowance::Bytes(write)) => read.min(write),
        (Allowance::Later, _) => return Ok(Transfer::NoBytes),
        (Allowance::Spent, _) => {
            return match reader.at_limit().map_err(TransferFault::Reading)? {
                Read::End => Ok(Transfer::End),
                Read::Wait | Read::Bytes(_) => Ok(Transfer::NoBytes),
            };
        }
        (_, Allowance::Later) => return Ok(Transfer::NoRoom),
        (_, Allowance::Spent) => {
            return match reader.look().map_err(TransferFault::Reading)? {
                Read::End => Ok(Transfer::End),
                Read::Wait => Ok(Transfer::NoBytes),
                Read::Bytes(_) => Err(TransferFault::Writing(writer.exceeded())),
            };
        }
    };
    if writer.is_framed() {
        // Splice(2) would go past the records.
        return copy(reader, writer, most);
    }
    match reader.try_splice(&to, most).map_err(TransferFault::Reading)? {
        Splice::Read(Read::Bytes(n)) => {
            writer.moved(n);
            Ok(Transfer::Bytes(n))
        }
        Splice::Read(Read::End) => Ok(Transfer::End),
        // EAGAIN does not say which of the two ends would block.
        Splice::Read(Read::Wait) if to.is_ready().unwrap_or(true) => {
            reader.waits();
            Ok(Transfer::NoBytes)
        }
        Splice::Read(Read::Wait) => {
            writer.waits();
            Ok(Transfer::NoRoom)
        }
        Splice::Broken(error) => Err(TransferFault::Writing(writer.fail(error))),
        Splice::Refused => copy(reader, writer, most),
    }
}

fn copy(reader: &mut Reader, writer: &mut Writer, most: usize) -> Result<Transfer, TransferFault> {
    let permit = writer.permit().map_err(TransferFault::Writing)?;
    if permit == 0 {
        return Ok(Transfer::NoRoom);
    }
    let (read, bytes) = reader.try_read_bytes(most.min(permit)).map_err(TransferFault::Reading)?;
    match read {
        Read::Bytes(n) => {
            // They are within the permit, so the writer takes all of them.
            writer.accept(&bytes).map_err(TransferFault::Writing)?;
            Ok(Transfer::Bytes(n))
        }
        Read::End => Ok(Transfer::End),
        Read::Wait => Ok(Transfer::NoBytes),
    }
}
