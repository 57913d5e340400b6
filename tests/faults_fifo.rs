//! Faults of FIFOs' paths and of descriptors: rows 20 to 27 of docs/reliability.md.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs::{self};
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
fn row_22_and_36_the_fifo_that_a_killed_run_left_is_used() {
    let _dog = watchdog();
    let dir = Dir::new();
    let x = dir.path("x");
    let killed = run("@cat", fifo("x", &x, "")).start();
    until("the FIFO is there", || killed.has_open(&x));
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
