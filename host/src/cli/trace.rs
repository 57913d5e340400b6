//! `pipehost trace`: follows one run, by what it says of itself in its file.

mod changes;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::args::TraceArgs;
use super::exit::{Failure, OrStatus, Status};
use super::listing::snapshot::{Command, Snapshot, State, Unreadable};
use super::output::written;
use super::ps::demand_lists;
use super::ps::hosts::{PAUSE, read};
use super::run::supervised;
use crate::deadlines::HARD_DEADLINE;
use crate::sys::{self, Direction, End, Listed};
use changes::{Change, Teller};

/// How often is looked. A run writes as often at most.
const LOOK: Duration = Duration::from_millis(250);

/// How long a run that is about to start may take until it says anything.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn main(args: &TraceArgs) -> Result<Status, Failure> {
    demand_lists()?;
    sys::demand_standard_output().context("stdout").or_status(Status::Io)?;
    let host = Host::find(args.pid)?;
    supervised(HARD_DEADLINE, None, async |_, mut signals| {
        tokio::select! {
            biased;
            signal = signals.received() => Ok(Status::Signal(signal.number())),
            () = stdout_unread() => Ok(Status::BrokenPipe),
            done = follow(host, args.json) => done,
        }
    })
}

/// Resolves when stdout is a pipe whose reader has left.
async fn stdout_unread() {
    match sys::standard(1).and_then(|stdout| End::shared(stdout, Direction::Write)) {
        Ok(stdout) => stdout.reader_gone().await,
        // Then writing says so.
        Err(_) => std::future::pending().await,
    }
}

/// A run, and the processes of its stages. Their files stay open: what they said last is read when they have ended.
struct Host {
    listed: Listed,
    parts: Vec<Listed>,
    /// What it said last.
    last: Snapshot,
}

impl Host {
    /// Finds the run whose process this is.
    fn find(pid: u32) -> Result<Self, Failure> {
        let mut found = None;
        let see = |listed: Listed| {
            if listed.pid() == pid && !listed.is_over() {
                found.get_or_insert(listed);
            }
        };
        let mut notes = Vec::new();
        sys::listed(see, |error| notes.push(error));
        for note in notes {
            tracing::warn!("runs listed there are not seen: {note}");
        }
        let missing = || anyhow!("no run of yours has the process id {pid}; see `pipehost ps`");
        // A killed run's file seems to be locked while another process removes it.
        std::thread::sleep(PAUSE);
        let found = found.filter(|listed| !listed.is_over());
        let listed = found.ok_or_else(missing).or_status(Status::Missing)?;
        match read(&listed, &mut { PATIENCE }) {
            Ok(last) => Ok(Self { listed, parts: Vec::new(), last }),
            Err(Unreadable::Version) => {
                Err(anyhow!("process {pid} is of another version of pipehost; use that one"))
                    .or_status(Status::NotUsable)
            }
            Err(_) => Err(missing()).or_status(Status::Missing),
        }
    }

    /// Reads what the run says now. Returns whether it has ended.
    fn look(&mut self) -> bool {
        // In this order: once it has ended, nothing is written any more.
        let is_over = self.listed.is_over();
        if let Ok(now) = read(&self.listed, &mut { PATIENCE }) {
            let is_isolated =
                now.ends.is_empty() && now.part.is_none() && now.command == Command::Pipe;
            self.last = now;
            if is_isolated {
                self.look_at_parts();
            }
        }
        is_over || self.last.state == State::Ended
    }

    fn look_at_parts(&mut self) {
        let (host, parts) = (&self.last, &mut self.parts);
        let see = |listed: Listed| {
            let is_new = !parts.iter().any(|part| part.pid() == listed.pid());
            if is_new && parts.len() < host.stages.len() && is_part(&listed, host) {
                parts.push(listed);
            }
        };
        sys::listed(see, |_| {});
        for part in &self.parts {
            if let Ok(part) = read(part, &mut { PATIENCE }) {
                self.last.take_part(part);
            }
        }
    }
}

fn is_part(listed: &Listed, host: &Snapshot) -> bool {
    read(listed, &mut { Duration::ZERO }).is_ok_and(|part| host.has_part(&part))
}

async fn follow(mut host: Host, json: bool) -> Result<Status, Failure> {
    let mut teller = Teller::default();
    loop {
        let is_over = host.look();
        let mut changes = teller.changes(&host.last);
        changes.extend(is_over.then(|| Change::ended(&host.last)));
        let lines: String =
            changes.iter().map(|change| if json { change.json() } else { change.text() }).collect();
        let mut stdout = std::io::stdout().lock();
        let put = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush());
        drop(stdout);
        match written(put)? {
            Status::Exited(0) if !is_over => tokio::time::sleep(LOOK).await,
            status => return Ok(status),
        }
    }
}
