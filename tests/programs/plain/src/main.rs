//! A program that knows nothing of pipehost: what any Rust program does when built for WASI.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Does what the arguments say. The benchmark calls this natively, to compare a guest with it.
pub(crate) fn run(args: &[&str]) -> io::Result<()> {
    match *args {
        ["copy"] => io::copy(&mut io::stdin().lock(), &mut io::stdout().lock()).map(|_| ()),
        ["copy-64k"] => {
            let mut buf = vec![0; 65536];
            loop {
                match io::stdin().read(&mut buf)? {
                    0 => return io::stdout().flush(),
                    n => io::stdout().write_all(&buf[..n])?,
                }
            }
        }
        // Without a buffer of the library's in between: one call reads, and one or more write.
        ["copy-by", size] => {
            let mut buf = vec![0; size.parse().expect("a number")];
            loop {
                let n = rustix::io::read(rustix::stdio::stdin(), &mut buf)?;
                if n == 0 {
                    return Ok(());
                }
                let mut rest = &buf[..n];
                while !rest.is_empty() {
                    rest = &rest[rustix::io::write(rustix::stdio::stdout(), rest)?..];
                }
            }
        }
        // As line-by-line filters do it: a write, and a flush, for each line.
        ["echo-lines"] => {
            for line in io::stdin().lines() {
                println!("{}", line?);
            }
            Ok(())
        }
        // Copies what each read gives, and traps where that says so.
        ["copy-or-trap"] => {
            let mut buf = [0; 4096];
            loop {
                let n = rustix::io::read(rustix::stdio::stdin(), &mut buf)?;
                let text = String::from_utf8_lossy(&buf[..n]).into_owned();
                let (before, traps) = match text.split_once("trap") {
                    Some((before, _)) => (before, true),
                    None => (&*text, false),
                };
                io::stdout().write_all(before.as_bytes())?;
                io::stdout().flush()?;
                if traps {
                    std::process::abort();
                }
                if n == 0 {
                    return Ok(());
                }
            }
        }
        // Writes a file and traps; if it is there already, prints it.
        ["write-then-read", path] => match std::fs::read(path) {
            Ok(bytes) => io::stdout().write_all(&bytes),
            Err(_) => {
                std::fs::write(path, "written before\n")?;
                std::process::abort();
            }
        },
        ["lines-to-both", count] => {
            for n in 0..count.parse::<u32>().expect("a number") {
                println!("out {n}");
                eprintln!("err {n}");
            }
            Ok(())
        }
        ["args", ..] => {
            println!("{}", std::env::args().collect::<Vec<_>>().join("|"));
            Ok(())
        }
        ["env"] => {
            for (name, value) in std::env::vars() {
                println!("{name}={value}");
            }
            Ok(())
        }
        ["exit", status] => std::process::exit(status.parse().expect("a number")),
        ["read", path] => io::stdout().write_all(&std::fs::read(path)?),
        ["write", path, text] => std::fs::write(path, text),
        ["stderr", text] => io::stderr().write_all(text.as_bytes()),
        ["stderr-flood"] => loop {
            eprintln!("a message");
        },
        // So many bytes, whatever becomes of them; after stdout's reader has left, if there is one.
        ["stderr-bytes", count] => {
            while io::stdout().write_all(&[b'o'; 4096]).and_then(|()| io::stdout().flush()).is_ok()
            {
            }
            let piece = [b'e'; 65536];
            let mut failed = 0;
            for _ in 0..count.parse::<u64>().expect("a number") / 65536 {
                failed += u32::from(io::stderr().write_all(&piece).is_err());
            }
            std::process::exit(i32::from(failed > 0));
        }
        ["panic"] => panic!("as asked"),
        ["lines", count] => {
            for n in 0..count.parse::<u64>().expect("a number") {
                println!("{n}");
            }
            Ok(())
        }
        // Its reader leaves; it says so, and ends well.
        ["go-on"] => {
            eprintln!("before");
            while writeln!(io::stdout(), "a line").is_ok() {}
            eprintln!("nobody reads this, so what");
            Ok(())
        }
        // Its reader leaves, which it takes no notice of; later it fails for a reason of its own.
        ["diagnose", when] => {
            while io::stdout().write_all(&[b'o'; 4096]).and_then(|()| io::stdout().flush()).is_ok()
            {
            }
            if when == "later" {
                std::thread::sleep(std::time::Duration::from_millis(400));
            }
            eprintln!("line 7 makes no sense");
            std::process::exit(1)
        }
        // Fails by what a write says, with a status of its own.
        ["fail", status] => {
            while io::stdout().write_all(&[b'o'; 4096]).and_then(|()| io::stdout().flush()).is_ok()
            {
            }
            std::process::exit(status.parse().expect("a number"))
        }
        ["resolve", host] => std::net::TcpStream::connect(host).map(|_| ()),
        ["grow", mib] => {
            let mib: usize = mib.parse().expect("a number");
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            for _ in 0..mib {
                let mut piece = Vec::new();
                if piece.try_reserve_exact(1 << 20).is_err() {
                    println!("refused after {} MiB", hoard.len());
                    return Ok(());
                }
                piece.resize(1 << 20, 1);
                hoard.push(piece);
            }
            println!("got {mib} MiB");
            Ok(())
        }
        _ => panic!("unknown arguments {args:?}"),
    }
}
