//! The events that a host reports while a guest and its children run.
//!
//! Their number is bounded, as guests can cause events without end. Events that are left out are
//! counted, and the count is reported at the end.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::Span;

use super::told::end_span;
use super::{Excess, Fault, Label, PipeName, Refused};
use crate::limits::Size;
use crate::sys::{Direction, FifoWarning, FileKind};

/// How many warnings about one family of guests are reported.
const MOST_WARNINGS: usize = 32;

/// How many details about one family of guests are reported.
const MOST_DETAILS: usize = 1024;

/// An event while a guest runs, as data. Its text is a line for a person, who may not know how the
/// guest was started.
///
/// Events go to the function that [`PipesBuilder::events`](super::PipesBuilder::events) sets.
/// Without one they go to `tracing`: a detail as `info`, the others as warnings.
///
/// See the example of [`Pipes`](super::Pipes).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A FIFO was made in a private folder for a grant without a path. Its peers must be told the
    /// path.
    PrivateFifo {
        /// The grant.
        name: PipeName,
        /// The FIFO's path.
        path: PathBuf,
    },
    /// The kernel refused the capacity that was asked for. The pipe works with the one that it has.
    CapacityRefused {
        /// The pipe.
        label: Label,
        /// The capacity asked for, in bytes.
        bytes: u64,
        /// The capacity that it has, in bytes.
        had: u64,
        /// The reason.
        error: io::Error,
    },
    /// A FIFO has been removed or replaced by another process, cannot be removed, or is not kept from
    /// other hosts.
    Fifo {
        /// The FIFO's path.
        path: PathBuf,
        /// What has happened.
        warning: FifoWarning,
    },
    /// A guest that failed had asked for pipes that are not granted.
    NotGranted {
        /// The pipes that it asked for, at least one. Only the first few if there were many.
        wanted: Vec<(PipeName, Direction)>,
        /// The names that are granted.
        granted: Vec<String>,
    },
    /// A guest ended by itself and opened none of the pipes that are granted to it.
    NothingOpened {
        /// The names that are granted.
        granted: Vec<String>,
    },
    /// A guest that failed had met a system error on a pipe, and learnt only that there was an
    /// error.
    PipeFailed {
        /// The pipe.
        label: Label,
        /// The error.
        fault: Fault,
    },
    /// A guest tried to open a special file in a granted folder. Opening it may take bytes from a
    /// peer.
    SpecialFile {
        /// The path, as the guest gave it.
        path: String,
        /// Its kind: a FIFO, a socket or a device.
        kind: FileKind,
    },
    /// A guest wrote something that is no record to an end which only records may leave. It was left out.
    RecordRefused {
        /// The end.
        label: Label,
        /// What it was.
        refused: Refused,
    },
    /// So much was left out at one end because it was no record, what was reported before included.
    RecordsRefused {
        /// The end.
        label: Label,
        /// How many records there would have been.
        records: u64,
        /// How many bytes they had.
        bytes: u64,
    },
    /// A guest trapped, and is started again on the same pipes.
    Restarting {
        /// The trap, in a few words.
        trap: String,
        /// How often it has been started again, this time included.
        count: u32,
        /// How often it may be.
        most: u32,
        /// When it starts.
        after: Duration,
    },
    /// Another guest has taken the place of the one that ran, on the same pipes.
    Replaced,
    /// A guest was told of another one that takes its place, and did not end well. The text is how it ended, in a
    /// few words.
    EndedBadly(String),
    /// A guest was told of another one that takes its place, and did not end within this time. It was stopped.
    Stopped(Duration),
    /// Bytes that a guest wrote were dropped, so that it need not wait.
    Dropped {
        /// The end.
        label: Label,
        /// How many bytes.
        bytes: u64,
        /// Which ones.
        what: Excess,
    },
    /// A child of a guest failed. Reported once for each name.
    ChildFailed {
        /// The name by which the guest started it.
        name: PipeName,
        /// The reason.
        failure: ChildFailure,
    },
    /// This many further events were left out, not counting details.
    LeftOut(usize),
    /// A detail: a guest trapped. The text has the backtrace in lines of its own.
    Trapped(String),
    /// A detail: this many further details were left out.
    DetailsLeftOut(usize),
    /// A detail: a pipe failed with a system error. The guest learns only that there was an error.
    PipeFault {
        /// The pipe.
        label: Label,
        /// The error.
        fault: Fault,
    },
}

