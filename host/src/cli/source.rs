//! From the GUEST of a command line to a compiled guest.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::exit::{Failure, InLines, OrStatus, Status};
use crate::bundled;
use crate::engine::Engine;
use crate::guest::{Guest, GuestError, MAX_GUEST_BYTES};
use crate::launch::ChildSpec;
use crate::pipe::PipeName;
use crate::sys::{self, Stamp};

/// The largest guest, in bytes, that is looked up in the cache while the run waits.
const QUICKLY_LOOKED_UP: usize = 16 * 1024 * 1024;

/// How long a guest that is no file may take to come where nothing else bounds that.
const SOON: Duration = Duration::from_secs(5);

/// Reading a guest took too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLate;

/// The guest that GUEST names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Bundled(&'static str, &'static [u8]),
    File(PathBuf),
}

impl Source {
    pub(crate) fn of(guest: &Path) -> Result<Self, Failure> {
        let Some(name) = guest.to_str().and_then(|text| text.strip_prefix('@')) else {
            return Ok(Self::File(guest.into()));
        };
        match bundled::guest(name) {
            Some((name, bytes)) => Ok(Self::Bundled(name, bytes)),
            None => {
                let known: Vec<_> = bundled::names().map(|name| format!("@{name}")).collect();
                let error = anyhow!(
                    "no guest @{name} comes with pipehost; there are {} (a file of that name is \
                     ./@{name})",
                    known.join(", ")
                );
                Err(error).or_status(Status::Missing)
            }
        }
    }

