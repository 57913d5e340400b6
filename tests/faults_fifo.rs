//! Faults of FIFOs' paths and of descriptors: rows 20 to 27 of docs/reliability.md.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use support::*;

#[test]
fn row_20_what_stands_at_the_path_and_is_no_fifo_is_left_alone() {
    let _dog = watchdog();
    let dir = Dir::new();
    let file = dir.file("file", "precious");
    let target = dir.fifo("target");
    let (link, dangling) = (dir.path("link"), dir.path("dangling"));
    symlink(&target, &link).unwrap();
    symlink(dir.path("nowhere"), &dangling).unwrap();
    let socket = dir.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let cases: [(&Path, &str); 6] = [
        (&file, "a regular file"),
        (Path::new("/tmp"), "a folder"),
        (&link, "a symbolic link"),
        (&dangling, "a symbolic link"),
        (&socket, "a socket"),
        (Path::new("/dev/null"), "a device"),
    ];
    for (path, found) in cases {
        let identity =
            |path| fs::symlink_metadata(path).map(|it| (it.ino(), it.mode(), it.len())).unwrap();
        let before = identity(path);
        let ended = run("@cat", fifo("x", path, "")).end();
        ended.expect_line(73, &[path.to_str().unwrap(), found]);
        for option in ["--stdin", "--stdout", "--stderr"] {
            let ended = run("@cat", [option, &format!("fifo:{}", path.display())]).end();
            ended.expect_line(73, &[option, path.to_str().unwrap(), found]);
        }
        assert_eq!(identity(path), before);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    assert!(!dir.path("nowhere").exists());
}

#[test]
fn row_21_a_fifo_that_others_own_or_may_write_to_is_refused() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    // In a folder that all may write to.
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o1777)).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&x, fs::Permissions::from_mode(mode)).unwrap();
        let ended = run("@cat", fifo("x", &x, "")).end();
        ended.expect_line(77, &["chmod go-w", "insecure"]);
    }
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    assert_eq!(run("@cat", fifo("x", &x, ",insecure")).end().expect(0).stdout, "hello\n");
    // In a private folder the mode does not matter.
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o700)).unwrap();
    let _writer = sh(&format!("echo hello > {}", x.display())).start();
    assert_eq!(run("@cat", fifo("x", &x, "")).end().expect(0).stdout, "hello\n");
    // Another user's.
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&x, fs::Permissions::from_mode(0o644)).unwrap();
        let script = format!("pipehost run @cat --fifo {}", x.display());
        as_nobody(&dir, &script).expect_line(77, &["another user", "insecure"]);
    }
}

#[test]
fn row_22_our_own_fifo_from_before_is_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let running = run("@cat", fifo("x", &x, "")).start();
    fs::write(&x, "from before").unwrap();
    assert_eq!(running.end().expect(0).stdout, "from before");
    assert!(x.exists(), "what was there stays");
}

/// Hosts run one after the other on one path. Each has a FIFO there that a peer finds.
#[test]
fn row_22_one_run_takes_over_as_another_ends() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    for _ in 0..40 {
        let mut first = run("probe2", fifo("x", &x, "")).args(["--", "list"]).start();
        until("the FIFO is there", || x.exists() || first.is_over());
        // At any moment of the end of the first.
        let second = loop {
            let mut second = run("@cat", fifo("x", &x, ",r")).start();
            until("it has a FIFO, or was refused", || {
                second.is_over() || first.is_over() && second.has_open(&x)
            });
            if !second.is_over() {
                break second;
            }
            second.end().expect_line(73, &["another pipehost"]);
        };
        first.end().expect(0);
        fs::write(&x, "found").unwrap();
        assert_eq!(second.end().expect(0).stdout, "found");
    }
}