/// Why a child of a guest failed.
///
/// A part of an [`Event`]: see the example of [`Pipes`](super::Pipes).
#[derive(Debug)]
#[non_exhaustive]
pub enum ChildFailure {
    /// It is a native command, and was given an end whose bytes are counted. The host cannot count
    /// what a command moves.
    BoundedEnd(Label),
    /// It is a native command, and was given an end that only whole records may leave. The host does not see what
    /// a command writes.
    FramedEnd(Label),
    /// It is a native command, and was given an end of which bytes are dropped so that a guest never waits. The host
    /// could drop nothing of what a command writes.
    SheddingEnd(Label),
    /// It is a native command that could not be started.
    NotStarted {
        /// The command.
        program: OsString,
        /// The reason.
        error: io::Error,
    },
    /// It is a native command that could not be waited for.
    NotWaitedFor(io::Error),
    /// It used up its share of the fuel.
    OutOfFuel,
    /// It trapped. The text is the reason in a few words.
    Trapped(String),
    /// It needs at least so many bytes of memory to start, and may not have them.
    TooLittleMemory(u64),
    /// It could not be run as it is. The text is the reason.
    Unfit(String),
    /// One of its standard streams failed, or lost bytes that the child had left behind.
    StreamFailed {
        /// The stream.
        label: Label,
        /// The error.
        fault: Fault,
    },
}

impl Event {
    /// Returns whether the event matters only to a person who looks for the cause of a failure.
    pub fn is_detail(&self) -> bool {
        matches!(self, Self::Trapped(_) | Self::PipeFault { .. } | Self::DetailsLeftOut(_))
    }
}

impl Event {
    /// Returns the end that the event is about, if it is about one.
    fn label(&self) -> Option<&Label> {
        match self {
            Self::CapacityRefused { label, .. }
            | Self::PipeFailed { label, .. }
            | Self::RecordRefused { label, .. }
            | Self::RecordsRefused { label, .. }
            | Self::Dropped { label, .. }
            | Self::PipeFault { label, .. } => Some(label),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateFifo { name, path } => write!(f, "{name} is at {}", path.display()),
            Self::CapacityRefused { label, bytes, had, error } => write!(
                f,
                "{label}: a capacity of {bytes} bytes is refused ({error}); it stays at {had}"
            ),
            Self::Fifo { path, warning } => write!(f, "{}: {warning}", path.display()),
            Self::NotGranted { wanted, granted } => {
                let wanted = wanted.iter();
                let wanted =
                    wanted.map(|(name, way)| format!("the pipe `{name}` for {}", way.doing()));
                let wanted = wanted.collect::<Vec<_>>().join(", ");
                write!(f, "the guest asked for {wanted}, which is not granted ")?;
                match &granted[..] {
                    [] => f.write_str("(nothing is)"),
                    names => write!(f, "(granted are {})", names.join(", ")),
                }
            }
            Self::NothingOpened { granted } => {
                write!(f, "none of the granted pipes was opened: {}", granted.join(", "))
            }
            Self::PipeFailed { label, fault } | Self::PipeFault { label, fault } => {
                write!(f, "`{label}`: {fault}")
            }
            Self::SpecialFile { path, kind } => write!(
                f,
                "the guest may not open `{}` of a granted folder: it is {}",
                super::quoted_name(path),
                special(*kind)
            ),
            Self::RecordRefused { label, refused } => {
                write!(f, "`{label}`: left out {refused}")
            }
            Self::RecordsRefused { label, records, bytes } => {
                write!(
                    f,
                    "`{label}`: left out {records} pieces that are no records, {bytes} bytes in all"
                )
            }
            Self::Restarting { trap, count, most, after } => write!(
                f,
                "the guest trapped: {trap}; it is started again in {} ms ({count} of {most})",
                after.as_millis()
            ),
            Self::Replaced => f.write_str("the new guest goes on"),
            Self::EndedBadly(how) => write!(f, "the old guest ended for the new one: {how}"),
            Self::Stopped(patience) => write!(
                f,
                "the old guest did not end within {patience:?} and is stopped: what it held in its memory is lost"
            ),
            Self::Dropped { label, bytes, what: Excess::NoRoom } => {
                write!(
                    f,
                    "`{label}`: {bytes} bytes were dropped, as the reader did not take them at once"
                )
            }
            Self::Dropped { label, bytes, what: Excess::Beyond(most) } => {
                write!(f, "`{label}`: {bytes} bytes were dropped, as {} are kept", Size(*most))
            }
            Self::ChildFailed { name, failure } => write!(f, "child `{name}`: {failure}"),
            Self::LeftOut(count) => {
                write!(f, "{count} more warnings about the guest and its children were left out")
            }
            Self::DetailsLeftOut(count) => {
                write!(f, "{count} more lines about the guest and its children were left out")
            }
            Self::Trapped(text) => f.write_str(text),
        }
    }
}

