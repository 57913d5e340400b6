//! Writes the options of a guest as they are typed: what the parsers beside this read gives the same
//! options again.

use std::fmt::Write as _;
use std::path::Path;

use super::args::GuestOptions;
use super::shell::shell_quoted;
use super::values::Output;
use crate::launch::{ChildSpec, CommandSpec, DescriptorSpec, FifoSpec, FolderSpec, StreamSpec};
use crate::limits::Size;
use crate::pipe::{Directions, EofPolicy, Excess, Frame, FrameError, Records};
use crate::restart::Restart;
use crate::sys::FifoOptions;

/// Returns the values of an option, in their order, or `None` if there is no such option of a guest's.
/// An option without a value has an empty one.
pub(crate) fn values(options: &GuestOptions, option: &str) -> Option<Vec<String>> {
    let limits = &options.limits;
    let time = |limit: Option<std::time::Duration>| {
        limit.map(|time| humantime::format_duration(time).to_string())
    };
    let size = |limit: Option<u64>| limit.map(|bytes| Size(bytes).to_string());
    let one = |value: Option<String>| value.into_iter().collect();
    Some(match option {
        "fifo" => options.fifo.iter().map(fifo).collect(),
        "fd" => options.fd.iter().map(fd).collect(),
        "stdin" => one(options.stdin.as_ref().map(stdin)),
        "stdout" => one(options.stdout.as_ref().map(output)),
        "stderr" => one(options.stderr.as_ref().map(output)),
        "restart" => one(options.restart.map(restart)),
        "watch" => one(time(options.watch)),
        "env" => options.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        "dir" => options.dir.iter().map(dir).collect(),
        "child" => options.child.iter().map(child).collect(),
        "exec" => options.exec.iter().map(exec).collect(),
        "timeout" => one(time(limits.timeout)),
        "open-timeout" => one(time(limits.open_timeout)),
        "idle-timeout" => one(time(limits.idle_timeout)),
        "max-bytes" => one(size(limits.max_bytes)),
        "rate" => one(size(limits.rate.map(u64::from))),
        "fuel" => one(limits.fuel.map(|units| units.to_string())),
        "max-memory" => one(size(limits.max_memory)),
        "max-pipes" => one(limits.max_pipes.map(|count| count.to_string())),
        "max-children" => one(limits.max_children.map(|count| count.to_string())),
        "raw-terminal" => one(options.raw_terminal.then(String::new)),
        _ => return None,
    })
}

/// Writes a path. A comma of its own is doubled.
fn path(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn ways(directions: Directions) -> &'static str {
    match directions {
        Directions { read: true, write: true } => ",r,w",
        Directions { read: true, .. } => ",r",
        _ => ",w",
    }
}

fn fifo(spec: &FifoSpec) -> String {
    let to = spec.path.as_deref().map(path).unwrap_or_default();
    let mut text = format!("{}={to}{}", spec.name, ways(spec.directions));
    text += &fifo_keys(spec.options, spec.eof, spec.capacity);
    text + &frame(spec.frame)
}

fn fifo_keys(options: FifoOptions, eof: EofPolicy, capacity: Option<u64>) -> String {
    let mut text = String::new();
    for (is_set, key) in [
        (options.existing, ",existing"),
        (options.keep, ",keep"),
        (options.insecure, ",insecure"),
        (eof == EofPolicy::Reopen, ",eof=reopen"),
    ] {
        text += if is_set { key } else { "" };
    }
    if let Some(bytes) = capacity {
        // Cannot fail: it writes to a string.
        let _ = write!(text, ",capacity={}", Size(bytes));
    }
    text
}

fn frame(frame: Option<Frame>) -> String {
    let Some(frame) = frame else { return String::new() };
    let records = match frame.records {
        Records::Lines => "lines",
        Records::Nul => "nul",
        Records::Json => "json",
    };
    let error = match frame.error {
        FrameError::Drop => "",
        FrameError::End => ",frame-error=end",
    };
    format!(",frame={records}:{}{error}", Size(frame.max as u64))
}

fn fd(spec: &DescriptorSpec) -> String {
    let ways = spec.directions.map(ways).unwrap_or_default();
    format!("{}={}{ways}{}", spec.name, spec.number, frame(spec.frame))
}

fn stdin(spec: &StreamSpec) -> String {
    match spec {
        // Has no keys, and so no commas that would have to be doubled.
        StreamSpec::File(path) | StreamSpec::Append(path) => path.display().to_string(),
        spec => stream(spec),
    }
}

fn stream(spec: &StreamSpec) -> String {
    match spec {
        StreamSpec::Inherit => "inherit".into(),
        StreamSpec::Null => "null".into(),
        StreamSpec::File(file) => format!("file:{}", path(file)),
        StreamSpec::Append(file) => format!("append:{}", path(file)),
        StreamSpec::Fifo(fifo) => {
            let keys = fifo_keys(fifo.options, fifo.eof, fifo.capacity);
            format!("fifo:{}{keys}", path(&fifo.path))
        }
    }
}

