//! What a guest has asked for by name, for its operator to be told where that came to nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::PipeName;
use crate::sys::Direction;

/// So many pipes that are not granted are remembered.
const MOST: usize = 4;

/// What a guest has asked for. Cloning gives another handle to the same.
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

    /// A granted pipe was opened.
    pub(super) fn opened(&self) {
        self.state().opened = true;
    }

    /// Something was asked for that is not granted.
    pub(super) fn missed(&self, name: PipeName, direction: Direction) {
        let mut state = self.state();
        let known = state.missing.iter().any(|it| *it == (name.clone(), direction));
        if !known && state.missing.len() < MOST {
            state.missing.push((name, direction));
        }
    }
}

/// The pipes that were granted to a guest, and what it asked for.
#[derive(Debug)]
pub(crate) struct GrantUse {
    pub(super) names: Vec<String>,
    pub(super) asked: Asked,
}

impl GrantUse {
    /// The names of all granted pipes, where there are any and none was opened.
    pub(crate) fn unopened(&self) -> Option<String> {
        let none = self.names.is_empty() || self.asked.state().opened;
        (!none).then(|| self.names.join(", "))
    }

    /// What the guest asked for and was not granted, if there is any, and what to do about it.
    pub(crate) fn missing(&self) -> Option<String> {
        let state = self.asked.state();
        let (first, _) = state.missing.first()?;
        let missing = state.missing.iter();
        let missing = missing.map(|(name, way)| format!("the pipe `{name}` for {}", way.doing()));
        let listed = missing.collect::<Vec<_>>().join(", ");
        let granted = match &*self.names {
            [] => "nothing is".to_owned(),
            names => format!("granted are {}", names.join(", ")),
        };
        Some(format!(
            "the guest asked for {listed}, which is not granted ({granted}): write --fifo {first}=PATH"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_once_and_not_without_end() {
        let asked = Asked::default();
        let granted = GrantUse { names: vec!["in".into()], asked: asked.clone() };
        assert_eq!((granted.missing(), granted.unopened().as_deref()), (None, Some("in")));
        for n in 0..100 {
            asked.missed(format!("p{}", n / 2).parse().unwrap(), Direction::Read);
        }
        let text = granted.missing().unwrap();
        assert_eq!(text.matches("the pipe `p").count(), MOST, "{text}");
        assert!(text.contains("(granted are in): write --fifo p0=PATH"), "{text}");
        asked.opened();
        assert_eq!(granted.unopened(), None);
    }
}