#[test]
fn row_36_the_fifo_that_a_killed_run_left_is_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    // On Linux another process removes what it leaves, however it ends.
    let removed: &[&str] = if cfg!(feature = "portable") { &[] } else { &["auto", "off"] };
    for sandbox in removed {
        let args = [&fifo("x", &x, "")[..], &["--sandbox".into(), (*sandbox).into()]].concat();
        let killed = run("@cat", args).start();
        until("the FIFO is there", || x.exists());
        killed.signal("KILL");
        assert_eq!(killed.end().signal, Some(9));
        until("the FIFO is removed", || !x.exists());
    }

    let killed = run("@cat", [&fifo("x", &x, "")[..], &["--sandbox=off".into()]].concat()).start();
    until("the FIFO is there", || killed.has_open(&x));
    if cfg!(not(feature = "portable")) {
        killed.kill_helper();
    }
    killed.signal("KILL");
    assert_eq!(killed.end().signal, Some(9));
    assert!(fs::metadata(&x).unwrap().file_type().is_fifo(), "nobody could remove it");
    let next = run("@cat", fifo("x", &x, "")).start();
    fs::write(&x, "taken over").unwrap();
    assert_eq!(next.end().expect(0).stdout, "taken over");
}

#[test]
fn row_23_a_fifo_that_cannot_be_made() {
    let _dog = watchdog();
    let dir = Dir::new();
    let ended = run("@cat", fifo("x", &dir.path("no/such/x"), "")).end();
    ended.expect_line(73, &["no/such/x", "folder does not exist"]);
    let ended = run("@cat", fifo("x", &dir.file("file", "").join("x"), "")).end();
    ended.expect_line(73, &["folder does not exist"]);
    let ended = run("@cat", fifo("x", &dir.path("x"), ",existing")).end();
    ended.expect_line(73, &["no such FIFO"]);
    let ended = run("@cat", fifo("x", &dir.path(&"x".repeat(300)), "")).end();
    ended.expect_line(73, &["File name too long"]);

    fs::create_dir(dir.path("locked")).unwrap();
    fs::set_permissions(dir.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let script = format!("pipehost run @cat --fifo {}", dir.path("locked/x").display());
    as_nobody(&dir, &script).expect_line(77, &["locked/x", "not permitted"]);

    // A read-only and a full file system, seen by this process alone.
    let unshare = match rustix::process::geteuid().is_root() {
        true => "unshare --mount",
        false => "unshare --map-root-user --mount",
    };
    fs::create_dir(dir.path("mount")).unwrap();
    let mount = dir.path("mount");
    for (options, says) in [("ro", "Read-only file system"), ("nr_inodes=1", "No space left")] {
        let script = format!(
            "{unshare} sh -c 'mount -t tmpfs -o {options} none {mount} && \
             exec pipehost run @cat --fifo {mount}/x'",
            mount = mount.display()
        );
        sh(&script).end().expect_line(73, &[says]);
    }
}

#[test]
fn row_27_a_name_is_granted_once() {
    let _dog = watchdog();
    let dir = Dir::new();
    let twice = [fifo("x", &dir.path("a"), ""), fifo("x", &dir.path("b"), "")].concat();
    run("@cat", twice).end().expect_line(2, &["`x` is granted twice"]);
    // By default names, and across kinds of grants.
    let (a, b) = (dir.path("a/x"), dir.path("b/x"));
    let ended = run("@cat", ["--fifo".as_ref(), a.as_os_str(), "--fifo".as_ref(), b.as_os_str()]);
    { ended }.end().expect_line(2, &["`x` is granted twice"]);
    let ended = run("@cat", fifo("x", &dir.path("a"), "")).args(["--fd", "x=5"]).end();
    ended.expect_line(2, &["`x` is granted twice"]);
    assert!(dir.is_empty(), "nothing was made");
}

#[test]
fn a_fifo_given_as_a_file_keeps_its_bytes() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let mut writer = sh(&format!("echo precious > {}", x.display())).start();
    until("it waits in open(2)", || writer.sleeps());
    run("@cat", ["--stdin".as_ref(), x.as_os_str()]).end().expect_line(74, &["fifo:"]);
    assert!(!writer.is_over());
    assert_eq!(fs::read_to_string(&x).unwrap(), "precious\n");
}

