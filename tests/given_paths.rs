//! Paths as operators give them: of inherited descriptors, of FIFOs as standard streams, and with
//! any bytes in them.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use support::*;

/// Runs a script in a folder of its own, and returns how it ended.
fn prints(dir: &Dir, script: &str) -> Ended {
    sh(&format!("cd {} && {{ {script}; }}", dir.path("").display())).end()
}

#[test]
fn the_shells_substitutions_are_descriptors() {
    let _dog = watchdog();
    let dir = Dir::new();
    symlink("/dev/stdin", dir.path("link")).unwrap();
    symlink("/dev/fd", dir.path("fds")).unwrap();
    for (script, out) in [
        ("pipehost run @upper --stdin <(echo hi)", "HI\n"),
        ("pipehost run @upper --stdin fifo:<(echo hi)", "HI\n"),
        ("echo hi | pipehost run @upper --stdin /dev/stdin", "HI\n"),
        ("echo hi | pipehost run @upper --stdin ./link", "HI\n"),
        ("pipehost run @upper --stdin fds/7 7< <(echo hi)", "HI\n"),
        ("echo hi | pipehost run @upper --stdout /dev/stdout", "HI\n"),
        ("echo hi | pipehost run @upper --stdout /dev/fd/7 7>&1", "HI\n"),
        ("pipehost run @upper --fifo in=<(echo hi)", "HI\n"),
        ("echo hi | pipehost run @upper --fifo in=/dev/stdin,r", "HI\n"),
        ("echo hi | pipehost run @upper --fifo out=/dev/stdout | cat", "HI\n"),
        (
            "echo hi | pipehost run @upper --fifo out=>(cat > out); while ! [ -s out ]; do :; done; cat out",
            "HI\n",
        ),
        ("pipehost pipe --stdin <(echo hi) @cat ! @upper", "HI\n"),
        ("pipehost pipe --isolate --stdin <(echo hi) @cat ! @upper", "HI\n"),
        ("pipehost pipe --isolate @cat ! --fifo in=<(echo hi) @upper", "HI\n"),
        ("echo hi | pipehost pipe --isolate --stdin fifo:/dev/stdin @upper", "HI\n"),
        ("echo hi | pipehost pipe --isolate --stdout fifo:/dev/stdout @upper | cat", "HI\n"),
        ("echo hi | pipehost pipe --isolate --stdin fifo:/dev/fd/7 @upper 7<&0", "HI\n"),
        ("echo hi | pipehost pipe --isolate --fifo in=/dev/stdin,r @upper", "HI\n"),
        ("echo hi | pipehost pipe --isolate --fifo out=/dev/stdout @upper | cat", "HI\n"),
        (
            "printf '[[stage]]\nguest = \"@upper\"\n' > p; echo hi | pipehost pipe -f <(cat p)",
            "HI\n",
        ),
        // Two streams may go to one.
        ("echo hi | pipehost run @upper --stdout /dev/fd/7 --stderr /dev/fd/7 7>&1", "HI\n"),
    ] {
        let ended = prints(&dir, script);
        assert_eq!((ended.code, &*ended.stdout), (Some(0), out), "{script} {ended:?}");
        let _ = fs::remove_file(dir.path("out"));
    }
    for (script, status, part) in [
        ("pipehost run @cat --stdin /dev/fd/7", 74, "descriptor 7 was not inherited"),
        ("pipehost run @cat --stdin /dev/fd/7 7> x", 74, "descriptor 7 is not open for reading"),
        ("pipehost run @cat --stdin fifo:<(:),eof=reopen", 2, "make one with mkfifo"),
        ("pipehost run @cat --fifo in=/dev/fd/7 7< /dev/null", 73, "descriptor 7 is not a pipe"),
    ] {
        prints(&dir, script).expect_line(status, &[part]);
    }
}

/// Follows the message about a FIFO, word for word.
#[test]
fn hints_about_fifos_work() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.fifo("f");
    symlink("f", dir.path("l")).unwrap();
    for (option, path) in [("--stdin", "f"), ("--stdin", "l"), ("--stdout", "f"), ("--stdout", "l")]
    {
        let ended = prints(&dir, &format!("pipehost run @upper {option} {path}"));
        assert_eq!(ended.code, Some(74), "{ended:?}");
        let (_, hint) = ended.stderr.trim().split_once("it is a FIFO: write ").unwrap();
        let peer = match option {
            "--stdin" => "echo hi > f &",
            _ => "cat f &",
        };
        let ended = prints(&dir, &format!("{peer} echo hi | pipehost run @upper {hint}; wait"));
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "HI\n"), "{hint} {ended:?}");
    }
}

