//! Option values in full, and what is said of bad ones.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::launch::StreamSpec;
use crate::pipe::{Excess, Frame, FrameError, Records};

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
    for bad in
        ["in:/x", "in:x", "=", "", "=x", "/", "/tmp/.x", "/tmp/x,q", "/tmp/x,eof=never", "a,r=1"]
    {
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
    for bad in ["", "fifo:x,r", "fifo:x,eof=reopen", "fifo:x,capacity=1Q", "file:", "inherit,x"] {
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
