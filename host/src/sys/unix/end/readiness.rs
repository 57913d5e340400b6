//! Checks whether an end can be read or written, and waits until it can.

use std::future::pending;
use std::io;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::FileType;
use rustix::net::RecvFlags;

use super::super::super::{Direction, own};
use super::poll::{hung_up, interest, is_closed, poll, register, restart};
use super::{End, Waitable};

/// How often readiness is checked when the system offers no way to wait for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What poll(2) says of a writing end without a reader: Linux ERR, others HUP.
const READER_GONE: PollFlags = PollFlags::ERR.union(PollFlags::HUP);

impl End {
    /// Waits until a read or write can get on: with bytes, room, the end of file or an error. Takes
    /// no bytes out and puts none in. Cancel safe.
    pub async fn ready(&self) -> io::Result<()> {
        let Waitable::Polled(fd) = &self.fd else {
            return Ok(());
        };
        if self.ahead.len() > 0 {
            return Ok(());
        }
        loop {
            let mut guard = fd.ready(interest(self.direction)).await?;
            // tokio's knowledge may be older than the last read: ask the kernel.
            if self.is_ready()? {
                return Ok(());
            }
            if is_closed(guard.ready()) {
                return self.ready_anew().await;
            }
            guard.clear_ready();
        }
    }

    /// Waits until something has happened since a read or write returned `WouldBlock`. Cheaper than
    /// [`End::ready`], and may resolve early. Cancel safe.
    pub async fn ready_after_would_block(&self) -> io::Result<()> {
        let Waitable::Polled(fd) = &self.fd else {
            return Ok(());
        };
        if self.ahead.len() > 0 {
            return Ok(());
        }
        let guard = fd.ready(interest(self.direction)).await?;
        match is_closed(guard.ready()) && !self.is_ready()? {
            true => self.ready_anew().await,
            false => Ok(()),
        }
    }

    /// Waits as [`End::ready`] does, after tokio has seen the other side close. tokio takes that to
    /// be final, but a FIFO's next peer may have come since. A new registration does not know of
    /// the close.
    async fn ready_anew(&self) -> io::Result<()> {
        while !self.is_ready()? {
            let same = rustix::io::fcntl_dupfd_cloexec(self, 3).map_err(io::Error::from);
            match same.and_then(|fd| register(fd, self.direction).map_err(|(_, error)| error)) {
                Ok(anew) => anew.ready(interest(self.direction)).await?.retain_ready(),
                // No descriptor is left: check again in a while.
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        Ok(())
    }

    /// Waits until the reader of this writing end is gone. Waits for ever if this is not a pipe. Cancel
    /// safe.
    pub async fn reader_gone(&self) {
        let Waitable::Polled(fd) = &self.fd else {
            return pending().await;
        };
        while !self.lacks_reader() {
            // If that fails, the runtime is shutting down, and this task with it.
            if own::reader_gone(fd).await.is_err() {
                return pending().await;
            }
        }
    }

    /// Returns whether this is the writing end of a pipe that no process can ever read.
    pub fn lacks_reader(&self) -> bool {
        self.pipe && poll(self, Direction::Write).is_ok_and(|events| events.intersects(READER_GONE))
    }

    /// Returns whether a read or write can get on now: poll(2) without waiting.
    pub fn is_ready(&self) -> io::Result<bool> {
        match &self.fd {
            Waitable::Always(_) => Ok(true),
            Waitable::Polled(_) if self.ahead.len() > 0 => Ok(true),
            Waitable::Polled(_) => Ok(!poll(self, self.direction)?.is_empty()),
        }
    }

    /// Returns whether the other side has been there and is gone. A FIFO that no writer has opened
    /// since this end was opened is not hung up: Linux reports POLLHUP only after it has seen one.
    pub fn hung_up(&self) -> io::Result<bool> {
        match &self.fd {
            Waitable::Always(_) => Ok(true),
            Waitable::Polled(_) => Ok(hung_up(poll(self, self.direction)?)),
        }
    }

    /// Returns whether a read would return the end of file now. Takes no bytes out. A device cannot
    /// be asked that: it is at its end only if it is /dev/null.
    pub fn is_at_end(&self) -> io::Result<bool> {
        if self.pipe {
            // In this order: once the last writer is gone, no more bytes come.
            return Ok(self.hung_up()? && self.available()? == 0);
        }
        let stat = rustix::fs::fstat(self)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                Ok(rustix::fs::tell(self)? >= u64::try_from(stat.st_size).unwrap_or(0))
            }
            FileType::Socket => {
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                match restart(|| rustix::net::recv(self, &mut [0; 1], flags)) {
                    Ok((_, n)) => Ok(n == 0),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                    Err(error) => Err(error),
                }
            }
            // A terminal is at its end when the user has typed the character that ends the input.
            _ if self.terminal().is_some() => {
                let events = poll(self, Direction::Read)?;
                Ok(events.contains(PollFlags::IN) && self.available()? == 0 || hung_up(events))
            }
            _ => Ok(own::is_null(&stat)),
        }
    }
}
