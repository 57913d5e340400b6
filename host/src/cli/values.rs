//! What option values say, without doing any of it yet.

use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::FifoOptions;
use crate::pipe::{Directions, EofPolicy, PipeName};

/// A message for the operator, naming what to type.
type Parsed<T> = Result<T, String>;

/// `--fifo [NAME=]PATH[,KEY...]`, `--fifo NAME=[,KEY...]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FifoSpec {
    pub(crate) name: PipeName,
    /// None: in a private folder.
    pub(crate) path: Option<PathBuf>,
    pub(crate) options: FifoOptions,
    pub(crate) directions: Directions,
    pub(crate) eof: EofPolicy,
    pub(crate) capacity: Option<u64>,
}

/// `--fd [NAME=]N[,r|w]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FdSpec {
    pub(crate) name: PipeName,
    pub(crate) number: i32,
    /// None where no key says.
    pub(crate) directions: Option<Directions>,
}

/// `--stdin`, `--stdout`, `--stderr`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StdioSpec {
    Inherit,
    Null,
    File(PathBuf),
    Fifo(PathBuf),
}

/// `--dir HOST[::GUEST][,ro]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirSpec {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

/// `--child NAME=GUEST[,KEY...]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChildSpec {
    pub(crate) name: PipeName,
    pub(crate) guest: PathBuf,
    pub(crate) spawn: bool,
    pub(crate) max_memory: Option<u64>,
    pub(crate) timeout: Option<Duration>,
}

/// `--exec NAME=COMMAND`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecSpec {
    pub(crate) name: PipeName,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
}

/// What stands before `=`, if it is a pipe's name, and the rest.
fn split_name(text: &str) -> Parsed<(Option<PipeName>, &str)> {
    match text.split_once('=') {
        Some(("", _)) => Err("the name before `=` is missing; write NAME=PATH".into()),
        Some((name, rest)) => match name.parse() {
            Ok(name) => Ok((Some(name), rest)),
            // Part of the path: `./a=b`.
            Err(_) => Ok((None, text)),
        },
        None => Ok((None, text)),
    }
}

/// `r` and `w` among the keys, where none means both.
fn directions(read: bool, write: bool) -> Directions {
    match (read, write) {
        (false, false) => Directions::BOTH,
        (read, write) => Directions { read, write },
    }
}

pub(crate) fn fifo(text: &str) -> Parsed<FifoSpec> {
    let mut parts = text.split(',');
    let (name, path) = split_name(parts.next().unwrap_or(""))?;
    // A file may be called so: with `./` before it, it is granted all the same.
    if let (None, Some((before, after))) = (&name, path.split_once(':'))
        && before.parse::<PipeName>().is_ok()
    {
        return Err(format!("`:` stands for nothing here; write {before}={after}"));
    }
    let (name, path) = match (name, path) {
        (None, "") => {
            return Err("the path is missing; write NAME=PATH, or NAME= for a private one".into());
        }
        (Some(name), "") => (name, None),
        (Some(name), path) => (name, Some(PathBuf::from(path))),
        (None, path) => (default_name(path.as_ref())?, Some(PathBuf::from(path))),
    };
    let (mut read, mut write) = (false, false);
    let mut options = FifoOptions::default();
    let mut eof = EofPolicy::default();
    let mut capacity = None;
    for key in parts {
        match key.split_once('=').unwrap_or((key, "")) {
            ("r", "") => read = true,
            ("w", "") => write = true,
            ("existing", "") => options.existing = true,
            ("keep", "") => options.keep = true,
            ("insecure", "") => options.insecure = true,
            ("eof", "close") => eof = EofPolicy::Close,
            ("eof", "reopen") => eof = EofPolicy::Reopen,
            ("capacity", value) => capacity = Some(size(value)?),
            _ => {
                return Err(format!(
                    "unknown key `{key}`; there are r, w, existing, keep, insecure, eof=close, \
                     eof=reopen and capacity=SIZE"
                ));
            }
        }
    }
    if path.is_none() && (options.existing || options.keep) {
        return Err("the keys existing and keep need a path; write NAME=PATH".into());
    }
    Ok(FifoSpec { name, path, options, directions: directions(read, write), eof, capacity })
}

