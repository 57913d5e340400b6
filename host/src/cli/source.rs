//! From the GUEST of a command line to a compiled guest.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::exit::{Failure, InLines, OrStatus, Status};
use crate::bundled;
use crate::engine::Engine;
use crate::guest::{Guest, GuestError};
use crate::launch::ChildSpec;
use crate::pipe::PipeName;
use crate::sys;

/// The largest file that is read where others are kept waiting.
const QUICKLY_READ: u64 = 16 * 1024 * 1024;

/// What GUEST names.
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

    /// What the guest sees as the name that it was started by.
    pub(crate) fn program(&self) -> String {
        match self {
            Self::Bundled(name, _) => (*name).into(),
            Self::File(path) => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }
        }
    }

    /// The guest, if that takes next to no time: it is a regular file or bundled, and its code is in
    /// the cache.
    pub(crate) fn load_cached(&self, engine: &Engine) -> Option<Guest> {
        engine.cache()?;
        match self {
            Self::Bundled(_, bytes) => Guest::from_cache(engine, bytes),
            Self::File(path) => {
                Guest::from_cache(engine, &sys::read_small_file(path, QUICKLY_READ)?)
            }
        }
    }

    /// Reads and compiles the guest. Blocks.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Guest, Failure> {
        let guest = match self {
            Self::Bundled(_, bytes) => Guest::from_bytes(engine, bytes),
            Self::File(path) => Guest::from_file(engine, path),
        };
        guest.map_err(|error| self.failure(error))
    }

    /// As [`Source::load`], of what can be run.
    pub(crate) fn load_runnable(&self, engine: &Engine) -> Result<Guest, Failure> {
        let guest = self.load(engine)?;
        match guest.version() {
            Some(_) => Ok(guest),
            None => Err(self.failure(GuestError::NoRun { exports: guest.exports().to_vec() })),
        }
    }

    /// As [`Source::load_runnable`], of what a guest may start; and the name that it sees.
    pub(crate) fn load_child(
        spec: &ChildSpec,
        engine: &Engine,
    ) -> Result<(Guest, String), Failure> {
        let source = Self::of(&spec.guest)?;
        Ok((source.load_runnable(engine)?, source.program()))
    }

    /// The status and the text of what is wrong with the guest.
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
            // Its place follows.
            (false, GuestError::Text { place, what, lines }) => {
                let first = format!("{}:{place}: {what}", self.display());
                anyhow!(InLines { first, lines })
            }
            (false, error) => anyhow!("{}: {}", self.display(), line_of(&error)),
        };
        Failure { status, error }
    }

    /// What may have been meant by a file that is not there.
    fn meant(&self) -> String {
        let Self::File(path) = self else { return String::new() };
        match path.to_str().and_then(bundled::guest) {
            Some((name, _)) => format!("; the guest that comes with pipehost is @{name}"),
            None => String::new(),
        }
    }

    /// Whether it can be a native command only: it is no guest by its name, and can be executed.
    pub(crate) fn is_command(&self) -> bool {
        let Self::File(path) = self else { return false };
        let is_guest = matches!(path.extension().and_then(OsStr::to_str), Some("wasm" | "wat"));
        !is_guest && sys::find_command(path.as_os_str()).is_ok()
    }

    /// Whether the guest may have a use for arguments: one of ours is known.
    pub(crate) fn takes_arguments(&self) -> bool {
        matches!(self, Self::File(_) | Self::Bundled("tee", _))
    }

    /// An argument that the guest, one of ours, has no use for.
    pub(crate) fn useless<'a>(&self, args: &'a [String]) -> Option<&'a str> {
        let Self::Bundled(name, _) = self else { return None };
        let is_useless = |arg: &&String| match *name {
            // These are pipes' names.
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

/// What is wrong with a guest, and what to write.
pub(crate) fn line_of(error: &GuestError) -> String {
    match error {
        GuestError::TooLittleMemory(bytes) => format!("{error}; give it --max-memory {bytes}"),
        _ => error.to_string(),
    }
}

/// The status of a run whose guest is no usable one.
pub(crate) fn status_of(error: &GuestError) -> Status {
    match () {
        () if error.is_permission() => Status::NotPermitted,
        () if error.is_missing() => Status::Missing,
        () if error.is_io() => Status::Io,
        () => Status::NotUsable,
    }
}
