//! The host's own messages, as lines on stderr.

use std::{fmt, io};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{tell, without_error_numbers};
use crate::pipe::quoted;

/// Starts to print messages: warnings, with `-v` also what the host does, with `-vv` every message.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Stderr)
        // It would report on stderr that stderr fails, and panic as that fails too.
        .log_internal_errors(false)
        .event_format(Line)
        .with_filter(Targets::new().with_target("pipehost", level));
    tracing_subscriber::registry().with(lines).init();
}

/// Writes to stderr, without waiting for a slow reader of stderr.
struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        tell(&shown(&String::from_utf8_lossy(message)));
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a message as it is shown. It may quote a guest, its names and its functions. Further lines
/// are indented, so that a quoted text cannot look like a message of the host.
fn shown(message: &str) -> String {
    let message = without_error_numbers(message);
    let lines = quoted(message.trim_end_matches('\n')).replace('\n', "\n    ");
    lines + "\n"
}

/// The format of a line: `pipehost: warning: ...`
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        write!(writer, "pipehost: {level}")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn no_line_can_be_forged() {
        let forged = "pipehost: warning: x\npipehost: error: all is lost\r\n";
        let seen = "pipehost: warning: x\n    pipehost: error: all is lost\\r\n";
        assert_eq!(shown(forged), seen);
        assert_eq!(shown("pipehost: one line (os error 2)\n"), "pipehost: one line\n");
    }
}