fn default_name(path: &Path) -> Parsed<PipeName> {
    let file_name = path.file_name().and_then(OsStr::to_str);
    file_name
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| "its file name cannot be the pipe's name; give it one: NAME=PATH".to_owned())
}

pub(crate) fn fd(text: &str) -> Parsed<FdSpec> {
    let mut parts = text.split(',');
    let (name, number) = split_name(parts.next().unwrap_or(""))?;
    // The shell's <(...) gives a path.
    let digits = number.strip_prefix("/dev/fd/").unwrap_or(number);
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
    let (mut read, mut write) = (false, false);
    for key in parts {
        match key {
            "r" => read = true,
            "w" => write = true,
            _ => return Err(format!("unknown key `{key}`; there are r and w")),
        }
    }
    let directions = (read || write).then_some(Directions { read, write });
    Ok(FdSpec { name, number, directions })
}

pub(crate) fn child(text: &str) -> Parsed<ChildSpec> {
    let mut parts = text.split(',');
    let (name, guest) = child_name(parts.next().unwrap_or(""), "NAME=GUEST")?;
    let guest = PathBuf::from(guest);
    let mut spec = ChildSpec { name, guest, spawn: false, max_memory: None, timeout: None };
    for key in parts {
        match key.split_once('=').unwrap_or((key, "")) {
            ("spawn", "") => spec.spawn = true,
            ("max-memory", value) => spec.max_memory = Some(size(value)?),
            ("timeout", value) => spec.timeout = Some(duration(value)?),
            _ => {
                return Err(format!(
                    "unknown key `{key}`; there are spawn, max-memory=SIZE and timeout=DURATION"
                ));
            }
        }
    }
    Ok(spec)
}

pub(crate) fn exec(text: &str) -> Parsed<ExecSpec> {
    let (name, command) = child_name(text, "NAME=COMMAND")?;
    let words = shlex::split(command).ok_or("a quote is not closed")?;
    let mut words = words.into_iter();
    match words.next() {
        Some(program) => Ok(ExecSpec { name, program, args: words.collect() }),
        None => Err("the command is missing; write NAME=COMMAND".into()),
    }
}

/// What stands before `=`, which must be a name, and the rest, which must be there.
fn child_name<'a>(text: &'a str, form: &str) -> Parsed<(PipeName, &'a str)> {
    match text.split_once('=') {
        Some((name, rest)) if !rest.is_empty() => match name.parse() {
            Ok(name) => Ok((name, rest)),
            Err(error) => Err(format!("`{name}`: {error}")),
        },
        _ => Err(format!("write {form}")),
    }
}

pub(crate) fn stdio(text: &str) -> Parsed<StdioSpec> {
    match text {
        "" => Err("the value is missing; there are inherit, null, FILE and fifo:PATH".into()),
        "inherit" => Ok(StdioSpec::Inherit),
        "null" => Ok(StdioSpec::Null),
        "fifo:" => Err("the path is missing; write fifo:PATH".into()),
        text => Ok(match text.strip_prefix("fifo:") {
            Some(path) => StdioSpec::Fifo(path.into()),
            None => StdioSpec::File(text.into()),
        }),
    }
}

pub(crate) fn env(text: &str) -> Parsed<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}

pub(crate) fn dir(text: &str) -> Parsed<DirSpec> {
    let mut parts = text.split(',');
    let folders = parts.next().unwrap_or_default();
    let mut read_only = false;
    for key in parts {
        match key {
            "ro" => read_only = true,
            _ => return Err(format!("unknown key `{key}`; there is ro, for reading only")),
        }
    }
    let (host, guest) = match folders.split_once("::") {
        Some(both) => both,
        // As others write it. A folder may be called so: HOST::GUEST grants it all the same.
        None => match folders.split_once(':') {
            Some((before, after)) if after.starts_with('/') || !before.contains('/') => {
                return Err(format!("`:` stands for nothing here; write {before}::{after}"));
            }
            _ => (folders, folders),
        },
    };
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST or HOST::GUEST, with two folders".into());
    }
    Ok(DirSpec { host: host.into(), guest: guest.into(), read_only })
}

