//! What a guest declares that it wants, and is not granted: the operator is asked for it, or told what to type. A declaration grants
//! nothing.

mod allowed;
mod asking;
mod declared;
mod section;
mod words;

use std::time::{Duration, Instant};

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};

use super::exit::{Failure, Status};
use super::grants::{Granted, hex, within_reach};
use super::log;
use super::source::Source;
use crate::launch::GuestPlan;
use crate::names::PipeName;
use crate::pipe::quoted_in_line;
use crate::sys::Prompter;
pub(super) use allowed::parsed as remembered_in;
use allowed::{Allowed, Entry};
use asking::{Answer, Asked, ask};
use declared::serving;
pub(super) use declared::{Want, declared, missing, read as declared_in};

/// A guest that declares what it wants, after what was allowed before has been added.
#[derive(Debug)]
pub(super) struct Looked {
    /// All that it wants, in few words.
    wants: Vec<String>,
    pub(super) missing: Vec<Want>,
    sha256: String,
    allowed: Allowed,
}

/// Looks for what a guest declares, and adds what it was allowed before to what it is granted. `guest` are its bytes. Returns `None`
/// if it has all that it wants: then nothing but the command line and the file of grants counts.
pub(super) fn look(granted: &mut Granted, guest: &[u8]) -> Option<Looked> {
    let wants = told(&granted.source, declared(guest))?;
    let brief = wants.iter().map(Want::key).collect();
    let missing = missing(wants, &plan(granted), &[]);
    if missing.is_empty() {
        return None;
    }
    let allowed = Allowed::of_user().unwrap_or_else(|why| {
        tracing::warn!("{}; nothing is remembered until that is mended", quoted_in_line(&why));
        Allowed::default()
    });
    let mut looked = Looked { wants: brief, missing, sha256: hex(&Sha256::digest(guest)), allowed };
    looked.add_to(granted);
    Some(looked)
}

impl Looked {
    /// Adds what the guest was allowed before of what is missing. What it has otherwise is not widened.
    fn add_to(&mut self, granted: &mut Granted) {
        let (Some(entry), Some(path)) = (self.allowed.of(&self.sha256), allowed::path()) else {
            return;
        };
        tracing::info!("{} has what this guest was allowed before", path.display());
        granted.allow(serving(&self.missing, &entry.grants), Some(path));
        self.missing = missing(std::mem::take(&mut self.missing), &plan(granted), &[]);
    }
}

fn plan(granted: &Granted) -> GuestPlan {
    granted.options.plan(&granted.source, &granted.args)
}

/// Grants a guest what it declares and the operator allows, now or before. `guest` are its bytes. Asks on a terminal, and blocks until
/// there is an answer. Returns how long that took.
///
/// # Errors
/// Fails if it is not allowed, or if there is nobody to ask, and says what to type. Fails before that if the file of grants is for
/// another guest.
pub(super) fn settle(granted: &mut Granted, guest: &[u8]) -> Result<Settled, Failure> {
    let Some(mut looked) = look(granted, guest).filter(|looked| !looked.missing.is_empty()) else {
        return Ok(Settled::default());
    };
    // Nobody is asked about another guest than the file of grants is for.
    if let Some(pin) = &granted.pin {
        pin.check(&granted.source, guest)?;
    }
    let began = Instant::now();
    let Some(mut prompter) = Prompter::open() else { return Err(refused(granted, &looked)) };
    // Another process may have asked about the same guest meanwhile.
    if let Ok(allowed) = Allowed::of_user() {
        looked.allowed = allowed;
        looked.add_to(granted);
    }
    let entry = match looked.missing.is_empty() {
        true => None,
        false => answer(&mut prompter, granted, guest, looked)?,
    };
    Ok(Settled { took: began.elapsed(), always: entry.map(|entry| (entry, prompter)) })
}

/// What came of looking at what a guest wants.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// How long somebody was asked.
    pub(super) took: Duration,
    /// What is to be remembered. The terminal is held until then: who asks there next is to know of it.
    always: Option<(Entry, Prompter)>,
}

impl Settled {
    /// Remembers what was allowed for good, if that is anything. `plan` is what the guest is given, and has been checked.
    pub(super) fn remember(self, plan: &GuestPlan) {
        if let Some((entry, _prompter)) = self.always {
            keep(entry, plan);
        }
    }
}

