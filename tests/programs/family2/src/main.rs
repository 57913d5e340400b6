//! Starts children of WASI 0.2 as its arguments say, some of which an attacker would choose.

use std::io::{self, Read, Write};

use pipehost_guest::process::{Command, Stdio, granted};
use pipehost_guest::{open_reader, open_writer, pipe};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => println!("{}", granted().join(" ")),
        ["run", name, ref args @ ..] => {
            println!("{}", Command::new(name).args(args.iter().copied()).status()?);
        }
        ["try", name] => report(Command::new(name).spawn().map(drop)),
        ["output", name, ref args @ ..] => {
            let output = Command::new(name).args(args.iter().copied()).output()?;
            println!("{}", output.status);
            println!("stdout {}", String::from_utf8_lossy(&output.stdout));
            println!("stderr {}", String::from_utf8_lossy(&output.stderr));
        }
        // The classic: a pipe, and two children on its ends.
        ["pipe", first, second] => {
            let both = pipe()?;
            let mut first = Command::new(first).stdout(both.writer).spawn()?;
            let mut second = Command::new(second).stdin(both.reader).spawn()?;
            eprintln!("{} {}", first.wait()?, second.wait()?);
        }
        ["feed", name, text] => {
            let child = Command::new(name).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = child.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(text.as_bytes())?;
            }
            let output = child.wait_with_output()?;
            println!("{} {}", output.status, String::from_utf8_lossy(&output.stdout));
        }
        // Two ends under names, and the rest of what the child gets is nothing.
        ["give", name, from, to, ref args @ ..] => {
            let child = Command::new(name).args(args.iter().copied()).stdin(Stdio::null());
            let child = child.reader("in", open_reader(from)?).writer("out", open_writer(to)?);
            println!("{}", child.status()?);
            // They are the child's for good.
            report(open_reader(from).map(drop));
        }
        // A pipe under a name of its own choice, whose reader has left.
        ["deaf", name, pipe_name, ref args @ ..] => {
            let writer = pipe()?.writer;
            let child = Command::new(name).args(args.iter().copied());
            println!("{}", child.writer(pipe_name, writer).status()?);
        }
        // A native command with a descriptor of its own choice.
        ["number", name, number] => {
            let mut both = pipe()?;
            let child = Command::new(name).stdin(Stdio::null()).writer(number, both.writer);
            report(child.spawn().map(drop));
            let mut text = String::new();
            both.reader.read_to_string(&mut text)?;
            println!("{text}");
        }
        ["kill", name, ref args @ ..] => {
            let mut child = Command::new(name).args(args.iter().copied()).spawn()?;
            println!("{:?}", child.try_wait());
            child.kill();
            println!("{}", child.wait()?);
            child.kill();
            println!("{}", child.wait()?);
        }
        // Gives the pipes `r:NAME` and `w:NAME` to a child, and kills it when told to on stdin.
        ["kill-when-told", name, pipes, ref args @ ..] => {
            let mut child = Command::new(name).args(args.iter().copied()).stdin(Stdio::null());
            for pipe in pipes.split(',') {
                child = match pipe.split_once(':') {
                    Some(("r", name)) => child.reader(name, open_reader(name)?),
                    Some((_, name)) => child.writer(name, open_writer(name)?),
                    None => child,
                };
            }
            let mut child = child.spawn()?;
            io::stdin().read_exact(&mut [0])?;
            child.kill();
            eprintln!("{}", child.wait()?);
        }
        // Leaves a child behind that would go on for ever.
        ["orphan", name, ref args @ ..] => {
            drop(Command::new(name).args(args.iter().copied()).stdin(Stdio::null()).spawn()?);
        }
        // Gives a pipe to a child once there is something in it.
        ["wait-and-give", from, name] => {
            let reader = open_reader(from)?;
            while reader.available()? == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            println!("{}", Command::new(name).stdin(reader).status()?);
        }
        // The same, once that one has said something.
        ["orphan-told", name] => {
            let child = Command::new(name).stdin(Stdio::null()).stdout(Stdio::piped());
            if let Some(mut stdout) = child.spawn()?.stdout {
                stdout.read_exact(&mut [0])?;
            }
        }
        // Starts what it can, for ever, and cares for none.
        ["storm", name] => loop {
            drop(Command::new(name).stdin(Stdio::null()).spawn());
        },
        // As many children as it can get, each of which does the same.
        ["bomb", name, ref hold @ ..] => {
            let mut children = Vec::new();
            let error = loop {
                let child = Command::new(name).args(args.iter().cloned()).stdin(Stdio::null());
                match child.spawn() {
                    Ok(child) => children.push(child),
                    Err(error) => break error,
                }
            };
            let line = format!("{} then {:?}\n", children.len(), error.kind());
            io::stderr().write_all(line.as_bytes())?;
            while !hold.is_empty() {
                std::hint::black_box(());
            }
            for child in &mut children {
                child.wait()?;
            }
        }
        // A chain of children of children.
        ["deep", name, depth] => {
            let depth: u32 = depth.parse().expect("a number");
            let next = (depth + 1).to_string();
            match Command::new(name).args(["deep", name, &next]).spawn() {
                Ok(mut child) => {
                    child.wait()?;
                }
                Err(error) => println!("{depth} then {:?}", error.kind()),
            }
        }
        ["used", name] => {
            let both = pipe()?;
            let (mut reader, mut writer) = (both.reader, both.writer);
            writer.write_all(b"x")?;
            reader.read_exact(&mut [0])?;
            report(Command::new(name).stdin(reader).spawn().map(drop));
            report(Command::new(name).stdout(writer).spawn().map(drop));
        }
        ["same-name", name] => {
            let (one, two) = (pipe()?, pipe()?);
            let child = Command::new(name).reader("x", one.reader).reader("x", two.reader);
            report(child.spawn().map(drop));
        }
        ["raw", what, name] => raw::attack(what, name),
        // How much it can have while its child has so much.
        ["memory", name, theirs, ours] => {
            let child = Command::new(name).args(["hoard", theirs]).stdout(Stdio::piped());
            let mut child = child.stdin(Stdio::piped()).spawn()?;
            let mut word = [0; 5];
            if let Some(stdout) = &mut child.stdout {
                stdout.read_exact(&mut word)?;
            }
            let hoarded = hoard(ours.parse().expect("a number"));
            println!("{} then {}", String::from_utf8_lossy(&word), hoarded.is_some());
            drop(hoarded);
            println!("{}", child.wait()?);
            // What the child had is there again.
            println!("{}", hoard(ours.parse().expect("a number")).is_some());
        }
        ["hoard", mib] => {
            let hoarded = hoard(mib.parse().expect("a number"));
            print!("{}", if hoarded.is_some() { "yes: " } else { "no:  " });
            io::stdout().flush()?;
            io::stdin().read_to_end(&mut Vec::new())?;
        }
        ["pipes", name] => {
            let held: Vec<_> = (0..3).map(|_| pipe()).collect::<io::Result<_>>()?;
            println!("{}", Command::new(name).args(["many", "100"]).status()?);
            drop(held);
        }
        _ => panic!("unknown arguments {args:?}"),
    }
    Ok(())
}

