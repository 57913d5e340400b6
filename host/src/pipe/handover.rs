//! Tells a guest's readers that another guest takes its place, so that they end at a record's end.

use std::sync::Arc;

use tokio::sync::watch;

/// How far the change from one guest to the next has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// A guest runs, and nothing is about to change.
    #[default]
    Runs,
    /// Its readers end at the next end of a record.
    Told,
    /// Its readers end wherever they are.
    Cut,
    /// It is stopped where it stands.
    Stopped,
}

/// A phase, and how many changes there have been before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) phase: Phase,
    pub(super) number: u64,
}

/// The change from one guest to the next, as the ends of both see it. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handover(Arc<watch::Sender<Moment>>);

impl Handover {
    /// Goes on to `phase`. Readers that wait look again.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.send_modify(|now| {
            now.number += u64::from(now.phase == Phase::Runs && phase != Phase::Runs);
            now.phase = phase;
        });
    }

    /// Returns how far it has come.
    pub(crate) fn phase(&self) -> Phase {
        self.now().phase
    }

    pub(super) fn now(&self) -> Moment {
        *self.0.borrow()
    }

    /// Returns a future that resolves when the phase is another than now. Cancel safe.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut moments = self.0.subscribe();
        async move {
            if moments.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Resolves when the guest is to be stopped where it stands. Cancel safe.
    pub(crate) async fn stopped(&self) {
        let mut moments = self.0.subscribe();
        // This handle keeps the sender.
        let _ = moments.wait_for(|now| now.phase == Phase::Stopped).await;
    }
}