/// A number of bytes: `4096`, `64K`, `1MiB`, `2GB`. All units are powers of 1024: M, MB and MiB are one
/// and the same.
pub(crate) fn size(text: &str) -> Parsed<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.strip_suffix("iB").or(unit.strip_suffix('B')).unwrap_or(unit) {
        "" if unit == "iB" => None,
        "" => Some(0),
        "K" | "k" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        _ => None,
    };
    let bytes = match (number.parse::<u64>(), shift) {
        (Ok(number), Some(shift)) => number.checked_mul(1u64 << shift),
        _ => None,
    };
    bytes.ok_or_else(|| format!("`{text}` is not a size; write bytes, or 64K, 1M, 2G"))
}

/// A length of time: `5s`, `250ms`, `1m 30s`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => Err(format!("`{text}` is too long a time")),
        };
    }
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a length of time; write 5s, 250ms or 1m30s"))
}

/// A number of bytes a second, at least one: `1M`.
pub(crate) fn rate(text: &str) -> Parsed<NonZeroU64> {
    NonZeroU64::new(size(text)?)
        .ok_or_else(|| "at a rate of 0 nothing would ever move; write 64K, 1M, 2G".into())
}

/// An amount of fuel.
pub(crate) fn fuel(text: &str) -> Parsed<u64> {
    text.parse().map_err(|_| format!("`{text}` is not an amount of fuel; write 1000000000"))
}

/// A number of pipes.
pub(crate) fn count(text: &str) -> Parsed<usize> {
    text.parse().map_err(|_| format!("`{text}` is not a number; write 64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        for bad in ["", "12Q", "K", "-1", "1.5M", "iB", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "0K", "12Q", "-1"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["", "-1", "1.5", "1M", "99999999999999999999"] {
            assert!(fuel(bad).is_err(), "{bad}");
        }
        for bad in ["", "-1", "5x", "s", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
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
        for bad in ["", "fifo:"] {
            assert!(stdio(bad).is_err(), "{bad}");
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

    #[test]
    fn sizes_and_times() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(64 << 10));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!((size("16MB"), size("16B"), size("1kB")), (Ok(16 << 20), Ok(16), Ok(1 << 10)));
        assert_eq!(rate("1K").map(NonZeroU64::get), Ok(1024));
        assert_eq!(fuel("1000000"), Ok(1_000_000));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(fd("log=4,w").unwrap().number, 4);
        assert_eq!(fd("/dev/fd/63").unwrap().name.as_str(), "fd63");
        assert_eq!(dir("/a::/b,ro").unwrap().guest, "/b");
        assert_eq!(dir("/a:b::/b").unwrap().host, Path::new("/a:b"));
        assert_eq!(dir("/mnt/a:b").unwrap().host, Path::new("/mnt/a:b"));
        assert_eq!(fifo("./in:x,r").unwrap_err(), default_name("in:x".as_ref()).unwrap_err());
        assert_eq!(stdio("fifo:/tmp/x"), Ok(StdioSpec::Fifo("/tmp/x".into())));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in any::<String>()) {
            let _ = (fifo(&text), fd(&text), stdio(&text), env(&text), dir(&text));
            let _ = (size(&text), duration(&text), count(&text), child(&text), exec(&text));
        }

        #[test]
        fn sizes_are_what_they_say(n in 0u64..1 << 20, unit in 0usize..4) {
            let text = format!("{n}{}", ["", "K", "MiB", "G"][unit]);
            prop_assert_eq!(size(&text), Ok(n << (10 * unit)));
        }
    }
}