#[test]
fn standard_streams_take_the_keys_of_fifos() {
    let _dog = watchdog();
    let dir = Dir::new();
    // A daemon: each writer's end is none of its own.
    let daemon = "pipehost run @upper --stdin fifo:x,eof=reopen,keep --stdout out & pid=$!; \
                  while ! [ -p x ]; do :; done; \
                  for word in one two three; do echo $word > x; done; \
                  while ! grep -q THREE out; do :; done; kill $pid; wait $pid; echo $?; cat out; ls";
    let ended = prints(&dir, daemon).expect(0);
    assert_eq!(ended.stdout, "143\nONE\nTWO\nTHREE\nout\nx\n", "{ended:?}");
    for name in ["out", "x"] {
        fs::remove_file(dir.path(name)).unwrap();
    }
    for (script, part) in [
        ("pipehost run @cat --stdin fifo:x,existing", "no such FIFO"),
        ("pipehost run @cat --stdin fifo:x,w", "drop the key w"),
        ("pipehost run @cat --stdout fifo:x,r", "drop the key r"),
        ("pipehost run @cat --stderr fifo:x,eof=reopen", "drop the key eof"),
        ("pipehost run @cat --stdin fifo:x,foo", "unknown key `foo`"),
    ] {
        let ended = prints(&dir, script);
        assert!(matches!(ended.code, Some(2 | 73)) && ended.stderr.contains(part), "{ended:?}");
        assert!(dir.is_empty(), "{script}");
    }
    dir.file(
        "p",
        "[[stage]]\nguest = \"@upper\"\nstdin = \"fifo:x,eof=reopen\"\nstdout = \"out\"\n",
    );
    let ended = prints(
        &dir,
        &daemon.replace("run @upper --stdin fifo:x,eof=reopen,keep --stdout out", "pipe -f p"),
    );
    assert_eq!(ended.expect(0).stdout, "143\nONE\nTWO\nTHREE\nout\np\n");
}

/// Commas are doubled, and a path need not be UTF-8.
#[test]
fn any_path_can_be_written() {
    let _dog = watchdog();
    let dir = Dir::new();
    for name in [OsString::from("a,b"), OsString::from_vec(b"a\xffb".to_vec())] {
        let typed = OsString::from_vec(name.clone().into_vec().into_iter().fold(
            Vec::new(),
            |mut all, byte| {
                all.extend(if byte == b',' { &b",,"[..] } else { std::slice::from_ref(&byte) });
                all
            },
        ));
        let option = |before: &str, after: &str| {
            let mut text = OsString::from(before);
            text.push(&typed);
            text.push(after);
            text
        };
        fs::create_dir(dir.path("").join(&name)).unwrap();
        fs::write(dir.path("").join(&name).join("file"), "inside").unwrap();
        let mut command = run("plain", ["--dir"]);
        command.arg(option("", "::/d,ro")).args(["--", "read", "/d/file"]);
        let ended = command.current_dir(dir.path("")).end().expect(0);
        assert_eq!(ended.stdout, "inside");
        fs::remove_dir_all(dir.path("").join(&name)).unwrap();

        // A FIFO of that name, in both forms.
        for (flag, text) in [("--fifo", option("in=", ",r")), ("--stdin", option("fifo:", ""))] {
            let mut command = run("@upper", [flag]);
            command.arg(text).current_dir(dir.path(""));
            let reader = command.start();
            let path = dir.path("").join(&name);
            until("the FIFO is there", || path.exists());
            fs::write(&path, "hi\n").unwrap();
            assert_eq!(reader.end().expect(0).stdout, "HI\n", "{flag}");
            assert!(dir.is_empty());
        }
        // A file needs no doubling.
        fs::write(dir.path("").join(&name), "hi\n").unwrap();
        let mut command = run("@upper", ["--stdin"]);
        assert_eq!(command.arg(&name).current_dir(dir.path("")).end().expect(0).stdout, "HI\n");
        fs::remove_file(dir.path("").join(&name)).unwrap();
    }
    let odd = OsString::from_vec(b"a\xffb".to_vec());
    run("plain", ["--", "args"]).arg(&odd).end().expect_line(2, &["a\u{fffd}b", "is not UTF-8"]);
}

/// A time limit holds even before a pipeline is known.
#[test]
fn row_50_reading_a_pipelines_file_is_within_its_time_limit() {
    let _dog = watchdog();
    let dir = Dir::new();
    dir.fifo("f");
    let silent = "pipehost pipe -f f --timeout 200ms";
    prints(&dir, silent).expect_line(124, &["--timeout 200ms"]);
    let begun = "(echo '[[stage]]'; sleep 60) > f & pipehost pipe -f f --timeout 200ms; status=$?; kill $!; exit $status";
    prints(&dir, begun).expect_line(124, &["--timeout 200ms"]);
    let whole = "(echo '[[stage]]'; sleep 0.1; echo 'guest = \"@cat\"') > f & pipehost pipe -f f --timeout 60s < p";
    dir.file("p", "hi");
    assert_eq!(prints(&dir, whole).expect(0).stdout, "hi");
}
