//! The values of `--stdin`, `--stdout` and `--stderr`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::frame_keys::FrameKeys;
use super::{FifoKeys, Parsed, keys, parts, split_once};
use crate::launch::{StreamFifo, StreamSpec};
use crate::limits::size;
use crate::pipe::{Excess, Frame};
use crate::sys;

/// What a guest's stdout or stderr is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Output {
    /// Where it goes. None: where it goes anyway.
    pub(crate) to: Option<StreamSpec>,
    /// The records that may pass.
    pub(crate) frame: Option<Frame>,
    /// What is dropped.
    pub(crate) shed: Option<Excess>,
}

/// Parses the value for a guest's stdin.
pub(crate) fn stdin(text: impl AsRef<OsStr>) -> Parsed<StreamSpec> {
    let text = text.as_ref();
    let spec = match text.to_str() {
        Some("") => {
            return Err("the value is missing; there are inherit, null, FILE and fifo:PATH".into());
        }
        Some("inherit") => StreamSpec::Inherit,
        Some("null") => StreamSpec::Null,
        _ => {
            let after = |word| split_once(text, word).filter(|(before, _)| before.is_empty());
            if let Some((_, fifo)) = after("fifo:") {
                let mut parts = parts(&fifo).into_iter();
                let path = parts.next().unwrap_or_default();
                StreamSpec::Fifo(standard_fifo(path, &keys(parts), true)?)
            } else if after("append:").is_some() {
                return Err("a guest only reads its stdin; write --stdin FILE".into());
            } else {
                StreamSpec::File(text.into())
            }
        }
    };
    Ok(spec)
}

/// Parses the value for a guest's stdout.
pub(crate) fn stdout(text: impl AsRef<OsStr>) -> Parsed<Output> {
    let known = "frame=RECORDS and frame-error=drop|end";
    let mut keys = FrameKeys::default();
    let to = output(text.as_ref(), known, |key| {
        if key == "drop" || key.starts_with("max=") {
            return Err(format!(
                "the key {key} is for --stderr; what a guest writes to stdout is kept"
            ));
        }
        keys.take(key)
    })?;
    Ok(Output { to, frame: keys.frame()?, shed: None })
}

/// Parses the value for a guest's stderr.
pub(crate) fn stderr(text: impl AsRef<OsStr>) -> Parsed<Output> {
    let (mut drops, mut max) = (false, None);
    let to = output(text.as_ref(), "drop, and max=SIZE for a file", |key| {
        match key.split_once('=').unwrap_or((key, "")) {
            ("drop", "") => drops = true,
            ("max", value) => max = Some(size(value)?),
            ("frame" | "frame-error", _) => {
                return Err(
                    "a frame is for --stdout, --fifo and --fd; stderr is for any text".into()
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let appends = matches!(to, Some(StreamSpec::Append(_)));
    let is_file = appends || matches!(to, Some(StreamSpec::File(_)));
    let shed = match (drops, max) {
        // What the file has already is not counted.
        (_, Some(_)) if appends => {
            return Err(
                "the key max bounds a file that is emptied first; write file:PATH,max=SIZE".into(),
            );
        }
        (_, Some(_)) if !is_file => {
            return Err("the key max is for a file; write file:PATH,max=SIZE".into());
        }
        (true, _) if is_file => {
            return Err(
                "a file never makes a guest wait; write file:PATH,max=SIZE to bound it".into()
            );
        }
        (_, Some(0)) => return Err("a file of 0 bytes keeps nothing; write null".into()),
        (_, Some(max)) => Some(Excess::Beyond(max)),
        (true, None) => Some(Excess::NoRoom),
        (false, None) => None,
    };
    Ok(Output { to, frame: None, shed })
}

/// Parses where an output goes. `take` takes keys, and returns false for one that it does not know; `known` lists
/// those that it does. Keys alone say nothing of where it goes.
fn output(
    text: &OsStr,
    known: &str,
    mut take: impl FnMut(&str) -> Parsed<bool>,
) -> Parsed<Option<StreamSpec>> {
    let mut parts = parts(text).into_iter();
    let first = parts.next().unwrap_or_default();
    let mut fifo_keys = Vec::new();
    let is_fifo = sys::bytes(&first).starts_with(b"fifo:");
    let mut take_keys = |keys: Vec<String>| {
        for key in keys {
            match take(&key)? {
                true => {}
                false if is_fifo => fifo_keys.push(key),
                false => {
                    return Err(format!(
                        "unknown key `{key}`; there are {known}; a comma of the path's is written `,,`"
                    ));
                }
            }
        }
        Parsed::Ok(())
    };
    let path = |prefix: &str| match split_once(&first, prefix) {
        Some((before, path)) if before.is_empty() => Some(path),
        _ => None,
    };
    let is_key = |part: &OsString| {
        let part = part.to_string_lossy();
        part == "drop" || ["frame=", "frame-error=", "max="].iter().any(|key| part.starts_with(key))
    };
    let spec = match first.to_str() {
        Some("") if text.is_empty() => {
            return Err(
                "the value is missing; there are inherit, null, FILE, file:PATH, append:FILE and \
                 fifo:PATH"
                    .into(),
            );
        }
        Some("inherit") => {
            take_keys(keys(parts))?;
            Some(StreamSpec::Inherit)
        }
        Some("null") => {
            take_keys(keys(parts))?;
            Some(StreamSpec::Null)
        }
        _ if is_key(&first) => {
            take_keys(keys(std::iter::once(first).chain(parts)))?;
            None
        }
        _ if let Some(path) = path("fifo:") => {
            take_keys(keys(parts))?;
            Some(StreamSpec::Fifo(standard_fifo(path, &fifo_keys, false)?))
        }
        _ if let Some(path) = path("file:") => {
            if path.is_empty() {
                return Err("the path is missing; write file:PATH".into());
            }
            take_keys(keys(parts))?;
            Some(StreamSpec::File(path.into()))
        }
        _ if let Some(path) = path("append:") => {
            if path.is_empty() {
                return Err("the path is missing; write append:FILE".into());
            }
            take_keys(keys(parts))?;
            Some(StreamSpec::Append(path.into()))
        }
        _ if parts.any(|part| is_key(&part)) => {
            return Err(format!("keys stand behind file:PATH; write file:{}", text.display()));
        }
        _ => Some(StreamSpec::File(text.into())),
    };
    Ok(spec)
}

/// Makes the FIFO of a standard stream.
fn standard_fifo(path: OsString, keys: &[String], reads: bool) -> Parsed<StreamFifo> {
    let path = PathBuf::from(path);
    if path.as_os_str().is_empty() {
        return Err("the path is missing; write fifo:PATH".into());
    }
    let FifoKeys { read, write, options, eof, capacity, frame } = FifoKeys::of(keys)?;
    match (reads, read, write, eof) {
        (true, _, true, _) => Err("a guest only reads its stdin; drop the key w".into()),
        (true, ..) if frame.any() => Err("a guest only reads its stdin; drop the frame".into()),
        (false, true, ..) => {
            Err("a guest only writes to its stdout and stderr; drop the key r".into())
        }
        (false, _, _, Some(_)) => {
            Err("a guest meets no end of file where it writes; drop the key eof".into())
        }
        _ => Ok(StreamFifo { path, options, eof: eof.unwrap_or_default(), capacity }),
    }
}
