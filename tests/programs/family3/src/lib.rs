//! Starts children of WASI 0.3 as its arguments say.

use std::io;

use pipehost_guest::stream::future::{Either, join, select};
use pipehost_guest::stream::process::{Command, Stdio, granted};
use pipehost_guest::stream::{open_reader, open_writer, pipe};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => println!("{}", granted().join(" ")),
        ["run", name, ref args @ ..] => {
            println!("{}", Command::new(name).args(args.iter().copied()).status().await?);
        }
        ["try", name] => report(Command::new(name).spawn().map(drop)),
        ["output", name, ref args @ ..] => {
            let output = Command::new(name).args(args.iter().copied()).output().await?;
            println!("{}", output.status);
            println!("stdout {}", String::from_utf8_lossy(&output.stdout));
            println!("stderr {}", String::from_utf8_lossy(&output.stderr));
        }
        ["pipe", first, second] => {
            let both = pipe()?;
            let mut first = Command::new(first).stdout(both.writer).spawn()?;
            let mut second = Command::new(second).stdin(both.reader).spawn()?;
            let (first, second) = join(first.wait(), second.wait()).await;
            eprintln!("{first} {second}");
        }
        ["feed", name, text] => {
            let child = Command::new(name).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = child.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(text.as_bytes().to_vec()).await?;
                stdin.close().await?;
            }
            let output = child.wait_with_output().await?;
            println!("{} {}", output.status, String::from_utf8_lossy(&output.stdout));
        }
        ["give", name, from, to, ref args @ ..] => {
            let child = Command::new(name).args(args.iter().copied()).stdin(Stdio::null());
            let child = child.reader("in", open_reader(from)?).writer("out", open_writer(to)?);
            println!("{}", child.status().await?);
            report(open_reader(from).map(drop));
        }
        ["deaf", name, pipe_name, ref args @ ..] => {
            let writer = pipe()?.writer;
            let child = Command::new(name).args(args.iter().copied());
            println!("{}", child.writer(pipe_name, writer).status().await?);
        }
        ["kill", name, ref args @ ..] => {
            let mut child = Command::new(name).args(args.iter().copied()).spawn()?;
            println!("{:?}", child.try_wait());
            // A wait that is called off leaves the child as it is.
            match select(Box::pin(child.wait()), Box::pin(async {})).await {
                Either::Left(_) => println!("ended too early"),
                Either::Right(_) => {}
            }
            child.kill();
            println!("{}", child.wait().await);
            child.kill();
            println!("{}", child.wait().await);
        }
        ["orphan", name, ref args @ ..] => {
            drop(Command::new(name).args(args.iter().copied()).stdin(Stdio::null()).spawn()?);
        }
        ["orphan-told", name] => {
            let child = Command::new(name).stdin(Stdio::null()).stdout(Stdio::piped());
            if let Some(mut stdout) = child.spawn()?.stdout {
                stdout.read(&mut Vec::with_capacity(1)).await?;
            }
        }
        ["used", name] => {
            let both = pipe()?;
            let (mut reader, mut writer) = (both.reader, both.writer);
            writer.write_all(b"x".to_vec()).await?;
            reader.read(&mut Vec::with_capacity(1)).await?;
            report(Command::new(name).stdin(reader).spawn().map(drop));
            report(Command::new(name).stdout(writer).spawn().map(drop));
        }
        ["same-name", name] => {
            let (one, two) = (pipe()?, pipe()?);
            let child = Command::new(name).reader("x", one.reader).reader("x", two.reader);
            report(child.spawn().map(drop));
        }
        _ => panic!("unknown arguments {args:?}"),
    }
    Ok(())
}

fn report(result: io::Result<()>) {
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("{:?}", error.kind()),
    }
}
