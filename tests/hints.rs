//! Follows the advice that messages give, and checks that it works.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::*;

/// Types each wrong command line and checks its message; then types the mended one and checks its
/// output. Standard input is `hi`; `x` is a FIFO whose writer writes the same.
fn mended(cases: &[(&str, &str, &str, &str)]) {
    for (typed, hint, then, prints) in cases {
        let dir = Dir::new();
        dir.fifo("x");
        let at = |name: &str| dir.path(name);
        for folder in ["folder", "open"] {
            fs::create_dir(at(folder)).unwrap();
        }
        dir.fifo("open/x");
        for (path, mode) in [("open", 0o1777), ("open/x", 0o622)] {
            fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::copy(guest("upper"), at("up.wasm")).unwrap();
        let here = |script: &str| {
            sh(&format!("cd {}; {{ {script}; }} < <(echo hi)", dir.path("").display())).end()
        };
        let ended = here(typed);
        assert_ne!(ended.code, Some(0), "{typed} {ended:?}");
        assert!(ended.stderr.contains(hint), "{typed} {ended:?}");
        let ended = here(then);
        assert_eq!((ended.code, &*ended.stdout), (Some(0), *prints), "{then} {ended:?}");
    }
}

#[test]
fn grants() {
    let _dog = watchdog();
    let from_x = "echo hi > x & pipehost run @upper";
    mended(&[
        (
            "pipehost run @upper --fifo =x",
            "write NAME=PATH",
            &format!("{from_x} --fifo in=x,r; wait"),
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo in=,keep",
            "write NAME=PATH",
            &format!("{from_x} --fifo in=x,r,keep; wait; test -p x"),
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo ''",
            "NAME= for a private one",
            "pipehost run @upper --fifo in=,r 2> said & until grep -q 'is at' said; do :; done; \
             echo hi > $(sed 's/.* is at //' said); wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo 'a b'",
            "give it one: NAME=PATH",
            "mkfifo 'a b'; echo hi > 'a b' & pipehost run @upper --fifo 'in=a b,r'; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo in:x",
            "write in=x",
            &format!("{from_x} --fifo in=x,r; wait"),
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo in=nope,r,existing",
            "make it with mkfifo",
            "mkfifo nope; echo hi > nope & pipehost run @upper --fifo in=nope,r,existing; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo in=open/x,r",
            "type `chmod go-w open/x`",
            "chmod go-w open/x; echo hi > open/x & pipehost run @upper --fifo in=open/x,r; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --fifo in=open/x,r",
            "add the key `insecure`",
            "echo hi > open/x & pipehost run @upper --fifo in=open/x,r,insecure; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --fd in=x",
            "write NAME=3",
            "pipehost run @upper --fd in=3 3< <(echo hi)",
            "HI\n",
        ),
        (
            "pipehost run @upper --fd a=7 --fd in=7 7<>x",
            "grant it once, for both ways",
            "echo hi | pipehost run @upper --fd in=7 7<&0",
            "HI\n",
        ),
        (
            "pipehost run @upper --fd in=7",
            "open it in the shell, as in `7< FIFO`",
            "echo hi > x & pipehost run @upper --fd in=7 7< x; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --child c=",
            "write NAME=GUEST",
            "pipehost run @upper --child c=@cat",
            "HI\n",
        ),
        (
            "pipehost run @upper --exec c=",
            "write NAME=COMMAND",
            "pipehost run @upper --exec c=cat",
            "HI\n",
        ),
        (
            "pipehost run @upper --dir folder::",
            "write HOST or HOST::GUEST",
            "pipehost run @upper --dir folder --dir folder::/f",
            "HI\n",
        ),
        (
            "pipehost run @upper --dir folder:/f",
            "write folder::/f",
            "pipehost run @upper --dir folder::/f",
            "HI\n",
        ),
        (
            "mkdir $'\\xff'; pipehost run @upper --dir $'\\xff'",
            "give it another: HOST::GUEST",
            "pipehost run @upper --dir $'\\xff'::/f",
            "HI\n",
        ),
    ]);
}

#[test]
fn standard_streams() {
    let _dog = watchdog();
    mended(&[
        (
            "pipehost run @upper --stdin fifo:",
            "write fifo:PATH",
            "echo hi > x & pipehost run @upper --stdin fifo:x; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --stdin fifo:x,w",
            "drop the key w",
            "echo hi > x & pipehost run @upper --stdin fifo:x; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --stdout fifo:x,eof=reopen",
            "drop the key eof",
            "cat x & pipehost run @upper --stdout fifo:x; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper >&-",
            "redirect it in the shell, or write --stdout null",
            "echo | pipehost run @upper --stdout null >&-; pipehost run @upper > out; cat out",
            "HI\n",
        ),
        (
            "pipehost run @upper <&-",
            "redirect it in the shell, or write --stdin null",
            "pipehost run @upper --stdin null <&-; pipehost run @upper < <(echo hi)",
            "HI\n",
        ),
    ]);
}

#[test]
fn limits() {
    let _dog = watchdog();
    mended(&[
        (
            "pipehost run @upper --max-bytes 5x",
            "write bytes, or 64K, 1M, 2G",
            "pipehost run @cat --max-bytes 9; for it in 64K 1M 2G; do echo | pipehost run @cat --max-bytes $it; done",
            "hi\n\n\n\n",
        ),
        (
            "pipehost run @upper --timeout x",
            "write 5s, 250ms or 1m30s",
            "pipehost run @cat --timeout 5s; echo | pipehost run @cat --timeout 1m30s; \
             pipehost run @cat --stdin null --open-timeout 250ms",
            "hi\n\n",
        ),
        (
            "pipehost run @upper --rate 0",
            "write 64K, 1M, 2G",
            "pipehost run @upper --rate 64K",
            "HI\n",
        ),
        (
            "pipehost run @upper --fuel x",
            "write 1000000000",
            "pipehost run @upper --fuel 1000000000",
            "HI\n",
        ),
        (
            "pipehost run @upper --fuel 10",
            "give it more",
            "pipehost run @upper --fuel 1000000000",
            "HI\n",
        ),
        (
            "pipehost run @upper --max-pipes x",
            "write 64",
            "pipehost run @upper --max-pipes 64",
            "HI\n",
        ),
        (
            "pipehost run @upper --stdin fifo:x --timeout 10ms",
            "--timeout 10ms; give it more, or none",
            "echo hi > x & pipehost run @upper --stdin fifo:x; wait",
            "HI\n",
        ),
        (
            "pipehost run @upper --stdin fifo:x --idle-timeout 10ms",
            "--idle-timeout 10ms; give it more, or none",
            "echo hi > x & pipehost run @upper --stdin fifo:x; wait",
            "HI\n",
        ),
        (
            "pipehost run @cat --max-bytes 2",
            "--max-bytes 2 of `stdin` (reading)",
            "pipehost run @cat --max-bytes 3",
            "hi\n",
        ),
    ]);
}

#[test]
fn pipelines() {
    let _dog = watchdog();
    mended(&[
        (
            "touch p; pipehost pipe -f p",
            "write [[stage]] and below it guest = \"FILE\"",
            "printf '[[stage]]\\nguest = \"up.wasm\"\\n' > p; pipehost pipe -f p",
            "HI\n",
        ),
        (
            "echo '[[stage]]' > p; pipehost pipe -f p",
            "write guest = \"FILE\" or exec = [\"COMMAND\"]",
            "printf '[[stage]]\\nguest = \"up.wasm\"\\n[[stage]]\\nexec = [\"cat\"]\\n' > p; pipehost pipe -f p",
            "HI\n",
        ),
        (
            "printf '[[stage]]\\nguest = \"@cat\"\\nexec = [\"cat\"]\\n' > p; pipehost pipe -f p",
            "write one of the two",
            "sed -i /exec/d p; pipehost pipe -f p",
            "hi\n",
        ),
        (
            "pipehost pipe @upper ! ! @cat",
            "write a guest, or exec COMMAND, between two `!`",
            "pipehost pipe @upper ! exec cat ! @cat ! @cat",
            "HI\n",
        ),
        (
            "pipehost pipe @upper ! exec",
            "write exec COMMAND",
            "pipehost pipe @upper ! exec cat",
            "HI\n",
        ),
        (
            "pipehost pipe @upper ! grep HI",
            "exec grep",
            "pipehost pipe @upper ! exec grep HI",
            "HI\n",
        ),
        (
            "printf '#!/bin/sh\\ncat\\n' > own; chmod +x own; pipehost pipe @upper ! exec own",
            "look at PATH, or give its path",
            "pipehost pipe @upper ! exec ./own; echo hi | PATH=.:$PATH pipehost pipe @upper ! exec own",
            "HI\nHI\n",
        ),
        (
            "pipehost pipe --fd in=7 @cat ! @cat 7< <(echo hi) < /dev/null",
            "--fd",
            "pipehost pipe -- --fd in=7 @upper ! @cat 7< <(echo hi)",
            "HI\n",
        ),
        (
            "pipehost pipe up.wasm ! @cat --dri x",
            "--dri",
            "pipehost pipe up.wasm ! --dir folder @cat",
            "HI\n",
        ),
    ]);
}
