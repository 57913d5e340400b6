//! Parses option values, and does nothing of what they say.
//!
//! A value is a path and keys, with commas between them. Paths need not be UTF-8. Two commas in a value
//! stand for one comma of the path.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::launch::{
    ChildSpec, CommandSpec, DescriptorSpec, FifoSpec, FolderSpec, StreamFifo, StreamSpec,
};
use crate::limits::{duration, size};
use crate::pipe::{
    DEFAULT_MAX_RECORD, Directions, EofPolicy, Excess, Frame, FrameError, MOST_MAX_RECORD,
    PipeName, Records,
};
use crate::restart::{DEFAULT_MOST, Restart};
use crate::sys::{self, FifoOptions};

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

/// What the keys say of a guest's records.
#[derive(Default)]
struct FrameKeys {
    frame: Option<Frame>,
    error: Option<FrameError>,
}

impl FrameKeys {
    /// Takes `key`, if it is one about records. Returns whether it is.
    fn take(&mut self, key: &str) -> Parsed<bool> {
        match key.split_once('=').unwrap_or((key, "")) {
            ("frame", value) => self.frame = Some(frame(value)?),
            ("frame-error", "drop") => self.error = Some(FrameError::Drop),
            ("frame-error", "end") => self.error = Some(FrameError::End),
            ("frame-error", _) => return Err("write frame-error=drop or frame-error=end".into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether any was given.
    fn any(&self) -> bool {
        self.frame.is_some() || self.error.is_some()
    }

    fn frame(self) -> Parsed<Option<Frame>> {
        match (self.frame, self.error) {
            (None, Some(_)) => {
                Err("frame-error needs a frame; add frame=lines, frame=nul or frame=json".into())
            }
            (Some(frame), Some(error)) => Ok(Some(Frame { error, ..frame })),
            (frame, None) => Ok(frame),
        }
    }

    /// The frame of an end that a guest opens in these directions.
    fn frame_for(self, directions: Option<Directions>) -> Parsed<Option<Frame>> {
        match directions {
            Some(ways) if !ways.write && self.any() => {
                Err("a frame is for what a guest writes; add the key w, or drop the frame".into())
            }
            _ => self.frame(),
        }
    }
}

/// Parses what follows `frame=`.
fn frame(text: &str) -> Parsed<Frame> {
    let (records, max) = match text.split_once(':') {
        Some((records, max)) => (records, Some(max)),
        None => (text, None),
    };
    let records = match records {
        "lines" => Records::Lines,
        "nul" => Records::Nul,
        "json" => Records::Json,
        _ => {
            return Err(format!(
                "`{text}` is no frame; write frame=lines, frame=nul or frame=json, and behind it how \
                 long a record may be, if that is not 1M: frame=json:64K"
            ));
        }
    };
    let most = MOST_MAX_RECORD as u64;
    let max = match max.map(size).transpose()? {
        None => DEFAULT_MAX_RECORD as u64,
        Some(max) if (1..=most).contains(&max) => max,
        Some(_) => return Err("a record has from 1 byte to 64M; write frame=json:64K".into()),
    };
    Ok(Frame { max: usize::try_from(max).unwrap_or(MOST_MAX_RECORD), ..Frame::new(records) })
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn a_fifo_in_full() {
        let spec = fifo("in=/tmp/a,r,existing,keep,insecure,eof=reopen,capacity=1M").unwrap();
        assert_eq!(spec.name.as_str(), "in");
        assert_eq!(spec.path.as_deref(), Some(Path::new("/tmp/a")));
        assert_eq!(spec.directions, Directions::READ);
        assert_eq!(spec.options, FifoOptions { existing: true, keep: true, insecure: true });
        assert_eq!(spec.eof, EofPolicy::Reopen);
        assert_eq!(spec.capacity, Some(1 << 20));
    }

    #[test]
    fn a_fifo_by_its_path_alone() {
        let spec = fifo("/tmp/x").unwrap();
        assert_eq!((spec.name.as_str(), spec.directions), ("x", Directions::BOTH));
        assert_eq!(fifo("./a=b/x").unwrap().path.as_deref(), Some(Path::new("./a=b/x")));
    }

    #[test]
    fn a_fifo_without_a_path() {
        let spec = fifo("in=,r,capacity=1M").unwrap();
        assert_eq!((spec.name.as_str(), spec.path), ("in", None));
        assert_eq!((spec.directions, spec.capacity), (Directions::READ, Some(1 << 20)));
        for bad in ["in=,keep", "in=,existing", "=", "=,r", ",r"] {
            assert!(fifo(bad).is_err(), "{bad}");
        }
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn bad_values_are_answered_by_what_to_write() {
        for bad in [
            "in:/x",
            "in:x",
            "=",
            "",
            "=x",
            "/",
            "/tmp/.x",
            "/tmp/x,q",
            "/tmp/x,eof=never",
            "a,r=1",
        ] {
            assert!(fifo(bad).is_err(), "{bad}");
        }
        for bad in ["", "x", "-1", "0", "2", "3,q", "99999999999"] {
            assert!(fd(bad).is_err(), "{bad}");
        }
        for bad in ["", "=v", "name"] {
            assert!(env(bad).is_err(), "{bad}");
        }
        for bad in ["", "::", "a::", "::b", "data::/d,rw", "data,", "data:/d", "/data:/d", "a:b"] {
            assert!(dir(bad).is_err(), "{bad}");
        }
        for bad in ["", "a", "a=", "=g.wasm", "../a=g.wasm", "a=g.wasm,x", "a=g,max-memory=x"] {
            assert!(child(bad).is_err(), "{bad}");
        }
        for bad in ["", "a", "a=", "a=  ", "=sort", "a=sort 'x"] {
            assert!(exec(bad).is_err(), "{bad}");
        }
        for bad in ["", "fifo:", "fifo:,r", "fifo:x,w", "fifo:x,q", "fifo:x,eof=never"] {
            assert!(stdin(bad).is_err(), "{bad}");
        }
        for bad in ["", "fifo:x,r", "fifo:x,eof=reopen", "fifo:x,capacity=1Q", "file:", "inherit,x"]
        {
            assert!(stdout(bad).is_err() && stderr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_in_full() {
        let framed = |max, error| Some(Frame { max, error, ..Frame::new(Records::Json) });
        let output = stdout("inherit,frame=json:64K,frame-error=end").unwrap();
        assert_eq!(output.to, Some(StreamSpec::Inherit));
        assert_eq!(output.frame, framed(64 << 10, FrameError::End));
        assert_eq!(stdout("frame=json").unwrap().frame, framed(1 << 20, FrameError::Drop));
        assert_eq!(stdout("frame=json").unwrap().to, None);
        let spec = fifo("out=/x,w,frame=nul:9,frame-error=drop,keep").unwrap();
        assert_eq!(spec.frame, Some(Frame { max: 9, ..Frame::new(Records::Nul) }));
        assert_eq!(fd("3,frame=lines").unwrap().frame, Some(Frame::new(Records::Lines)));
        let output = stdout("fifo:/x,keep,frame=lines").unwrap();
        assert!(matches!(output.to, Some(StreamSpec::Fifo(fifo)) if fifo.options.keep));
        assert_eq!(output.frame, Some(Frame::new(Records::Lines)));
        let output = stdout("file:a,,b,frame=lines").unwrap();
        assert_eq!(output.to, Some(StreamSpec::File("a,b".into())));
        let output = stdout("append:a,frame=lines").unwrap();
        assert_eq!(output.to, Some(StreamSpec::Append("a".into())));
        assert_eq!(output.frame, Some(Frame::new(Records::Lines)));
        for (bad, remedy) in [
            ("frame=xml", "frame=json"),
            ("frame=json:0", "frame=json:64K"),
            ("frame=json:65M", "to 64M"),
            ("frame=json:x", "not a size"),
            ("frame=json,frame-error=stop", "frame-error=end"),
            ("frame-error=end", "add frame=lines"),
            ("inherit,drop", "--stderr"),
            ("x,frame=json", "file:x,frame=json"),
        ] {
            let error = stdout(bad).unwrap_err();
            assert!(error.contains(remedy), "{bad}: {error}");
        }
        assert!(fifo("x,r,frame=json").unwrap_err().contains("key w"));
        assert!(fd("3,r,frame=json").unwrap_err().contains("key w"));
        assert!(stdin("fifo:x,frame=json").is_err());
    }

    #[test]
    fn what_is_dropped_of_stderr() {
        let shed = |text: &str| stderr(text).map(|output| (output.to, output.shed));
        assert_eq!(shed("drop"), Ok((None, Some(Excess::NoRoom))));
        assert_eq!(shed("inherit,drop"), Ok((Some(StreamSpec::Inherit), Some(Excess::NoRoom))));
        let file = Some(StreamSpec::File("a".into()));
        assert_eq!(shed("file:a,max=1K"), Ok((file.clone(), Some(Excess::Beyond(1024)))));
        assert_eq!((shed("file:a"), shed("a")), (Ok((file.clone(), None)), Ok((file, None))));
        for (bad, remedy) in [
            ("a,max=1K", "file:a,max=1K"),
            ("max=1K", "file:PATH"),
            ("inherit,max=1K", "file:PATH"),
            ("file:a,drop", "max=SIZE"),
            ("append:a,drop", "file:PATH,max=SIZE"),
            ("append:a,max=1K", "file:PATH,max=SIZE"),
            ("file:a,max=0", "null"),
            ("file:a,nope", "max=SIZE"),
            ("frame=json", "--stdout"),
        ] {
            let error = stderr(bad).unwrap_err();
            assert!(error.contains(remedy), "{bad}: {error}");
        }
    }

    #[test]
    fn restarts_are_counted() {
        assert_eq!(restart("on-trap"), Ok(Restart::on_trap(DEFAULT_MOST)));
        assert_eq!(restart("on-trap:7"), Ok(Restart::on_trap(7)));
        for bad in ["", "always", "on-trap:", "on-trap:0", "on-trap:-1", "on-trap:x"] {
            assert!(restart(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn children_in_full() {
        let spec = child("sh=./shell.wasm,spawn,max-memory=1M,timeout=5s").unwrap();
        assert_eq!((spec.name.as_str(), spec.guest.as_path()), ("sh", Path::new("./shell.wasm")));
        assert!(spec.spawn);
        assert_eq!((spec.max_memory, spec.timeout), (Some(1 << 20), Some(Duration::from_secs(5))));
        let spec = exec("s=sort -t '=' -k 2").unwrap();
        assert_eq!((spec.name.as_str(), &*spec.program), ("s", "sort"));
        assert_eq!(spec.args, ["-t", "=", "-k", "2"]);
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn descriptors_and_folders() {
        assert_eq!(fd("log=4,w").unwrap().number, 4);
        assert_eq!(fd("/dev/fd/63").unwrap().name.as_str(), "fd63");
        assert_eq!(dir("/a::/b,ro").unwrap().guest, "/b");
        assert_eq!(dir("/a:b::/b").unwrap().host, Path::new("/a:b"));
        assert_eq!(dir("/mnt/a:b").unwrap().host, Path::new("/mnt/a:b"));
        assert_eq!(fifo("./in:x,r").unwrap_err(), default_name("in:x".as_ref()).unwrap_err());
    }

    #[test]
    fn standard_streams_take_the_keys_of_a_fifo() {
        let Ok(StreamSpec::Fifo(spec)) = stdin("fifo:/tmp/x,eof=reopen,keep,capacity=1M") else {
            panic!("it is a FIFO");
        };
        assert_eq!((spec.path.as_path(), spec.eof), (Path::new("/tmp/x"), EofPolicy::Reopen));
        assert_eq!((spec.options.keep, spec.capacity), (true, Some(1 << 20)));
        let Ok(Some(StreamSpec::Fifo(spec))) = stdout("fifo:a,,b,w").map(|output| output.to) else {
            panic!("it is a FIFO")
        };
        assert_eq!(spec.path, Path::new("a,b"));
        assert_eq!(stdin("a,b"), Ok(StreamSpec::File("a,b".into())));
        assert_eq!(stdin("x/fifo:y"), Ok(StreamSpec::File("x/fifo:y".into())));
        for output in [stdout, stderr] {
            let to = |text: &'static str| output(text).map(|output| output.to);
            assert_eq!(to("append:a,,b"), Ok(Some(StreamSpec::Append("a,b".into()))));
            assert_eq!(to("x/append:y"), Ok(Some(StreamSpec::File("x/append:y".into()))));
            assert!(to("append:a,keep").unwrap_err().contains("`keep`"));
            assert!(to("append:").unwrap_err().contains("append:FILE"));
        }
        assert!(stdin("append:a").unwrap_err().contains("--stdin FILE"));
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn paths_may_hold_commas_and_any_bytes() {
        assert_eq!(fifo("in=/a,,b,r").unwrap().path.as_deref(), Some(Path::new("/a,b")));
        assert_eq!(fifo("in=/a,,,r").unwrap().path.as_deref(), Some(Path::new("/a,")));
        assert_eq!(dir("/a,,b::/c,ro").unwrap().host, Path::new("/a,b"));
        assert_eq!(child("a=b,,c.wasm,spawn").unwrap().guest, Path::new("b,c.wasm"));
        let odd = |before: &str, after: &str| {
            sys::text([before.as_bytes(), b"\xff", after.as_bytes()].concat())
        };
        assert_eq!(fifo(odd("in=/a", "b,r")).unwrap().path, Some(odd("/a", "b").into()));
        assert_eq!(stdin(odd("/a", ",b")), Ok(StreamSpec::File(odd("/a", ",b").into())));
        assert_eq!(dir(odd("/a", "::/b")).unwrap().host, PathBuf::from(odd("/a", "")));
        assert!(dir(odd("/a", "")).unwrap_err().contains("HOST::GUEST"));
        assert!(fifo(odd("/a", "")).unwrap_err().contains("NAME=PATH"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in any::<String>()) {
            let _ = (fifo(&text), fd(&text), stdin(&text), stdout(&text), env(&text), dir(&text));
            let _ = (child(&text), exec(&text), stderr(&text), restart(&text));
        }
    }
}