/// Asks for what is missing, and grants it. Returns what is to be remembered.
fn answer(
    prompter: &mut Prompter,
    granted: &mut Granted,
    guest: &[u8],
    looked: Looked,
) -> Result<Option<Entry>, Failure> {
    let (shown, imports) = (granted.source.display(), section::imports(guest));
    let path = whole_path(&granted.source);
    let asked = Asked {
        guest: &shown,
        missing: &looked.missing,
        wants: &looked.wants,
        imports: &imports,
        before: looked.allowed.at(&path).filter(|entry| entry.sha256 != looked.sha256),
    };
    match ask(prompter, &asked) {
        Ok(Answer::Once(options)) => {
            granted.allow(options, None);
            Ok(None)
        }
        Ok(Answer::Always(options)) => {
            // With what it was allowed before, if that was not all.
            let before = looked.allowed.of(&looked.sha256).map(|entry| &entry.grants);
            let grants = before.map_or(options.clone(), |before| before.with_typed(&options));
            granted.allow(options, None);
            let Looked { wants, sha256, .. } = looked;
            Ok(Some(Entry { sha256, path, imports, wants, grants }))
        }
        Ok(Answer::No) => Err(refused(granted, &looked)),
        Err(error) => {
            tracing::warn!("the terminal cannot be asked: {error}");
            Err(refused(granted, &looked))
        }
    }
}

/// Remembers what was allowed for good, and says where. If that is impossible it is allowed once, and a warning says why.
fn keep(entry: Entry, plan: &GuestPlan) {
    let kept = match allowed::path().and_then(|path| within_reach(&path, plan)) {
        Some(why) => Err(why),
        None => allowed::remember(entry),
    };
    match kept {
        Ok(path) => log::inform(&format!("{} remembers that", path.display())),
        Err(why) => {
            tracing::warn!("this is allowed once, and not remembered: {}", quoted_in_line(&why))
        }
    }
}

/// Checks that the guest cannot write to what is remembered, which could then grant it anything the next time.
///
/// # Errors
/// Fails if there is such a file, and the guest could.
pub(super) fn check_out_of_reach(plan: &GuestPlan) -> Result<(), Failure> {
    let found = allowed::path().filter(|path| path.symlink_metadata().is_ok());
    match found.and_then(|path| within_reach(&path, plan)) {
        None => Ok(()),
        Some(why) => Err(Failure { status: Status::NotPermitted, error: anyhow!(why) }),
    }
}

/// Checks that the guest of a stage is granted what it declares. Nobody is asked. `joined` are its pipes to other stages. Reads the
/// guest.
///
/// # Errors
/// Says what is not granted, and what to write.
pub(super) fn check_stage(
    source: &Source,
    plan: &GuestPlan,
    joined: &[PipeName],
) -> Result<(), Failure> {
    let Ok(Some(guest)) = source.read_file(None) else { return Ok(()) };
    let Some(wants) = told(source, declared(&guest)) else { return Ok(()) };
    let missing = missing(wants, plan, joined);
    if missing.is_empty() {
        return Ok(());
    }
    let (shown, wants) = (source.display(), words::list(&missing));
    let typed: Vec<_> = missing.iter().map(Want::typed).collect();
    let error = anyhow!(
        "{shown} wants, and is not granted, {wants}; write {} in front of it, or the same as keys of its stage",
        typed.join(" ")
    );
    Err(Failure { status: Status::NotPermitted, error })
}

/// Returns what is declared, if that is anything. Warns of what is wrong with it.
pub(super) fn told(source: &Source, declared: Result<Vec<Want>, String>) -> Option<Vec<Want>> {
    match declared {
        Ok(wants) => Some(wants).filter(|wants| !wants.is_empty()),
        Err(why) => {
            let why: String = why.chars().take(300).collect();
            let text = format!("{}: what it wants is not read: {why}", source.display());
            tracing::warn!("{}", quoted_in_line(&text));
            None
        }
    }
}

/// Makes the failure of a run whose guest is not granted what it wants.
fn refused(granted: &Granted, looked: &Looked) -> Failure {
    let (guest, wants) = (granted.source.display(), words::list(&looked.missing));
    let typed: Vec<_> = looked.missing.iter().map(Want::typed).collect();
    let line = words::line(&typed, granted.typed_args());
    let error = anyhow!(
        "{guest} wants, and is not granted, {wants}; --grants none runs it all the same; or type: {line}"
    );
    Failure { status: Status::NotPermitted, error }
}

/// Returns the guest's path, by which another one that takes its place is known.
fn whole_path(source: &Source) -> String {
    match source {
        Source::File(path) => {
            path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string()
        }
        Source::Bundled(..) => source.display(),
    }
}
