//! `--progress`: shows what moves while it moves.
//!
//! A task of the runtime that is there anyway looks at the guests' journals some times a second. What it shows is
//! [`overlay`]'s: that takes it away before a guest or the host writes to a terminal.

mod lines;
mod screen;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::args::ProgressMode;
use super::watching::{Watched, regularly};
use crate::pipe::overlay;
use crate::sys::Drawing;
use lines::Progress;
use screen::Screen;

/// How often the lines on a terminal are drawn.
const DRAW: Duration = Duration::from_millis(200);

/// How often a line is printed where there is no terminal.
const PRINT: Duration = Duration::from_secs(1);

/// Shows progress until it is dropped, which takes away what is shown.
pub(crate) struct Shown {
    task: JoinHandle<()>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        overlay::remove();
    }
}

/// Returns whether `mode` has something shown here.
pub(crate) fn is_shown(mode: Option<ProgressMode>) -> bool {
    match mode {
        None => false,
        Some(ProgressMode::Auto) => Drawing::start().is_some(),
        Some(ProgressMode::Always) => true,
    }
}

/// Starts to show what `watched` does, if `mode` asks for it. `unseen` says what may write to the terminal without the
/// host seeing it. Must be called inside the runtime that runs until the end.
pub(crate) fn start(
    mode: Option<ProgressMode>,
    watched: &Watched,
    unseen: Option<&str>,
) -> Option<Shown> {
    let mode = mode?;
    let watched = watched.clone();
    let started = Instant::now();
    let progress = Arc::new(Mutex::new(Progress::new(started)));
    let task = match (Drawing::start(), mode, unseen) {
        (Some(_), ProgressMode::Auto, Some(unseen)) => {
            tracing::warn!(
                "--progress: {unseen} may write to this terminal at any moment, so nothing is shown; send its \
                 output elsewhere, or write --progress=always"
            );
            return None;
        }
        (Some(drawing), ..) => {
            overlay::set(Box::new(Screen::new(drawing, Arc::clone(&progress))));
            tokio::spawn(regularly(DRAW, move || {
                update(&progress, &watched);
                overlay::draw();
            }))
        }
        (None, ProgressMode::Auto, _) => return None,
        (None, ProgressMode::Always, _) => tokio::spawn(regularly(PRINT, move || {
            update(&progress, &watched);
            let line = progress.lock().unwrap_or_else(PoisonError::into_inner).text();
            if let Some(line) = line {
                super::put(&format!("pipehost: {line}\n"));
            }
        })),
    };
    Some(Shown { task })
}

fn update(progress: &Mutex<Progress>, watched: &Watched) {
    let sample = watched.sample();
    progress.lock().unwrap_or_else(PoisonError::into_inner).update(Instant::now(), sample);
}