fn hoard(mib: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(mib << 20).ok()?;
    bytes.resize(mib << 20, 1);
    Some(bytes)
}

fn report(result: io::Result<()>) {
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("{:?}", error.kind()),
    }
}

/// What the SDK does not let a guest do.
mod raw {
    #![allow(unsafe_code, reason = "an attacker would not mind")]

    mod bindings {
        wit_bindgen::generate!({
            inline: "
                package family:two;

                world imports {
                    include pipehost:pipes/imports@0.2.0;
                }
            ",
            path: "../../../wit/p2",
            world: "family:two/imports",
            generate_all,
        });
    }
    use bindings::pipehost::pipes::spawn::{ChildInput, ChildOutput, PassedEnd, PassedPipe, spawn};
    use bindings::pipehost::pipes::{anonymous, types};

    pub(crate) fn attack(what: &str, name: &str) {
        let (reader, _writer) = anonymous::create().expect("a pipe");
        // SAFETY: there is none; the host has to cope.
        let again = || unsafe { types::PipeReader::from_handle(reader.handle()) };
        let named = |end| PassedPipe { name: "x".into(), end: PassedEnd::Reader(end) };
        match what {
            "twice" => {
                let pipes = [named(again())].into();
                let stdin = ChildInput::Pipe(again());
                let _ = spawn(name, &[], stdin, ChildOutput::Null, ChildOutput::Null, pipes);
            }
            "streamed" => {
                let _stream = types::PipeReader::read_via_stream(again());
                let stdin = ChildInput::Pipe(again());
                let _ = spawn(name, &[], stdin, ChildOutput::Null, ChildOutput::Null, vec![]);
            }
            _ => panic!("unknown attack {what}"),
        }
        println!("survived");
        std::mem::forget(reader);
    }
}
