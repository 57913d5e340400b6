//! Records which pipes a guest has asked for by name, so that the operator learns if none was opened or
//! granted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Event, Events, PipeName};
use crate::sys::Direction;

/// How many pipes that are not granted are remembered.
const MOST: usize = 4;

/// The record of what a guest has asked for. Cloning gives another handle to the same record.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    opened: bool,
    missing: Vec<(PipeName, Direction)>,
}

impl Asked {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a granted pipe was opened.
    pub(super) fn opened(&self) {
        self.state().opened = true;
    }

    /// Notes that the guest asked for a pipe that is not granted.
    pub(super) fn missed(&self, name: PipeName, direction: Direction) {
        let mut state = self.state();
        let known = state.missing.iter().any(|it| *it == (name.clone(), direction));
        if !known && state.missing.len() < MOST {
            state.missing.push((name, direction));
        }
    }
}

/// The pipes that were granted to a guest, and those that it asked for.
#[derive(Debug)]
pub(crate) struct GrantUse {
    pub(super) names: Vec<String>,
    pub(super) asked: Asked,
}

impl GrantUse {
    /// Reports a guest that was granted pipes and has opened none.
    pub(crate) fn tell_unopened(&self, events: &Events) {
        if !self.names.is_empty() && !self.asked.state().opened {
            events.tell(&Event::NothingOpened { granted: self.names.clone() });
        }
    }

    /// Reports the pipes that the guest asked for and was not granted. Returns whether there were any.
    pub(crate) fn tell_missing(&self, events: &Events) -> bool {
        let wanted = self.asked.state().missing.clone();
        let some = !wanted.is_empty();
        if some {
            events.tell(&Event::NotGranted { wanted, granted: self.names.clone() });
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_once_and_not_without_end() {
        let asked = Asked::default();
        let granted = GrantUse { names: vec!["in".into()], asked: asked.clone() };
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let events = Events::to(move |event| list.lock().unwrap().push(event.to_string()));
        assert!(!granted.tell_missing(&events));
        granted.tell_unopened(&events);
        assert_eq!(told.lock().unwrap().drain(..).count(), 1);
        for n in 0..100 {
            asked.missed(format!("p{}", n / 2).parse().unwrap(), Direction::Read);
        }
        assert!(granted.tell_missing(&events));
        let text = told.lock().unwrap().pop().unwrap();
        assert_eq!(text.matches("the pipe `p").count(), MOST, "{text}");
        assert!(text.ends_with("(granted are in)"), "{text}");
        asked.opened();
        granted.tell_unopened(&events);
        assert!(told.lock().unwrap().is_empty());
    }
}