#[test]
fn descriptors_open_for_both_ways_and_granted_twice() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let probe = guest("probe2");
    // Open for both, it is its own writer: no end of file, as for a native program.
    let script = format!(
        "exec 5<>{x}; echo hello >&5; pipehost run {probe} --fd in=5 -- wait-one in;          pipehost run {probe} --fd in=5 -- open r in w in r in",
        x = x.display(),
        probe = probe.display()
    );
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "in hello\n\nok\nok\nResourceBusy\n");
    let ended = sh("pipehost run @cat --fd a=5 --fd b=5 5< <(:)").end();
    ended.expect_line(2, &["descriptor 5 is granted twice"]);
    sh("pipehost run @cat --fd 5,r,w 5< <(:)").end().expect_line(73, &["not open for writing"]);
    // The order in which the operator named them.
    let x = x.display();
    let probe = probe.display();
    let script =
        format!("pipehost run {probe} --fifo a={x} --fd b=5 --fifo c={x}2 -- list 5< <(:)");
    let ended = sh(&script).end().expect(0);
    assert_eq!(ended.stdout, "a true true\nb true false\nc true true\n");
}

#[test]
fn row_25_a_fifo_that_is_removed_or_replaced_while_open() {
    let _dog = watchdog();
    for replaced in [false, true] {
        let dir = Dir::new();
        let x = dir.path("x");
        let running = run("@cat", fifo("x", &x, "")).start();
        until("it is open", || running.has_open(&x));
        let mut writer = fs::OpenOptions::new().write(true).open(&x).unwrap();
        writer.write_all(b"before, ").unwrap();
        match replaced {
            false => fs::remove_file(&x).unwrap(),
            true => fs::rename(dir.file("file", "precious"), &x).unwrap(),
        }
        writer.write_all(b"after").unwrap();
        drop(writer);
        let ended = running.end().expect_line(0, &["warning", "removed or replaced"]);
        assert_eq!(ended.stdout, "before, after");
        // What others have put there is theirs.
        assert_eq!(x.exists(), replaced);
        assert!(!replaced || fs::read_to_string(&x).unwrap() == "precious");
    }
}

/// The host reports it when it happens, and not only at the end: right after its start, when it does not
/// watch yet, and later. A FIFO beside it that cannot be watched, as it cannot be read, changes nothing.
#[test]
#[cfg(not(feature = "portable"))] // Nothing watches in this build.
fn row_25_is_told_while_it_runs() {
    let _dog = watchdog();
    for (sandbox, later) in [("auto", false), ("auto", true), ("off", false), ("off", true)] {
        let dir = Dir::new();
        let (x, beside, told) = (dir.path("x"), dir.fifo("beside"), dir.path("told"));
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o200)).unwrap();
        let granted = [fifo("beside", &beside, ",w"), fifo("x", &x, ",r")].concat();
        let mut command = run("@cat", granted);
        command.args(["--sandbox", sandbox]);
        let running = Running::new(command.stderr(fs::File::create(&told).unwrap()));
        until("it is open", || running.has_open(&x));
        if later {
            // Any time after the first 100 ms is long enough.
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        fs::remove_file(&x).unwrap();
        until("it is told", || fs::read_to_string(&told).unwrap().contains("removed or replaced"));
        running.signal("TERM");
        assert_eq!(running.end().code, Some(143));
        let told = fs::read_to_string(&told).unwrap();
        assert_eq!(told.matches("removed or replaced").count(), 1, "{sandbox} {later}: {told}");
    }
}

/// The host that has made a FIFO may remove it. The host at its other side does not complain.
#[test]
fn row_25_the_maker_may_remove_it() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let mut writer = run("@cat", ["--stdout", &format!("fifo:{}", x.display())]);
    let mut writer = Running::new(writer.stdin(std::process::Stdio::piped()));
    until("the FIFO is there", || x.exists());
    let mut reader = run("@cat", ["--stdin", &format!("fifo:{}", x.display())]).start();
    writer.stdin().write_all(b"hello").unwrap();
    writer.end().expect(0);
    until("the reader ends", || reader.is_over());
    let ended = reader.end().expect(0);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("hello", ""));
}