fn output(output: &Output) -> String {
    let to = output.to.as_ref().map(stream).unwrap_or_default();
    let shed = match output.shed {
        None => String::new(),
        Some(Excess::NoRoom) => ",drop".into(),
        Some(Excess::Beyond(bytes)) => format!(",max={}", Size(bytes)),
    };
    let text = format!("{to}{}{shed}", frame(output.frame));
    text.strip_prefix(',').map_or(text.clone(), str::to_owned)
}

fn restart(restart: Restart) -> String {
    format!("on-trap:{}", restart.most)
}

fn dir(spec: &FolderSpec) -> String {
    let only = if spec.read_only { ",ro" } else { "" };
    let guest = spec.guest.replace(',', ",,");
    // With a `:` at its end, `HOST::GUEST` would be read otherwise.
    if spec.guest.ends_with(':') && spec.host.as_os_str() == &*spec.guest {
        return guest + only;
    }
    format!("{}::{guest}{only}", path(&spec.host))
}

fn child(spec: &ChildSpec) -> String {
    let mut text = format!("{}={}", spec.name, path(&spec.guest));
    if spec.spawn {
        text += ",spawn";
    }
    // Cannot fail: they write to a string.
    if let Some(bytes) = spec.max_memory {
        let _ = write!(text, ",max-memory={}", Size(bytes));
    }
    if let Some(time) = spec.timeout {
        let _ = write!(text, ",timeout={}", humantime::format_duration(time));
    }
    text
}

fn exec(spec: &CommandSpec) -> String {
    let words = std::iter::once(&spec.program).chain(&spec.args);
    let words: Vec<_> = words.map(|word| shell_quoted(word)).collect();
    format!("{}={}", spec.name, words.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads `values` of an option, and expects what is written of that to read the same.
    #[track_caller]
    fn round_trip(option: &str, value: &str) {
        let read = |value: &str| {
            GuestOptions::of(&[format!("--{option}={value}").into()])
                .unwrap_or_else(|error| panic!("--{option}={value}: {error}"))
        };
        let options = read(value);
        let shown = values(&options, option).unwrap();
        assert_eq!(shown.len(), 1, "{option} {value}");
        assert_eq!(read(&shown[0]), options, "{option}: {value} is shown as {}", shown[0]);
    }

    #[test]
    fn every_option_of_a_guest_is_known() {
        for known in GuestOptions::known() {
            let none = values(&GuestOptions::default(), &known.name);
            assert_eq!(none.as_deref(), Some(&[][..]), "{}", known.name);
        }
        assert_eq!(values(&GuestOptions::default(), "nope"), None);
        let raw = GuestOptions { raw_terminal: true, ..GuestOptions::default() };
        assert_eq!(values(&raw, "raw-terminal").unwrap(), [""]);
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn what_is_written_reads_the_same() {
        for (option, value) in [
            ("fifo", "/tmp/x"),
            ("fifo", "in=a,,b,r,existing,keep,insecure,eof=reopen,capacity=64K"),
            ("fifo", "out=,w,frame=json:64K,frame-error=end"),
            ("fd", "3"),
            ("fd", "log=7,w,frame=lines"),
            ("stdin", "null"),
            ("stdin", "a,b"),
            ("stdin", "fifo:a,,b,eof=reopen"),
            ("stdout", "inherit"),
            ("stdout", "frame=nul:9"),
            ("stdout", "a,b"),
            ("stdout", "append:a,,b,frame=lines"),
            ("stdout", "fifo:/x,keep,capacity=1M,frame=json"),
            ("stderr", "drop"),
            ("stderr", "null"),
            ("stderr", "file:/x,max=1M"),
            ("stderr", "fifo:/x,drop"),
            ("restart", "on-trap"),
            ("restart", "on-trap:3"),
            ("watch", "1m30s"),
            ("env", "A=b=c"),
            ("dir", "/a,,b::/c,,d,ro"),
            ("dir", "data"),
            ("child", "sh=./a,,b.wasm,spawn,max-memory=1M,timeout=1m 30s"),
            ("exec", "s=sort -t '=' 'a b'"),
            ("timeout", "1m30s"),
            ("open-timeout", "250ms"),
            ("idle-timeout", "0"),
            ("max-bytes", "0"),
            ("rate", "1M"),
            ("fuel", "1000000007"),
            ("max-memory", "16MB"),
            ("max-pipes", "3"),
            ("max-children", "0"),
        ] {
            round_trip(option, value);
        }
    }

    proptest! {
        #[test]
        fn any_value_reads_the_same(value in any::<String>(), option in 0usize..10) {
            let known = ["fifo", "fd", "stdin", "stdout", "stderr", "env", "dir", "child", "exec", "timeout"];
            let option = known[option];
            let read = |value: &str| GuestOptions::of(&[format!("--{option}={value}").into()]);
            if let Ok(options) = read(&value) {
                let shown = values(&options, option).unwrap();
                prop_assert_eq!(read(&shown[0]).unwrap(), options);
            }
        }
    }
}
