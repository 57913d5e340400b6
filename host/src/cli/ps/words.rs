//! The words in which the state of an end is shown.

use std::time::Duration;

use super::super::listing::snapshot::{End, Met, Way};
use super::super::watching::{LEAST_WAIT, waits};

impl End {
    /// Says what the end's guest waits for, if it does for long enough to be told.
    pub(crate) fn wait(&self) -> Option<String> {
        let waiting = Duration::from_millis(self.waiting?);
        (waiting >= LEAST_WAIT).then(|| waits(waiting, &self.peer))
    }

    /// Says in what state the end is.
    pub(crate) fn state(&self) -> String {
        match (self.is_open, self.wait(), self.met) {
            (false, ..) => "closed".into(),
            (true, _, Some(met)) => met.words().into(),
            (true, Some(wait), None) => wait,
            (true, None, None) => "open".into(),
        }
    }

    /// Returns whether there is anything to tell of it: most guests leave some of their standard streams alone.
    pub(crate) fn is_of_interest(&self) -> bool {
        let is_standard = ["stdin", "stdout", "stderr"]
            .iter()
            .any(|it| self.name.rsplit('.').next() == Some(*it));
        !is_standard
            || self.bytes > 0
            || self.waited > 0
            || self.met.is_some()
            || self.path.is_some()
    }
}

impl Way {
    /// Says that bytes were moved: `read`.
    pub(crate) fn moved(self) -> &'static str {
        match self {
            Self::Reading => "read",
            Self::Writing => "wrote",
        }
    }
}

impl Met {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::EndOfFile => "at the end of file",
            Self::BrokenPipe => "its reader has left",
            Self::TimedOut => "nobody came in time",
            Self::LimitExceeded => "at its limit",
            Self::Error => "failed",
        }
    }
}
