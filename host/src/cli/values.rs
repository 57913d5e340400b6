//! Parses option values, and does nothing of what they say.
//!
//! A value is a path and keys, with commas between them. Paths need not be UTF-8. Two commas in a value
//! stand for one comma of the path.

mod frame_keys;
mod streams;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::launch::{ChildSpec, CommandSpec, DescriptorSpec, FifoSpec, FolderSpec};
use crate::limits::{duration, size};
use crate::pipe::{Directions, EofPolicy, PipeName};
use crate::restart::{DEFAULT_MOST, Restart};
use crate::sys::{self, FifoOptions};
use frame_keys::FrameKeys;
pub(crate) use streams::{Output, stderr, stdin, stdout};

/// The error is a message for the operator that says what to type.
type Parsed<T> = Result<T, String>;

/// Splits a value at its commas. Two commas stand for one comma within a part.
fn parts(text: &OsStr) -> Vec<OsString> {
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let mut bytes = sys::bytes(text).iter().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b',', Some(b',')) => {
                bytes.next();
                part.push(b',');
            }
            (b',', _) => parts.push(sys::text(std::mem::take(&mut part))),
            _ => part.push(*byte),
        }
    }
    parts.push(sys::text(part));
    parts
}

/// Returns the text before the first `separator` and the text after it.
fn split_once(text: &OsStr, separator: &str) -> Option<(OsString, OsString)> {
    let (bytes, separator) = (sys::bytes(text), separator.as_bytes());
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    let (before, after) = (&bytes[..at], &bytes[at + separator.len()..]);
    Some((sys::text(before.into()), sys::text(after.into())))
}

/// Returns the keys as text. All known keys are text.
fn keys(parts: impl Iterator<Item = OsString>) -> Vec<String> {
    parts.map(|key| key.to_string_lossy().into_owned()).collect()
}

/// Splits off the text before `=`, if it is a pipe's name. Also returns the rest.
fn split_name(text: &OsStr) -> Parsed<(Option<PipeName>, OsString)> {
    match split_once(text, "=") {
        Some((before, _)) if before.is_empty() => {
            Err("the name before `=` is missing; write NAME=PATH".into())
        }
        Some((before, rest)) => match before.to_str().and_then(|name| name.parse().ok()) {
            Some(name) => Ok((Some(name), rest)),
            // The `=` is part of the path: `./a=b`.
            None => Ok((None, text.into())),
        },
        None => Ok((None, text.into())),
    }
}

/// Makes directions of the keys `r` and `w`. Neither key means both directions.
fn directions(read: bool, write: bool) -> Directions {
    match (read, write) {
        (false, false) => Directions::BOTH,
        (read, write) => Directions { read, write },
    }
}

/// What the keys say of a FIFO, by whichever option it is granted.
#[derive(Default)]
struct FifoKeys {
    read: bool,
    write: bool,
    options: FifoOptions,
    eof: Option<EofPolicy>,
    capacity: Option<u64>,
    frame: FrameKeys,
}

impl FifoKeys {
    fn of(keys: &[String]) -> Parsed<Self> {
        let mut known = Self::default();
        for key in keys {
            if known.frame.take(key)? {
                continue;
            }
            match key.split_once('=').unwrap_or((key, "")) {
                ("r", "") => known.read = true,
                ("w", "") => known.write = true,
                ("existing", "") => known.options.existing = true,
                ("keep", "") => known.options.keep = true,
                ("insecure", "") => known.options.insecure = true,
                ("eof", "close") => known.eof = Some(EofPolicy::Close),
                ("eof", "reopen") => known.eof = Some(EofPolicy::Reopen),
                ("capacity", value) => known.capacity = Some(size(value)?),
                _ => {
                    return Err(format!(
                        "unknown key `{key}`; there are r, w, existing, keep, insecure, eof=close, \
                         eof=reopen, capacity=SIZE, frame=RECORDS and frame-error=drop|end; a comma of \
                         the path's is written `,,`"
                    ));
                }
            }
        }
        Ok(known)
    }
}

pub(crate) fn fifo(text: impl AsRef<OsStr>) -> Parsed<FifoSpec> {
    let mut parts = parts(text.as_ref()).into_iter();
    let (name, path) = split_name(&parts.next().unwrap_or_default())?;
    // A file may have such a name: with `./` before it, it is granted anyway.
    if let (None, Some((before, after))) = (&name, split_once(&path, ":"))
        && before.to_str().is_some_and(|name| name.parse::<PipeName>().is_ok())
    {
        let (before, after) = (before.display(), after.display());
        return Err(format!("`:` stands for nothing here; write {before}={after}"));
    }
    let (name, path) = match (name, path.is_empty()) {
        (None, true) => {
            return Err("the path is missing; write NAME=PATH, or NAME= for a private one".into());
        }
        (Some(name), true) => (name, None),
        (Some(name), false) => (name, Some(PathBuf::from(path))),
        (None, false) => (default_name(path.as_ref())?, Some(PathBuf::from(path))),
    };
    let FifoKeys { read, write, options, eof, capacity, frame } = FifoKeys::of(&keys(parts))?;
    if path.is_none() && (options.existing || options.keep) {
        return Err("the keys existing and keep need a path; write NAME=PATH".into());
    }
    let (directions, eof) = (directions(read, write), eof.unwrap_or_default());
    let frame = frame.frame_for(Some(directions))?;
    Ok(FifoSpec { name, path, options, directions, eof, capacity, frame })
}