#[test]
fn row_26_a_second_host_in_the_same_direction() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    for (first, second, says) in [
        ("", "", Some("reading")),
        (",r", ",r", Some("reading")),
        (",w", ",w", Some("writing")),
        ("", ",w", Some("writing")),
        (",r", ",w", None),
        (",w", ",r", None),
    ] {
        let holder = run("probe2", fifo("x", &x, first)).args(["--", "spin"]).start();
        until("the FIFO is there", || x.exists());
        let also = dir.path("also");
        let mut other = run("probe2", fifo("x", &x, second));
        other.args(fifo("also", &also, "")).args(["--", "list"]);
        let ended = other.end();
        match says {
            Some(says) => {
                let ended = ended.expect_line(73, &[x.to_str().unwrap(), "another pipehost", says]);
                assert_eq!(ended.stdout, "", "it does not run");
            }
            None => drop(ended.expect(0)),
        }
        assert!(x.exists() && !also.exists(), "nothing is made, and the first one's stays");
        // Whatever ends it, the lock ends with it.
        holder.signal("KILL");
        holder.end();
        match cfg!(feature = "portable") {
            true => fs::remove_file(&x).unwrap(),
            false => until("its FIFO is removed", || !x.exists()),
        }
        run("probe2", fifo("x", &x, second)).args(["--", "list"]).end().expect(0);
    }
}

/// One host may use one FIFO under two names, or as a standard stream: it is not another host.
#[test]
fn row_26_one_host_may_have_it_twice() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.fifo("x");
    let mut both = run("probe2", [fifo("a", &x, ",r"), fifo("b", &x, ",w")].concat());
    both.args(["--", "list"]).end().expect(0);
}

/// Sets a private runtime folder for `command`.
fn with_runtime(dir: &Dir, mut command: std::process::Command) -> std::process::Command {
    command.env("XDG_RUNTIME_DIR", dir.path("runtime"));
    command
}

#[test]
fn a_fifo_without_a_path_is_in_a_private_folder() {
    let _dog = watchdog();
    let dir = Dir::new();
    fs::create_dir(dir.path("runtime")).unwrap();
    fs::set_permissions(dir.path("runtime"), fs::Permissions::from_mode(0o700)).unwrap();
    let base = dir.path("runtime/pipehost");
    let places = || fs::read_dir(&base).map(|it| it.count()).unwrap_or(0);
    let toml = dir.file("pipe.toml", "[[stage]]\nguest = \"@cat\"\nfifo = [\"in=,r\"]\n");
    let toml = toml.to_str().unwrap().to_owned();
    for (args, end) in [
        (vec!["run", "@cat", "--fifo", "in="], None),
        (vec!["run", "@cat", "--fifo", "in=,r"], Some("TERM")),
        (vec!["run", "@cat", "--fifo", "in=", "--timeout", "3s"], Some("")),
        (vec!["pipe", "--fifo", "in=,r", "@cat"], None),
        (vec!["pipe", "-f", &toml], None),
    ] {
        let told = dir.path("told");
        let mut command = with_runtime(&dir, pipehost(&args[..1]));
        command.arg("--stats=json").args(&args[1..]);
        let running = Running::new(
            command.stdout(std::process::Stdio::piped()).stderr(fs::File::create(&told).unwrap()),
        );
        let line = || {
            let told = fs::read_to_string(&told).unwrap();
            let line = told.lines().find_map(|line| line.strip_prefix("pipehost: in is at "));
            told.contains('\n').then(|| line.map(str::to_owned)).flatten()
        };
        until("its path is told", || line().is_some());
        let path = line().unwrap();
        assert!(Path::new(&path).starts_with(&base), "{path}");
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(Path::new(&path)), 0o600);
        assert_eq!((mode(Path::new(&path).parent().unwrap()), mode(&base)), (0o700, 0o700));
        match end {
            None => fs::write(&path, "hello").unwrap(),
            Some("") => {}
            Some(signal) => running.signal(signal),
        }
        let ended = running.end();
        match end {
            None => assert_eq!((ended.code, &*ended.stdout), (Some(0), "hello")),
            Some("") => assert_eq!(ended.code, Some(124)),
            Some(_) => assert_eq!(ended.code, Some(143)),
        }
        let told = fs::read_to_string(&told).unwrap();
        let json = told.lines().find(|line| line.starts_with('{'));
        // An end that takes too long is cut short, and says less.
        let path = format!("\"path\":\"{path}\"");
        let is_told = json.map_or(end.is_some(), |it| end == Some("TERM") || it.contains(&path));
        assert!(is_told, "{told}");
        until("nothing is left", || places() == 0);
    }
}

