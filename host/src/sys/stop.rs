//! Requests to a process to end.

/// A request to end, from a terminal or another process.
///
/// ```
/// use pipehost::pipeline::Stop;
///
/// assert_eq!(Stop::of_number(15), Some(Stop::Terminate));
/// println!("exit status {}", 128 + Stop::Interrupt.number());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The terminal is gone: SIGHUP.
    HangUp,
    /// Ctrl-C: SIGINT.
    Interrupt,
    /// Ctrl-\: SIGQUIT.
    Quit,
    /// SIGTERM.
    Terminate,
}

impl Stop {
    /// All requests.
    pub const ALL: [Self; 4] = [Self::HangUp, Self::Interrupt, Self::Quit, Self::Terminate];

    /// Returns the number of the signal, which POSIX fixes. A shell adds 128 to it for a status.
    pub fn number(self) -> u8 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }

    /// Returns the request of that number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stop| stop.number() == number)
    }

    /// Returns whether a terminal sends the signal to all processes of its foreground group.
    pub fn is_typed(self) -> bool {
        matches!(self, Self::Interrupt | Self::Quit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart() {
        for stop in Stop::ALL {
            assert_eq!(Stop::of_number(stop.number()), Some(stop));
        }
        assert_eq!(Stop::of_number(9), None);
    }
}