fn default_name(path: &Path) -> Parsed<PipeName> {
    let file_name = path.file_name().and_then(OsStr::to_str);
    file_name
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| "its file name cannot be the pipe's name; give it one: NAME=PATH".to_owned())
}

pub(crate) fn fd(text: &str) -> Parsed<DescriptorSpec> {
    let mut parts = text.split(',');
    let (name, number) = split_name(parts.next().unwrap_or("").as_ref())?;
    let number = number.to_string_lossy();
    // The shell's <(...) gives a path.
    let digits = sys::number_in_path(&number).unwrap_or(&number);
    let number: i32 = match digits.parse() {
        Ok(number) if number >= 0 => number,
        _ => return Err(format!("`{digits}` is not a descriptor's number; write NAME=3")),
    };
    if number < 3 {
        return Err("descriptors 0 to 2 are granted by --stdin, --stdout and --stderr".into());
    }
    let name = match name {
        Some(name) => name,
        None => format!("fd{number}").parse().map_err(|error| format!("{error}"))?,
    };
    let (mut read, mut write, mut frame) = (false, false, FrameKeys::default());
    for key in parts {
        match key {
            "r" => read = true,
            "w" => write = true,
            _ if frame.take(key)? => {}
            _ => {
                return Err(format!(
                    "unknown key `{key}`; there are r, w, frame=RECORDS and frame-error=drop|end"
                ));
            }
        }
    }
    let directions = (read || write).then_some(Directions { read, write });
    let frame = frame.frame_for(directions)?;
    Ok(DescriptorSpec { name, number, directions, frame })
}

pub(crate) fn child(text: impl AsRef<OsStr>) -> Parsed<ChildSpec> {
    let mut parts = parts(text.as_ref()).into_iter();
    let (name, guest) = child_name(&parts.next().unwrap_or_default(), "NAME=GUEST")?;
    let guest = PathBuf::from(guest);
    let mut spec = ChildSpec { name, guest, spawn: false, max_memory: None, timeout: None };
    for key in keys(parts) {
        match key.split_once('=').unwrap_or((&key, "")) {
            ("spawn", "") => spec.spawn = true,
            ("max-memory", value) => spec.max_memory = Some(size(value)?),
            ("timeout", value) => spec.timeout = Some(duration(value)?),
            _ => {
                return Err(format!(
                    "unknown key `{key}`; there are spawn, max-memory=SIZE and timeout=DURATION; a \
                     comma of the path's is written `,,`"
                ));
            }
        }
    }
    Ok(spec)
}

pub(crate) fn exec(text: &str) -> Parsed<CommandSpec> {
    let (name, command) = child_name(text.as_ref(), "NAME=COMMAND")?;
    let words = shlex::split(&command.to_string_lossy()).ok_or("a quote is not closed")?;
    let mut words = words.into_iter();
    match words.next() {
        Some(program) => Ok(CommandSpec { name, program, args: words.collect() }),
        None => Err("the command is missing; write NAME=COMMAND".into()),
    }
}

/// Splits off the text before `=`, which must be a name. Also returns the rest, which must not be
/// empty.
fn child_name(text: &OsStr, form: &str) -> Parsed<(PipeName, OsString)> {
    match split_once(text, "=") {
        Some((name, rest)) if !rest.is_empty() => match name.to_string_lossy().parse() {
            Ok(name) => Ok((name, rest)),
            Err(error) => Err(format!("`{}`: {error}", name.display())),
        },
        _ => Err(format!("write {form}")),
    }
}

/// Parses when a guest is started again.
pub(crate) fn restart(text: &str) -> Parsed<Restart> {
    const FORM: &str = "write on-trap, or on-trap:N for at most N times";
    let most = match text.split_once(':') {
        None if text == "on-trap" => DEFAULT_MOST,
        Some(("on-trap", most)) => most.parse().map_err(|_| FORM)?,
        _ => return Err(FORM.into()),
    };
    match most {
        0 => Err("on-trap:0 restarts nothing; leave the option out".into()),
        most => Ok(Restart::on_trap(most)),
    }
}

pub(crate) fn env(text: &str) -> Parsed<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}

pub(crate) fn dir(text: impl AsRef<OsStr>) -> Parsed<FolderSpec> {
    let mut parts = parts(text.as_ref()).into_iter();
    let folders = parts.next().unwrap_or_default();
    let mut read_only = false;
    for key in keys(parts) {
        match &*key {
            "ro" => read_only = true,
            _ => {
                return Err(format!(
                    "unknown key `{key}`; there is ro, for reading only; a comma of the path's is \
                     written `,,`"
                ));
            }
        }
    }
    let (host, guest) = match split_once(&folders, "::") {
        Some(both) => both,
        // Other programs write HOST:GUEST. A folder may have such a name: HOST::GUEST grants it anyway.
        None => match split_once(&folders, ":") {
            Some((before, _)) if sys::is_drive(&before) => (folders.clone(), folders),
            Some((before, after))
                if sys::bytes(&after).starts_with(b"/") || !sys::bytes(&before).contains(&b'/') =>
            {
                let (before, after) = (before.display(), after.display());
                return Err(format!("`:` stands for nothing here; write {before}::{after}"));
            }
            _ => (folders.clone(), folders),
        },
    };
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST or HOST::GUEST, with two folders".into());
    }
    let guest = guest.into_string().map_err(|guest| {
        let guest = guest.display();
        format!("a guest's paths are UTF-8, and `{guest}` is not; give it another: HOST::GUEST")
    })?;
    Ok(FolderSpec { host: host.into(), guest, read_only })
}

#[cfg(test)]
mod tests;
