//! Puts the library's errors and events about a launched guest into the words of the command line.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::exit::{Failure, Status};
use super::shell::shell_quoted;
use super::source::Source;
use super::{log, without_error_numbers};
use crate::launch::{Conflict, Given, LaunchError, Listener};
use crate::names::Label;
use crate::pipe::{ChildFailure, Event, Excess};
use crate::sys::{FifoError, FifoWarning, FileKind, IsAFifo, SystemError};

impl Given {
    /// Returns the option by which the thing is given.
    fn option(self) -> &'static str {
        match self {
            Self::Stdin => "--stdin",
            Self::Stdout => "--stdout",
            Self::Stderr => "--stderr",
            Self::Pipe => "--fifo",
            Self::Descriptor => "--fd",
            Self::Folder => "--dir",
        }
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let (status, line) = match error {
            LaunchError::Conflict(conflict) => return conflict.into(),
            LaunchError::File { what, path, error } => {
                return file_failure(what.option(), &path, &error);
            }
            LaunchError::Fifo { what, error } => {
                (fifo_status(&error), format!("{} {}", what.option(), fifo_line(&error)))
            }
            LaunchError::InheritedStream { what, number, error } => {
                (Status::Io, format!("{} /dev/fd/{number}: {error}", what.option()))
            }
            LaunchError::InheritedPipe { what: what @ Given::Descriptor, error, .. } => {
                (Status::Pipe, format!("{} {error}", what.option()))
            }
            LaunchError::InheritedPipe { what, name, error } => {
                (Status::Pipe, format!("{} {name}: {error}", what.option()))
            }
            LaunchError::Reopened { number } => (
                Status::Usage,
                format!(
                    "descriptor {number} is open already, and eof=reopen opens a FIFO again: make one \
                     with mkfifo, and write its path"
                ),
            ),
            LaunchError::NoFile { what } => (
                Status::Usage,
                format!(
                    "{}: the key max is for a regular file, and this is none: write file:PATH,max=SIZE, or \
                     the key drop for a pipe",
                    what.option()
                ),
            ),
            error @ LaunchError::Resources { .. } => (Status::Io, error.to_string()),
        };
        Self { status, error: anyhow!(line) }
    }
}

impl From<Conflict> for Failure {
    fn from(conflict: Conflict) -> Self {
        let remedy = match &conflict {
            Conflict::StandardName(name) => {
                format!(": say --{name} for that, or give the pipe another name: NAME=PATH")
            }
            Conflict::PipeTwice(_) => "; give one another: NAME=PATH".into(),
            Conflict::DescriptorTwice(_) => "; grant it once, for both ways".into(),
            Conflict::EndTwice { .. } => "; drop one of the two".into(),
            Conflict::ChildTwice(_) => "; rename one".into(),
        };
        let conflict = match &conflict {
            Conflict::EndTwice { path, direction, ends } => {
                let end = |label: &Label| match label {
                    Label::Pipe(name) => name.to_string(),
                    standard => format!("--{standard}"),
                };
                let (path, way) = (path.display(), direction.doing());
                let [first, second] = [end(&ends[0]), end(&ends[1])];
                format!("{path} is granted twice for {way}, as {first} and as {second}")
            }
            conflict => conflict.to_string(),
        };
        Self { status: Status::Usage, error: anyhow!("{conflict}{remedy}") }
    }
}

/// Describes the problem with a FIFO, and what to write instead.
fn fifo_line(error: &FifoError) -> String {
    let remedy = match error {
        FifoError::Missing(_) => ", or drop the key `existing`",
        FifoError::NotOurs { .. } => "; add the key `insecure` to use it all the same",
        FifoError::Exposed(_) => ", or add the key `insecure`",
        FifoError::Busy { .. } => ", or grant the other way only, by the key `r` or `w`",
        FifoError::Taken(_) => ", or add the key `existing` to be its client",
        FifoError::NoPlace(_) => "; name a path: NAME=PATH",
        _ => "",
    };
    format!("{error}{remedy}")
}

fn fifo_status(error: &FifoError) -> Status {
    let exhausted = |error: &std::io::Error| {
        let error = SystemError::of(error);
        matches!(error, Some(SystemError::ProcessHandles | SystemError::SystemHandles))
    };
    match error {
        _ if error.is_permission() => Status::NotPermitted,
        // No descriptors are left: another path would not help.
        FifoError::Io { error, .. } if exhausted(error) => Status::Io,
        _ => Status::Pipe,
    }
}

