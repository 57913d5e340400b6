//! The terminal of this process's session, for questions to whoever sits there.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp};

/// How long one process waits for another that asks.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How many bytes an answer may have: as many as a terminal keeps of a line.
const MOST_BYTES: usize = 4096;

/// The terminal of this process's session, whatever stdin is. Its modes stay as they are: the kernel edits the line that is typed, and
/// Ctrl-C is a signal.
#[derive(Debug)]
pub(crate) struct Prompter {
    terminal: File,
    /// Held, so that an answer is not taken by another process that asks there.
    _turn: Option<OwnedFd>,
}

impl Prompter {
    /// Opens the terminal: /dev/tty. Returns `None` if nobody would see a question, or could answer it: stderr is no terminal, the
    /// session has none, or this process is in the background, where reading from the terminal would stop it. Waits while another
    /// process of this program asks there, and says so, but not for long: then it is `None`, too.
    pub(crate) fn open() -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        let is_ours = tcgetpgrp(&terminal).ok()? == getpgrp();
        if !is_ours {
            return None;
        }
        let mut prompter = Self { terminal: terminal.into(), _turn: None };
        prompter._turn = prompter.turn().ok()?;
        Some(prompter)
    }

    /// Waits for the lock of the terminal: flock(2). Returns `None` if it cannot be locked; then answers may be mixed.
    ///
    /// # Errors
    /// Fails if another process has it for longer than [`LONGEST_WAIT`].
    fn turn(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some(terminal) = own_name() else { return Ok(None) };
        let mut began = None;
        loop {
            match flock(&terminal, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(terminal)),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => match began {
                    None => {
                        began = Some(Instant::now());
                        let seconds = LONGEST_WAIT.as_secs();
                        self.say(&format!(
                            "\npipehost: another pipehost asks here; this one waits for {seconds} s at most\n"
                        ))?;
                    }
                    Some(began) if began.elapsed() > LONGEST_WAIT => {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    Some(_) => thread::sleep(LOOK_AGAIN),
                },
                Err(_) => return Ok(None),
            }
        }
    }

    /// Writes `text`, as it is. Blocks while the terminal is stopped.
    ///
    /// # Errors
    /// Those of write(2).
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.terminal.write_all(text.as_bytes())
    }

    /// Writes `question`, and waits for a line, which is returned without its end. Returns `None` at the end of the input: Ctrl-D. What
    /// was typed before the question is no answer to it, and is dropped: tcflush(3).
    ///
    /// # Errors
    /// Those of read(2) and write(2); `InvalidData` for a line that is too long, or no text.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        match tcflush(&self.terminal, QueueSelector::IFlush) {
            Ok(()) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.say(question)?;
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            match self.terminal.read(&mut byte) {
                // Ctrl-C and Ctrl-D are bytes where somebody has switched all of that off.
                Ok(n) if n == 0 || matches!(byte[0], 0x03 | 0x04) => return Ok(None),
                Ok(_) if matches!(byte[0], b'\n' | b'\r') => break,
                Ok(_) if line.len() < MOST_BYTES => line.push(byte[0]),
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        String::from_utf8(line).map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// Opens the terminal at stderr by its own name, as /dev/tty is everybody's, to be locked.
fn own_name() -> Option<OwnedFd> {
    let name = rustix::termios::ttyname(io::stderr(), Vec::new()).ok()?;
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Of its own: processes that inherit one description share its locks.
    rustix::fs::open(name, flags, Mode::empty()).ok()
}