/// Returns what messages call a special file of this kind.
fn special(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Fifo => "a FIFO",
        FileKind::Socket => "a socket",
        _ => "a device",
    }
}

impl fmt::Display for ChildFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BoundedEnd(label) => write!(
                f,
                "a native command cannot have `{label}`: the limits of its bytes would not hold for it"
            ),
            Self::FramedEnd(label) => write!(
                f,
                "a native command cannot have `{label}`: it could write what is no record"
            ),
            Self::SheddingEnd(label) => write!(
                f,
                "a native command cannot have `{label}`: nothing of what it writes would be dropped"
            ),
            Self::NotStarted { program, error } => {
                write!(f, "{} cannot be started: {error}", program.display())
            }
            Self::NotWaitedFor(error) => write!(f, "cannot be waited for: {error}"),
            Self::OutOfFuel => f.write_str("ran out of its share of the fuel"),
            Self::Trapped(summary) => write!(f, "trapped: {summary}"),
            Self::TooLittleMemory(bytes) => {
                write!(f, "needs at least {bytes} bytes of memory to start")
            }
            Self::Unfit(text) => f.write_str(text),
            Self::StreamFailed { label, fault } => write!(f, "{label}: {fault}"),
        }
    }
}

/// A function that is called with events.
type Listener = Box<dyn Fn(&Event) + Send + Sync>;

/// The receiver of the events of one family of guests. Cloning gives another handle with the same
/// bounds.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<State>);

#[derive(Default)]
struct State {
    listener: Option<Listener>,
    warnings: AtomicUsize,
    details: AtomicUsize,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Sends events to `listener`.
    pub(crate) fn to(listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(State { listener: Some(Box::new(listener)), ..State::default() }))
    }

    /// Reports `event`, unless the most such events have been reported already.
    pub(crate) fn tell(&self, event: &Event) {
        // A FIFO causes few, and the others are bounded by what the operator has set, or come one for each new file of a guest.
        let by_operator = matches!(
            event,
            Event::Restarting { .. } | Event::Replaced | Event::EndedBadly(_) | Event::Stopped(_)
        );
        if by_operator || matches!(event, Event::Fifo { .. }) {
            return self.pass_on(event);
        }
        let (count, most) = match event.is_detail() {
            true => (&self.0.details, MOST_DETAILS),
            false => (&self.0.warnings, MOST_WARNINGS),
        };
        if count.fetch_add(1, Ordering::Relaxed) < most {
            self.pass_on(event);
        }
    }

    /// Reports how many events were left out. Must be called once, when the whole family has ended.
    pub(crate) fn sum_up(&self) {
        let left_out =
            |count: &AtomicUsize, most| count.load(Ordering::Relaxed).saturating_sub(most);
        let warnings = left_out(&self.0.warnings, MOST_WARNINGS);
        let details = left_out(&self.0.details, MOST_DETAILS);
        if warnings > 0 {
            self.pass_on(&Event::LeftOut(warnings));
        }
        if details > 0 {
            self.pass_on(&Event::DetailsLeftOut(details));
        }
    }

    fn pass_on(&self, event: &Event) {
        let span = event.label().map_or_else(Span::none, |label| end_span(label, None));
        span.in_scope(|| self.tell_listener(event));
    }

    fn tell_listener(&self, event: &Event) {
        match &self.0.listener {
            Some(listener) => listener(event),
            None if event.is_detail() => tracing::info!("{event}"),
            None => tracing::warn!("{event}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn events_without_end_are_counted_and_not_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let events = Events::to(move |event| list.lock().unwrap().push(event.to_string()));
        for n in 0..MOST_WARNINGS + 5 {
            events.tell(&Event::NothingOpened { granted: vec![n.to_string()] });
        }
        events.tell(&Event::Trapped("at 1\nat 2".into()));
        events.sum_up();
        let told = told.lock().unwrap();
        assert_eq!(told.len(), MOST_WARNINGS + 2);
        assert_eq!(told[0], "none of the granted pipes was opened: 0");
        assert_eq!(told[MOST_WARNINGS], "at 1\nat 2");
        let last = "5 more warnings about the guest and its children were left out";
        assert_eq!(told[MOST_WARNINGS + 1], last);
    }
}
