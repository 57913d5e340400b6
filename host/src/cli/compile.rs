//! `pipehost compile`: fills the cache; and which engine the other commands compile with.

use anyhow::anyhow;

use super::args::{CacheArgs, CompileArgs};
use super::exit::{Failure, OrStatus, Status};
use super::inspect::print;
use super::source::Source;
use crate::cache::{Cache, CacheError};
use crate::engine::Engine;

pub(crate) fn main(args: &CompileArgs) -> Result<Status, Failure> {
    let cache = Cache::of_user().map_err(|error| Failure {
        status: if error.is_unsafe() { Status::NotPermitted } else { Status::Io },
        error: error.into(),
    })?;
    let engine = engine()?.with_cache(cache);
    for guest in &args.guests {
        let source = Source::of(guest)?;
        let cached = source.load(&engine)?.was_cached();
        let done = if cached { "is compiled already" } else { "compiled" };
        match print(&format!("{}: {done}\n", source.display()))? {
            Status::Guest(0) => {}
            status => return Ok(status),
        }
    }
    Ok(Status::Guest(0))
}

/// An engine with the user's cache, unless it is not to be used, or cannot be.
pub(crate) fn engine_for(args: &CacheArgs) -> Result<Engine, Failure> {
    let engine = engine()?;
    if args.no_cache {
        return Ok(engine);
    }
    match Cache::of_user() {
        Ok(cache) => Ok(engine.with_cache(cache)),
        Err(error) => {
            report(&error);
            Ok(engine)
        }
    }
}

fn engine() -> Result<Engine, Failure> {
    Engine::new().map_err(|error| anyhow!("{error:#}")).or_status(Status::Io)
}

/// Without a cache everything works, just later; but one that others could have filled is told of.
fn report(error: &CacheError) {
    match error.is_unsafe() {
        true => tracing::warn!("the cache is not used: {error}"),
        false => tracing::info!("the cache is not used: {error}"),
    }
}