    /// Returns the name by which the guest was started, as it sees it.
    pub(crate) fn program(&self) -> String {
        match self {
            Self::Bundled(name, _) => (*name).into(),
            Self::File(path) => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }
        }
    }

    /// Reads the guest if it is a regular file, until `deadline` at most: a file system may hang. Returns `None` for all other guests,
    /// and for those that cannot be read: loading it will tell.
    ///
    /// # Errors
    /// Fails at the deadline.
    pub(crate) fn read_file(&self, deadline: Option<Instant>) -> Result<Option<Vec<u8>>, TooLate> {
        let Self::File(path) = self else { return Ok(None) };
        let Some(deadline) = deadline else {
            return Ok(sys::read_small_file(path, MAX_GUEST_BYTES));
        };
        let (path, (done, waiting)) = (path.clone(), mpsc::channel());
        let read = move || {
            // Fails if nobody waits any more.
            let _ = done.send(sys::read_small_file(&path, MAX_GUEST_BYTES));
        };
        let Ok(reader) = std::thread::Builder::new().stack_size(64 * 1024).spawn(read) else {
            return Ok(None);
        };
        match waiting.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => {
                // From here on this process has one thread again.
                let _ = reader.join();
                Ok(bytes)
            }
            Err(_) => Err(TooLate),
        }
    }

    /// Returns what tells this version of the guest's file from the next, if it is a regular file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Bundled(..) => None,
            Self::File(path) => sys::stamp(path),
        }
    }

    /// Loads the guest if that takes almost no time: it is a regular file or bundled, and its code is
    /// in the cache.
    pub(crate) fn load_cached(&self, engine: &Engine) -> Option<Guest> {
        match self {
            Self::Bundled(_, bytes) => Self::cached(bytes, engine),
            // It could not be read before.
            Self::File(_) => None,
        }
    }

    /// Loads the guest, whose bytes these are, if that takes almost no time: its code is in the cache.
    pub(crate) fn cached(bytes: &[u8], engine: &Engine) -> Option<Guest> {
        engine.cache().filter(|_| bytes.len() <= QUICKLY_LOOKED_UP)?;
        Guest::from_cache(engine, bytes)
    }

    /// Reads and compiles the guest. Blocks for as long as that takes.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Guest, Failure> {
        let guest = match self {
            Self::Bundled(_, bytes) => Guest::from_bytes(engine, bytes),
            Self::File(path) => Guest::from_file(engine, path),
        };
        guest.map_err(|error| self.failure(error))
    }

    /// Reads the guest's bytes. Blocks for as long as that takes.
    pub(crate) fn read(&self) -> Result<Cow<'static, [u8]>, Failure> {
        match self {
            Self::Bundled(_, bytes) => Ok(Cow::Borrowed(bytes)),
            Self::File(path) => {
                Guest::read(path).map(Cow::Owned).map_err(|error| self.failure(error))
            }
        }
    }

    /// Reads the guest as [`Source::read`] does, but waits for no pipe for longer than some seconds.
    pub(crate) fn read_soon(&self) -> Result<Cow<'static, [u8]>, Failure> {
        let Self::File(path) = self else { return self.read() };
        let deadline = Instant::now() + SOON;
        sys::read_file(path, MAX_GUEST_BYTES, Some(deadline))
            .map(Cow::Owned)
            .map_err(|error| self.failure(GuestError::Unreadable { path: path.clone(), error }))
    }

    /// Compiles the guest, whose bytes these are. Blocks for as long as that takes.
    pub(crate) fn compile(&self, bytes: &[u8], engine: &Engine) -> Result<Guest, Failure> {
        Guest::from_bytes(engine, bytes).map_err(|error| self.failure(error))
    }

    /// Loads a guest as [`Source::load`] does. Fails if it cannot be run.
    pub(crate) fn load_runnable(&self, engine: &Engine) -> Result<Guest, Failure> {
        let guest = self.load(engine)?;
        match guest.version() {
            Some(_) => Ok(guest),
            None => Err(self.failure(GuestError::NoRun { exports: guest.exports().to_vec() })),
        }
    }

    /// Loads a guest that a guest may start, as [`Source::load_runnable`] does, and returns the name
    /// that it sees.
    pub(crate) fn load_child(
        spec: &ChildSpec,
        engine: &Engine,
    ) -> Result<(Guest, String), Failure> {
        let source = Self::of(&spec.guest)?;
        Ok((source.load_runnable(engine)?, source.program()))
    }

    /// Returns the status and the text for an error of the guest.
    pub(crate) fn failure(&self, error: GuestError) -> Failure {
        let status = status_of(&error);
        let names_itself =
            matches!(error, GuestError::Unreadable { .. } | GuestError::IsAFolder(_));
        let hint = match error.is_missing() {
            true => self.meant(),
            false => String::new(),
        };
        let error = match (names_itself, error) {
            (true, error) => anyhow!("{error}{hint}"),
            // Its place follows the guest's name.
            (false, GuestError::Text { place, what, lines }) => {
                let first = format!("{}:{place}: {what}", self.display());
                anyhow!(InLines { first, lines })
            }
            (false, error) => anyhow!("{}: {}", self.display(), line_of(&error)),
        };
        Failure { status, error }
    }

    /// Returns what the user may have meant by a file that does not exist.
    fn meant(&self) -> String {
        let Self::File(path) = self else { return String::new() };
        match path.to_str().and_then(bundled::guest) {
            Some((name, _)) => format!("; the guest that comes with pipehost is @{name}"),
            None => String::new(),
        }
    }

    /// Returns whether this can only be a native command: its name is not a guest's, and it can be
    /// executed.
    pub(crate) fn is_command(&self) -> bool {
        let Self::File(path) = self else { return false };
        let is_guest = matches!(path.extension().and_then(OsStr::to_str), Some("wasm" | "wat"));
        !is_guest && sys::find_command(path.as_os_str()).is_ok()
    }

    /// Returns whether the guest may have a use for arguments. Of the bundled guests only `@tee` has
    /// one.
    pub(crate) fn takes_arguments(&self) -> bool {
        matches!(self, Self::File(_) | Self::Bundled("tee", _))
    }

    /// Returns an argument that a bundled guest has no use for.
    pub(crate) fn useless<'a>(&self, args: &'a [String]) -> Option<&'a str> {
        let Self::Bundled(name, _) = self else { return None };
        let is_useless = |arg: &&String| match *name {
            // Its arguments are names of pipes.
            "tee" => arg.parse::<PipeName>().is_err(),
            _ => true,
        };
        args.iter().find(is_useless).map(String::as_str)
    }

    pub(crate) fn display(&self) -> String {
        match self {
            Self::Bundled(name, _) => format!("@{name}"),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// Describes the problem with a guest, and what to write.
pub(crate) fn line_of(error: &GuestError) -> String {
    match error {
        GuestError::TooLittleMemory(bytes) => format!("{error}; give it --max-memory {bytes}"),
        _ => error.to_string(),
    }
}

/// Returns the status of a run whose guest cannot be used.
pub(crate) fn status_of(error: &GuestError) -> Status {
    match () {
        () if error.is_permission() => Status::NotPermitted,
        () if error.is_missing() => Status::Missing,
        () if error.is_io() => Status::Io,
        () => Status::NotUsable,
    }
}
