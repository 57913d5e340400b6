//! The host's own messages: as text or JSON, on stderr or in a file. docs/logs.md has their form.

mod file;
mod record;

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::args::LogFormat;
use super::{note, put, tell, without_error_numbers};
use crate::pipe::quoted_in_line;
use file::LogFile;
use record::{Fields, Record};

/// The target of messages that go to stderr in any case.
const SAID: &str = "pipehost::said";

static LOG: OnceLock<Log> = OnceLock::new();

/// Where messages go, and in which form.
struct Log {
    format: LogFormat,
    file: Option<LogFile>,
    /// Whether nothing is to be written to the file any more.
    is_left: AtomicBool,
    /// Whether text on stderr has the spans.
    has_spans: bool,
}

/// Starts to print messages: warnings, with `-v` also what the host does, with `-vv` every message. They
/// go to `file`, if there is one: a regular file that is open for appending, with its path.
pub(crate) fn start(verbose: u8, format: LogFormat, file: Option<(&Path, File)>) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let file = file.map(|(path, file)| LogFile::new(path, file));
    let log = LOG.get_or_init(|| Log {
        format,
        file,
        is_left: AtomicBool::new(false),
        has_spans: verbose > 1,
    });
    let targets = Targets::new().with_target("pipehost", level).with_target(SAID, Level::INFO);
    tracing_subscriber::registry().with(Messages(log).with_filter(targets)).init();
}

/// Says on stderr, and in the log file, why pipehost or a stage ends. `lines` are shown below: they
/// are indented, so that a line of a file cannot look like a message of pipehost.
pub(crate) fn say(line: &str, lines: &[String]) {
    let mut message = quoted_in_line(&without_error_numbers(line)).into_owned();
    for line in lines {
        message.push('\n');
        message += &quoted_in_line(line);
    }
    match LOG.get() {
        Some(_) => tracing::error!(target: SAID, "{message}"),
        // The command line is wrong, so it is not known what it asks for.
        None => tell(&Record::error(message).line(false)),
    }
}

/// Says on stderr, and in the log file, what the user needs to know from the start.
pub(crate) fn inform(line: &str) {
    tracing::info!(target: SAID, "{}", quoted_in_line(line));
}

/// Returns the span of messages about a stage, or about the guest of `run`.
pub(crate) fn stage(name: &str) -> Span {
    // All messages have it, whatever their level.
    tracing::error_span!("stage", stage = name)
}

/// Returns the path of the log file.
pub(crate) fn path() -> Option<&'static Path> {
    LOG.get()?.file.as_ref().map(LogFile::path)
}

/// Leaves the log file as it is from now on.
pub(crate) fn leave_file() {
    if let Some(log) = LOG.get() {
        log.is_left.store(true, Ordering::Relaxed);
    }
}

/// Says once how many messages the log file had no room for. Must be called before the process ends.
pub(crate) fn end() {
    let missing = LOG.get().and_then(|log| log.file.as_ref()).and_then(LogFile::missing);
    if let Some(line) = missing {
        let line = without_error_numbers(&line);
        let line = format!("pipehost: warning: {}\n", quoted_in_line(&line));
        tell(&line);
    }
}

impl Log {
    fn write(&self, record: &Record) {
        note(&record.line(false));
        let file = self.file.as_ref().filter(|_| !self.is_left.load(Ordering::Relaxed));
        let Some(file) = file else {
            let message = match self.format {
                LogFormat::Text => record.line(self.has_spans),
                LogFormat::Json => record.json(),
            };
            // Without waiting for a slow reader.
            return put(&message);
        };
        if record.said {
            put(&record.line(false));
        }
        let message = match self.format {
            LogFormat::Text => record.stamped(),
            LogFormat::Json => record.json(),
        };
        file.write(&message, record.said);
    }
}

/// Passes messages on, with the spans that they are in.
struct Messages(&'static Log);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Messages {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = context.event_scope(event);
        let spans = scope.into_iter().flat_map(|scope| scope.from_root()).map(|span| {
            let fields = span.extensions().get::<Fields>().map(|fields| fields.others.clone());
            (span.name(), fields.unwrap_or_default())
        });
        let metadata = event.metadata();
        let said = metadata.target() == SAID;
        self.0.write(&Record {
            said,
            level: *metadata.level(),
            target: if said { "pipehost" } else { metadata.target() },
            message: fields.message,
            fields: fields.others,
            spans: spans.collect(),
        });
    }
}