/// Makes the error for a file that `option` names and that cannot be opened.
pub(crate) fn file_failure(option: &str, path: &Path, error: &std::io::Error) -> Failure {
    let status = match error.kind() {
        ErrorKind::NotFound => Status::Missing,
        ErrorKind::PermissionDenied => Status::NotPermitted,
        _ => Status::Io,
    };
    let is_own = matches!(option, "--report" | "--log-file" | "--graph");
    let remedy = match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(IsAFifo(fifo)) => format!(": write {option} fifo:{}", fifo.display()),
        None => match error.kind() {
            ErrorKind::NotFound if is_own || option == "--stdout" || option == "--stderr" => {
                let folder = path.parent().unwrap_or(path).to_string_lossy();
                format!("; make its folder first: mkdir -p {}", shell_quoted(&folder))
            }
            ErrorKind::PermissionDenied if is_own => "; name a file that you may write to".into(),
            // None is followed.
            _ if is_own && path.is_symlink() => "; name the file that the link leads to".into(),
            ErrorKind::IsADirectory => "; name a file".into(),
            _ => String::new(),
        },
    };
    Failure { status, error: anyhow!("{option} {}: {error}{remedy}", path.display()) }
}

/// Returns a listener that tells the operator of the events of the guest in `source` while it runs.
pub(crate) fn listener(source: &Source) -> Listener {
    let is_bundled = matches!(source, Source::Bundled(..));
    let name = source.display();
    Arc::new(move |event| match event {
        Event::Replaced | Event::EndedBadly(_) | Event::Stopped(_) => {
            log::inform(&format!("{name}: {event}"));
        }
        Event::PrivateFifo { .. } => log::inform(&event.to_string()),
        event if event.is_detail() => tracing::info!("{event}"),
        event => tracing::warn!("{}", line(event, is_bundled)),
    })
}

/// Returns a listener that tells the operator what happens to FIFOs.
pub(crate) fn fifo_listener() -> Listener {
    Arc::new(|event| tracing::warn!("{}", line(event, false)))
}

/// Describes an event, and what to write.
fn line(event: &Event, is_bundled: bool) -> String {
    let remedy = match event {
        Event::NotGranted { wanted, .. } => match wanted.first() {
            Some((name, _)) => format!(": write --fifo {name}=PATH"),
            None => String::new(),
        },
        Event::Fifo { path, warning: FifoWarning::Stays } => {
            format!("; type: rm {}", shell_quoted(&path.to_string_lossy()))
        }
        Event::NothingOpened { .. } if is_bundled => {
            "; a guest that comes with pipehost opens `in` and `out`: write in=PATH, out=PATH"
                .into()
        }
        Event::NothingOpened { .. } => "; look by which names the guest opens its pipes".into(),
        Event::SpecialFile { kind: FileKind::Fifo, .. } => {
            "; grant it by --fifo NAME=PATH, or by --stdin fifo:PATH".into()
        }
        Event::SpecialFile { .. } => {
            "; what a guest is to read or write comes by its standard streams, or by a granted pipe"
                .into()
        }
        Event::ChildFailed { name, failure: ChildFailure::BoundedEnd(label) } => {
            return format!(
                "child `{name}`: a native command cannot have `{label}`: --max-bytes and --rate would \
                 not hold for it"
            );
        }
        Event::ChildFailed {
            failure: ChildFailure::FramedEnd(_) | ChildFailure::SheddingEnd(_),
            ..
        } => "; put a guest behind it, such as @cat, or send it elsewhere".into(),
        Event::Dropped { what: Excess::Beyond(_), .. } => "; give it more: max=SIZE".into(),
        Event::ChildFailed { name, failure: ChildFailure::OutOfFuel } => {
            return format!("child `{name}`: ran out of its share of --fuel");
        }
        Event::ChildFailed { name, failure: ChildFailure::TooLittleMemory(bytes) } => {
            format!(
                "; give it --child {name}=GUEST,max-memory={bytes}, or its parent --max-memory {bytes}"
            )
        }
        _ => String::new(),
    };
    without_error_numbers(&format!("{event}{remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_granted_comes_with_what_to_write() {
        let wanted = vec![("p0".parse().unwrap(), crate::sys::Direction::Read)];
        let text = line(&Event::NotGranted { wanted, granted: vec!["in".into()] }, false);
        let expected = "the guest asked for the pipe `p0` for reading, which is not granted (granted \
                        are in): write --fifo p0=PATH";
        assert_eq!(text, expected);
    }

    #[test]
    fn conflicts_come_with_what_to_write() {
        let path = "/x".into();
        let ends = [Label::Stdout, Label::Pipe("a".into())];
        let direction = crate::sys::Direction::Write;
        let failure = Failure::from(Conflict::EndTwice { path, direction, ends });
        let text = "/x is granted twice for writing, as --stdout and as a; drop one of the two";
        assert_eq!(failure.error.to_string(), text);
        assert_eq!(failure.status, Status::Usage);
    }
}