#[test]
#[cfg(not(feature = "portable"))] // The monitor is for Linux.
fn what_a_killed_run_left_in_the_private_folder_is_removed() {
    let _dog = watchdog();
    let dir = Dir::new();
    fs::create_dir(dir.path("runtime")).unwrap();
    fs::set_permissions(dir.path("runtime"), fs::Permissions::from_mode(0o700)).unwrap();
    let base = dir.path("runtime/pipehost");
    let places = || {
        let folder = fs::read_dir(&base).into_iter().flatten().flatten();
        folder.filter(|it| it.file_name().to_string_lossy().starts_with("pipe-")).count()
    };
    let start = |sandbox: &str| {
        let args = ["--fifo", "a=", "--fifo", "b=", "--sandbox", sandbox];
        with_runtime(&dir, run("probe2", args)).args(["--", "drain", "a"]).start()
    };
    // Its helper removes them.
    for sandbox in ["auto", "off"] {
        let killed = start(sandbox);
        until("it has its pipes", || places() == 2);
        killed.signal("KILL");
        killed.end();
        until("they are removed", || places() == 0);
    }
    // Unless that is killed, too.
    let killed = start("off");
    until("it has its pipes", || places() == 2);
    killed.kill_helper();
    let alive = start("auto");
    until("both have their pipes", || places() == 4);
    killed.signal("KILL");
    killed.end();
    assert_eq!(places(), 4);
    let next = with_runtime(&dir, run("probe2", ["--fifo", "c=", "--", "list"]));
    { next }.end().expect(0);
    assert_eq!(places(), 2, "those of the one that runs stay");
    alive.signal("TERM");
    alive.end();
    until("nothing is left", || fs::read_dir(&base).unwrap().count() == 0);
}

/// A guest goes on without its host's monitor. What the monitor would have removed stays, and the
/// host says so.
#[test]
#[cfg(not(feature = "portable"))] // The monitor is for Linux.
fn row_36_a_monitor_that_is_killed() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let stdin = format!("fifo:{}", x.display());
    let running = run("plain", ["--stdin", &stdin, "--", "copy"]).start();
    until("it is there", || x.exists());
    let mut writer = fs::OpenOptions::new().write(true).open(&x).unwrap();
    until("it reads", || running.has_open(&x) && running.sleeps());
    running.kill_helper();
    writer.write_all(b"text").unwrap();
    drop(writer);
    let ended = running.end().expect(0);
    assert_eq!(ended.stdout, "text");
    assert!(ended.stderr.contains("type: rm "), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(x.exists());
}

#[test]
fn a_private_folder_that_is_not_private_is_not_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    // Others may write to what should be the runtime folder, so that another is used.
    fs::create_dir(dir.path("runtime")).unwrap();
    fs::set_permissions(dir.path("runtime"), fs::Permissions::from_mode(0o777)).unwrap();
    let command = with_runtime(&dir, run("probe2", ["--fifo", "a=", "--", "list"]));
    let ended = { command }.end().expect(0);
    assert!(ended.stderr.contains("a is at /tmp/pipehost-"), "{ended:?}");
    run("@cat", ["--fifo", "="]).end().expect_line(2, &["name before `="]);
    run("@cat", ["--fifo", "a=,keep"]).end().expect_line(2, &["need a path"]);
}
