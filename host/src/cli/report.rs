//! `--report`: one page about a run, or a pipeline, that has ended, by whatever way.
//!
//! The file is opened before anything is granted, as this process opens none later, and written at the very end: also
//! by the thread that ends a run which cannot end by itself. There is one report for the process.

mod chart;
mod grants;
mod html;
mod page;
mod record;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::JoinHandle;

use super::args::ReportArgs;
use super::exit::{Failure, OrStatus, Status};
use super::graph::Graph;
use super::launching::file_failure;
use super::stats::StageStats;
use super::watching::{Watched, regularly};
use crate::{sys, threads};
pub(crate) use grants::grants;
use record::Record;

/// How often is looked at what has moved, at most.
const LOOK: Duration = Duration::from_millis(250);

/// How many messages of the host are kept, and how many bytes of each.
const MOST_MESSAGES: usize = 100;
const MOST_MESSAGE_BYTES: usize = 4096;

/// How long the thread that ends the process waits for a page that is being written.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the page will tell.
#[derive(Debug)]
struct Report {
    file: File,
    facts: Facts,
    started: Instant,
    watched: Watched,
    record: Record,
    /// Whether the record has its last moment.
    is_closed: bool,
    stages: Vec<StageStats>,
    messages: Vec<String>,
    left_out: usize,
}

/// What is known before anything runs.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// What runs, as it is called in a title.
    pub(crate) title: String,
    pub(crate) graph: Graph,
    /// For each guest: its stage's name, and its grants as [`grants`] lists them.
    pub(crate) grants: Vec<(String, Vec<(String, String)>)>,
    /// Where ends of guests are not counted, why.
    pub(crate) uncounted: Option<&'static str>,
}

impl Report {
    /// Takes the last moment.
    fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            let sample = self.watched.sample();
            self.record.close(self.started.elapsed(), sample);
        }
    }
}

static REPORT: Mutex<Option<Report>> = Mutex::new(None);

fn report() -> MutexGuard<'static, Option<Report>> {
    REPORT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the report if nobody has it for longer than that.
fn report_within(patience: Duration) -> Option<MutexGuard<'static, Option<Report>>> {
    threads::lock_within(&REPORT, patience)
}

/// Opens the file that `args` name, and notes the facts.
///
/// # Errors
/// Fails if there is no such folder, or if the file may not be written, or is none.
pub(crate) fn open(args: &ReportArgs, facts: impl FnOnce() -> Facts) -> Result<(), Failure> {
    let Some(path) = &args.report else { return Ok(()) };
    let file = open_file(path)?;
    *report() = Some(Report {
        file,
        facts: facts(),
        started: Instant::now(),
        watched: Watched::default(),
        record: Record::new(),
        is_closed: false,
        stages: Vec::new(),
        messages: Vec::new(),
        left_out: 0,
    });
    Ok(())
}

fn open_file(path: &Path) -> Result<File, Failure> {
    let no_file = || {
        let path = path.display();
        Err(anyhow!(
            "--report {path}: this is no regular file; name one, or a file that is not there yet"
        ))
        .or_status(Status::Io)
    };
    let opened = sys::open_log_file(path, false).and_then(|file| {
        // An earlier page is gone from now on: it is not about this run.
        file.as_ref().map_or(Ok(()), |file| file.set_len(0))?;
        Ok(file)
    });
    match opened.map_err(|error| file_failure("--report", path, &error))? {
        Some(file) => Ok(file),
        None => no_file(),
    }
}

/// Notes a message of the host's.
pub(crate) fn note(message: &str) {
    // The page may be being written, to a file system that is slow.
    let Some(mut report) = report_within(Duration::from_millis(300)) else { return };
    let Some(report) = report.as_mut() else { return };
    if report.messages.len() == MOST_MESSAGES {
        // The first ones stay, and the last ones, which say why.
        report.messages.remove(MOST_MESSAGES / 2);
        report.left_out += 1;
    }
    let mut end = message.len().min(MOST_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    report.messages.push(message[..end].trim_end().to_owned());
}

/// Looks at the guests from time to time, until it is dropped.
pub(crate) struct Recording(JoinHandle<()>);

impl Drop for Recording {
    fn drop(&mut self) {
        self.0.abort();
        if let Some(report) = report().as_mut() {
            report.close();
        }
    }
}

/// Starts to look at the guests, if there is to be a report. Must be called inside the runtime that runs until the end.
pub(crate) fn record(watched: &Watched) -> Option<Recording> {
    let mut report = report();
    let report = report.as_mut()?;
    report.watched = watched.clone();
    report.started = Instant::now();
    let look = || {
        if let Some(Report { record, started, watched, .. }) = self::report().as_mut() {
            record.look(started.elapsed(), || watched.sample());
        }
    };
    Some(Recording(tokio::spawn(regularly(LOOK, look))))
}

/// Notes what the stages used.
pub(crate) fn stages(stages: impl FnOnce() -> Vec<StageStats>) {
    if let Some(report) = report().as_mut() {
        report.stages = stages();
    }
}

/// Writes the page, if there is to be one and nobody has written it yet. Says so if that fails.
pub(crate) fn finish(status: u8, tell: impl FnOnce(&str)) {
    let Some(mut report) = report_within(PATIENCE) else { return };
    let Some(mut whole) = report.take() else { return };
    // A run that was cut short has left that to be done.
    whole.close();
    let page = page::page(&whole, status);
    let mut file = &whole.file;
    // Another process may have written to it.
    let written = file.set_len(0).and_then(|()| file.write_all(page.as_bytes()));
    if written.is_err() {
        // Half a page is none.
        let _ = file.set_len(0);
    }
    // The lock is held until the page is written: whoever ends the process waits for it.
    drop(report);
    if let Err(error) = written {
        tell(&format!(
            "--report: the page could not be written: {error}; make room, or name another file"
        ));
    }
}
