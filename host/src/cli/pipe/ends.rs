//! The pipes between the stages of a pipeline, and which stage gets which end.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::{Context, anyhow};

use super::super::exit::{Failure, OrStatus, Status};
use super::plan::{EndRef, Plan};
use crate::launch::{Opener, Stream, Streams};
use crate::pipe::Grant;
use crate::sys::{self, CapacityLease, Handle, Holder, NativeCommand};

/// The ends of all pipes between stages, until the stages get them.
pub(super) struct Ends {
    readers: BTreeMap<EndRef, Handle>,
    writers: BTreeMap<EndRef, Handle>,
    leases: Vec<CapacityLease>,
}

impl Ends {
    pub(super) fn make(plan: &Plan) -> Result<Self, Failure> {
        let mut ends =
            Self { readers: BTreeMap::new(), writers: BTreeMap::new(), leases: Vec::new() };
        let holder = |end: &EndRef| match plan.stages[end.stage].is_native() {
            true => Holder::Native,
            false => Holder::Guest,
        };
        for (reader, pipes) in plan.by_reader() {
            let mut make = || {
                let capacity = pipes.iter().find_map(|pipe| pipe.capacity);
                let writers: Vec<_> = pipes.iter().map(|pipe| holder(&pipe.from)).collect();
                let (end, writers, lease) =
                    sys::pipe_with_writers(capacity, holder(reader), &writers)?;
                for (pipe, writer) in pipes.iter().zip(writers) {
                    ends.writers.insert(pipe.from.clone(), writer);
                }
                ends.readers.insert(reader.clone(), end);
                ends.leases.push(lease);
                std::io::Result::Ok(())
            };
            make().context("a pipe cannot be made").or_status(Status::Io)?;
        }
        Ok(ends)
    }

    /// Takes the standard streams of a stage, and its other ends.
    pub(super) fn wiring(
        &mut self,
        plan: &Plan,
        at: usize,
        opener: &mut Opener,
    ) -> Result<(Streams, Vec<Grant>), Failure> {
        let streams = Streams {
            stdin: self.stream(plan, at, 0, opener)?,
            stdout: self.stream(plan, at, 1, opener)?,
            stderr: self.stream(plan, at, 2, opener)?,
        };
        let mut named = Vec::new();
        for name in plan.names(at) {
            let (reader, writer) = self.both(at, name.as_str());
            named.push(Grant::joined(name, reader, writer));
        }
        Ok((streams, named))
    }

    /// Takes one of the standard streams of a stage.
    pub(super) fn stream(
        &mut self,
        plan: &Plan,
        at: usize,
        number: i32,
        opener: &mut Opener,
    ) -> Result<Stream, Failure> {
        if let Some(joined) = self.standard_ends(number).remove(&standard_end(at, number)) {
            return Ok(Stream::Joined(joined));
        }
        let redirection = plan.stages[at].redirection(number);
        let otherwise = || match number {
            0 if at > 0 => sys::null().map(Stream::Shared),
            _ => sys::standard(number).map(Stream::Shared),
        };
        Ok(opener.stream(number, redirection, otherwise)?)
    }

    /// Returns whether a pipe joins the stream to another stage.
    pub(super) fn joins(&mut self, at: usize, number: i32) -> bool {
        self.standard_ends(number).contains_key(&standard_end(at, number))
    }

    /// Returns the leases of the pipes that were made larger.
    pub(super) fn into_leases(self) -> Vec<CapacityLease> {
        self.leases
    }

    fn standard_ends(&mut self, number: i32) -> &mut BTreeMap<EndRef, Handle> {
        if number == 0 { &mut self.readers } else { &mut self.writers }
    }

    pub(super) fn both(&mut self, at: usize, end: &str) -> (Option<Handle>, Option<Handle>) {
        let end = EndRef::new(at, end);
        (self.readers.remove(&end), self.writers.remove(&end))
    }

    /// Makes a native command with its ends.
    pub(super) fn command(
        &mut self,
        plan: &Plan,
        at: usize,
        command: &[OsString],
        opener: &mut Opener,
    ) -> Result<NativeCommand, Failure> {
        let mut others = Vec::new();
        for (end, number) in plan.numbers(at) {
            let (reader, writer) = self.both(at, &end);
            others.extend(reader.or(writer).map(|fd| (number, fd)));
        }
        let (streams, _) = self.wiring(plan, at, opener)?;
        let fd = |stream| match stream {
            Stream::Shared(fd) | Stream::Joined(fd) => Ok(fd),
            // Refused when the plan was made.
            Stream::Fifo { .. } => {
                Err(anyhow!("a native command has no FIFO")).or_status(Status::Usage)
            }
        };
        Ok(NativeCommand {
            program: command.first().cloned().unwrap_or_default(),
            args: command.iter().skip(1).cloned().collect(),
            stdin: fd(streams.stdin)?,
            stdout: fd(streams.stdout)?,
            stderr: fd(streams.stderr)?,
            others,
        })
    }
}

fn standard_end(at: usize, number: i32) -> EndRef {
    let names = ["stdin", "stdout", "stderr"];
    EndRef::new(at, names[usize::try_from(number).unwrap_or(0).min(2)])
}
