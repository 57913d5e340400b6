//! `pipehost compile`: fills the cache. Also chooses the engine with which the other commands compile.

use std::path::Path;

use anyhow::anyhow;

use super::args::{CacheArgs, CompileArgs};
use super::exit::{Failure, OrStatus, Status};
use super::output::print;
use super::source::Source;
use crate::cache::{Cache, CacheError};
use crate::engine::Engine;
use crate::guest::Kept;
use crate::pipe::quoted_name;

pub(crate) fn main(args: &CompileArgs) -> Result<Status, Failure> {
    let cache = Cache::of_user().map_err(|error| Failure {
        status: if error.is_unsafe() { Status::NotPermitted } else { Status::Io },
        error: error.into(),
    })?;
    let engine = engine()?.with_cache(cache);
    for guest in &args.guests {
        let source = Source::of(guest)?;
        let done = match source.load(&engine)?.kept() {
            Kept::Before => "is compiled already",
            Kept::Now => "compiled",
            Kept::Not => {
                let guest = source.display();
                let error = anyhow!("{guest}: the cache could not take the code (-v tells why)");
                return Err(error).or_status(Status::Io);
            }
        };
        match print(&format!("{}: {done}\n", quoted_name(&source.display())))? {
            Status::Exited(0) => {}
            status => return Ok(status),
        }
    }
    Ok(Status::Exited(0))
}

/// Returns an engine with the user's cache. Leaves the cache out if the options say so, or if it cannot
/// be used. Also leaves it out if the guest could write to it through one of the folders
/// `open_to_guest`: the guest could then have native code of its own run.
pub(crate) fn engine_for<'a>(
    args: &CacheArgs,
    open_to_guest: impl IntoIterator<Item = &'a Path>,
) -> Result<Engine, Failure> {
    let engine = engine()?;
    if args.no_cache {
        return Ok(engine);
    }
    let cache = match Cache::of_user() {
        Ok(cache) => cache,
        Err(error) => {
            report(&error);
            return Ok(engine);
        }
    };
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    let place = whole(cache.path());
    let exposed = open_to_guest.into_iter().find(|folder| {
        let folder = whole(folder);
        place.starts_with(&folder) || folder.starts_with(&place)
    });
    match exposed {
        Some(folder) => {
            let (place, folder) = (place.display(), folder.display());
            tracing::warn!(
                "the cache is not used: the guest could write to {place}; grant --dir {folder},ro, \
                 or a smaller folder"
            );
            Ok(engine)
        }
        None => Ok(engine.with_cache(cache)),
    }
}

/// Returns an engine whose guests count what they compute, with the cache of `engine`.
pub(crate) fn metering(engine: &Engine) -> Result<Engine, Failure> {
    set_up(engine.to_metering(), "counts fuel")
}

fn engine() -> Result<Engine, Failure> {
    set_up(Engine::new(), "runs guests")
}

fn set_up(engine: wasmtime::Result<Engine>, what: &str) -> Result<Engine, Failure> {
    let failed =
        |error| anyhow!("{error:#}").context(format!("the engine that {what} cannot be set up"));
    engine.map_err(failed).or_status(Status::Io)
}

/// Reports that there is no cache. Everything works without one, only more slowly, so this is a warning
/// only if another user could have filled it.
fn report(error: &CacheError) {
    match error.is_unsafe() {
        true => tracing::warn!("the cache is not used: {error}"),
        false => tracing::info!("the cache is not used: {error}"),
    }
}
