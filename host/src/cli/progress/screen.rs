//! Draws the lines of `--progress` on the terminal at stderr, by indicatif.
//!
//! indicatif decides what is cleared and drawn. What it writes is collected here and goes out at once, without waiting
//! for a terminal that is stopped: the guest may run on this thread.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::lines::Progress;
use crate::pipe::overlay::Overlay;
use crate::sys::{self, Drawing};

/// How long taking the lines away may wait for the terminal.
const PATIENCE: Duration = Duration::from_millis(20);

/// The size of a terminal that does not say.
const SIZE: (u16, u16) = (80, 24);

/// The lines, as they are drawn.
pub(super) struct Screen {
    drawing: Drawing,
    progress: Arc<Mutex<Progress>>,
    /// What is drawn now: one bar, which is nothing but lines of text.
    bar: Option<ProgressBar>,
    paper: Paper,
}

impl Screen {
    pub(super) fn new(drawing: Drawing, progress: Arc<Mutex<Progress>>) -> Self {
        Self { drawing, progress, bar: None, paper: Paper::default() }
    }
}

impl Overlay for Screen {
    fn draw(&mut self) {
        if !self.paper.sent(Duration::ZERO) {
            return;
        }
        let (columns, rows) = self.drawing.size().unwrap_or(SIZE);
        self.paper.state().size = (columns, rows);
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = progress.lines(columns.into(), rows.into());
        drop(progress);
        if lines.is_empty() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let target = ProgressDrawTarget::term_like(Box::new(self.paper.clone()));
            let bar = ProgressBar::with_draw_target(None, target);
            // The template is well formed. Otherwise indicatif's own would be drawn.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(lines.join("\n"));
        self.paper.sent(Duration::ZERO);
    }

    fn lift(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.paper.sent(PATIENCE);
    }

    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.paper.state().bytes)
    }
}

/// Collects what is drawn. Cloning gives another handle to the same paper.
#[derive(Clone, Debug, Default)]
struct Paper(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What has to be written before anything else.
    bytes: Vec<u8>,
    size: (u16, u16),
    /// Whether the cursor belongs to the start of the next line, once something comes there.
    at_line_end: bool,
}

impl Paper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was collected, and returns whether nothing of it is left.
    fn sent(&self, patience: Duration) -> bool {
        let bytes = &mut self.state().bytes;
        if !bytes.is_empty() {
            let written = sys::write_message_within(bytes, patience);
            bytes.drain(..written);
        }
        bytes.is_empty()
    }

    fn add(&self, text: &str) -> io::Result<()> {
        self.state().bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn moved(&self, by: usize, way: char) -> io::Result<()> {
        self.state().at_line_end = false;
        match by {
            0 => Ok(()),
            _ => self.add(&format!("\u{1b}[{by}{way}")),
        }
    }
}

impl TermLike for Paper {
    fn width(&self) -> u16 {
        self.state().size.0.max(1)
    }

    fn height(&self) -> u16 {
        self.state().size.1.max(1)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.moved(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.add("\r\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        // indicatif fills each line with spaces up to the edge, from where the next text goes on below. A line feed
        // does that, too, and a terminal that gets narrower has fewer lines to break.
        if !text.is_empty() && text.bytes().all(|byte| byte == b' ') {
            self.state().at_line_end = true;
            return Ok(());
        }
        if std::mem::take(&mut self.state().at_line_end) {
            self.add("\r\n")?;
        }
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\u{1b}[2K")
    }

    /// What was collected goes out when all is drawn.
    fn flush(&self) -> io::Result<()> {
        self.state().at_line_end = false;
        Ok(())
    }
}
