//! Guests that take another's place while it runs.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::guest::Guest;

/// The guests that take the place of the one that runs, one after the other, on the same open pipes.
///
/// The old guest is told that its input has ended, at the end of a record: a line feed, or a NUL where what it writes
/// is framed by [`Records::Nul`](crate::pipes::Records). A reader that is at such an end already, or that waits for the
/// first byte, is told at once. When the guest has ended, all that it wrote is delivered, and the new guest goes on
/// with the next byte of the same pipes. No byte is lost and none is doubled; peers see nothing of it. Standard
/// streams stay open, and so do ends of granted pipes that the old guest had open when it was told.
///
/// Half of the time that is set here later, readers end in the middle of a record, too, and so they do after 64 KiB
/// without an end. After all of it the guest is stopped where it stands. What it has read and not passed on is lost
/// then, and an [`Event`](crate::Event) says so. Time in which it waits for room in a pipe does not
/// count, up to ten times as much.
///
/// The limits of the run hold for all guests together. A guest that ends before it is told of another ends the run.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use pipehost::pipes::null;
/// use pipehost::{Engine, Guest, Outcome, Pipes, Setup, Swaps};
///
/// let engine = Engine::new()?;
/// let spins = Guest::from_bytes(&engine, b"(module (func (export \"_start\") (loop br 0)))")?;
/// let ends = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// let pipes = Pipes::builder().handed_over().events(|event| println!("{event}")).build();
/// let mut setup = Setup::between(pipes, null()?, null()?, null()?)?;
/// let (new, swaps) = Swaps::within(Duration::from_millis(100));
/// setup.swaps(swaps);
/// // At any time while the guest runs, from any thread:
/// new.add(ends).await;
/// assert!(matches!(setup.run(&engine, &spins).await?, Outcome::Exited(0)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Swaps {
    new: mpsc::Receiver<Guest>,
    pub(crate) patience: Duration,
}

/// Where new guests are handed in.
///
/// See the example of [`Swaps`].
#[derive(Clone, Debug)]
pub struct NewGuests(mpsc::Sender<Guest>);

impl Swaps {
    /// Makes a queue of guests. An old guest has `patience` to end.
    pub fn within(patience: Duration) -> (NewGuests, Self) {
        let (sender, new) = mpsc::channel(1);
        (NewGuests(sender), Self { new, patience })
    }

    /// Waits for the next guest; for ever if there will be none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Guest {
        match self.new.recv().await {
            Some(guest) => guest,
            None => std::future::pending().await,
        }
    }
}

impl NewGuests {
    /// Hands in a guest, which must be of the engine of the one that runs, and fit: see [`Guest::fits`]. Waits while
    /// another waits for its turn. Returns whether there is still a run.
    pub async fn add(&self, guest: Guest) -> bool {
        self.0.send(guest).await.is_ok()
    }
}
