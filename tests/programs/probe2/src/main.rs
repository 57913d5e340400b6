//! Does with pipes of WASI 0.2 what its arguments say, and tells on stdout what it saw.

use std::io::{self, ErrorKind, Read, Write};

use pipehost_guest::{forward, open_reader, open_writer, pipe, wait};

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            for pipe in pipehost_guest::granted() {
                println!("{} {} {}", pipe.name, pipe.directions.read, pipe.directions.write);
            }
        }
        // `open r in w out`: opens in this order, and keeps everything open to the end.
        ["open", ref opens @ ..] => {
            let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
            for open in opens.chunks(2) {
                let name = name_of(open[1]);
                let opened = match open[0] {
                    "r" => open_reader(&name).map(|end| held.push(Box::new(end))),
                    _ => open_writer(&name).map(|end| held.push(Box::new(end))),
                };
                report(opened);
            }
        }
        ["reopen", name] => {
            for _ in 0..2 {
                report(open_reader(name).map(drop));
            }
        }
        ["copy", from, to] => {
            let (mut from, mut to) = (open_reader(from)?, open_writer(to)?);
            pass(&mut from, &mut to)?;
        }
        // Copies, while as many other pipes are open and idle.
        ["copy-beside", count, from, to] => {
            let count: usize = count.parse().expect("a number");
            let _idle = (0..count).map(|_| pipe()).collect::<io::Result<Vec<_>>>()?;
            pass(&mut open_reader(from)?, &mut open_writer(to)?)?;
        }
        // Reads of 1 byte, of 2 and so on up to so many, and again; what each gives is one write.
        ["sizes", from, to, most] => {
            let (mut from, mut to) = (open_reader(from)?, open_writer(to)?);
            let most: usize = most.parse().expect("a number");
            let mut buf = vec![0; most];
            for size in (1..=most).cycle() {
                match from.read(&mut buf[..size])? {
                    0 => break,
                    n => to.write_all(&buf[..n])?,
                }
            }
        }
        // So many MiB in one piece.
        ["message", name, mib] => open_writer(name)?.write_all(&message(mib))?,
        ["forward", from, to] => drop(forward(open_reader(from)?, open_writer(to)?)?),
        ["io-copy", from, to] => {
            io::copy(&mut open_reader(from)?, &mut open_writer(to)?)?;
        }
        // Through an anonymous pipe: writes a piece, reads a piece.
        ["through", from, to] => {
            let (mut from, mut to) = (open_reader(from)?, open_writer(to)?);
            let mut pipe = pipe()?;
            let mut buf = vec![0; 32 * 1024];
            loop {
                let n = from.read(&mut buf)?;
                if n == 0 {
                    break;
                }
                pipe.writer.write_all(&buf[..n])?;
                pipe.reader.read_exact(&mut buf[..n])?;
                to.write_all(&buf[..n])?;
            }
        }
        ["anonymous"] => anonymous()?,
        ["swap", in_name, out_name] => {
            // The writer first: whoever is on the other side may do it the other way round.
            let mut output = open_writer(out_name)?;
            let mut input = open_reader(in_name)?;
            output.write_all(b"hello from the guest\n")?;
            output.flush()?;
            drop(output);
            let mut text = String::new();
            input.read_to_string(&mut text)?;
            print!("{text}");
        }
        // Prints each pipe's name as bytes come from it, until all are at their end.
        ["wait", ref names @ ..] => {
            let mut readers = Vec::new();
            for name in names {
                readers.push((*name, open_reader(name)?));
            }
            while !readers.is_empty() {
                let mut ends: Vec<&mut dyn pipehost_guest::Readiness> =
                    readers.iter_mut().map(|(_, reader)| reader as _).collect();
                let at = wait(&mut ends)[0];
                let mut buf = [0; 256];
                match readers[at].1.try_read(&mut buf)? {
                    0 => {
                        println!("{} end", readers[at].0);
                        readers.remove(at);
                    }
                    n => println!("{} {}", readers[at].0, String::from_utf8_lossy(&buf[..n])),
                }
            }
        }
        ["try", name] => {
            let mut reader = open_reader(name)?;
            report(reader.try_read(&mut [0; 8]).map(|_| ()));
        }
        ["fill", name] => {
            let mut writer = open_writer(name)?;
            let mut total = 0;
            wait(&mut [&mut writer]);
            loop {
                match writer.try_write(&[7; 4096]) {
                    Ok(n) => total += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            println!("{total}");
        }
        ["info", name] => {
            let mut reader = open_reader(name)?;
            println!("capacity {}", reader.capacity()?);
            wait_for_bytes(&mut reader)?;
        }
        ["write", name, text] => open_writer(name)?.write_all(text.as_bytes())?,
        // Records that must stay whole: PIPE_BUF bytes each, all of one letter.
        ["records", name, letter, count] => {
            let mut writer = open_writer(name)?;
            let record = letter.repeat(4096);
            for _ in 0..count.parse::<u32>().expect("a number") {
                writer.write_all(record.as_bytes())?;
            }
        }
        // Writes for ever, and tells why it could not go on.
        ["flood", name] => {
            let mut writer = open_writer(name)?;
            let buf = [b'x'; 8192];
            let error = loop {
                if let Err(error) = writer.write_all(&buf) {
                    break error;
                }
            };
            report(Err(error));
        }
        ["drain", name] => {
            let mut total = 0u64;
            let mut reader = open_reader(name)?;
            let mut buf = vec![0; 65536];
            let result = loop {
                match reader.read(&mut buf) {
                    Ok(0) => break Ok(()),
                    Ok(n) => total += n as u64,
                    Err(error) => break Err(error),
                }
            };
            println!("{total}");
            report(result);
        }
        // Reads to the end of file, so often, and opens the pipe anew each time.
        ["drain-each", name, count] => {
            for _ in 0..count.parse().expect("a number") {
                println!("{}", io::read_to_string(open_reader(name)?)?);
            }
        }
        ["trap-after", name, text] => {
            let mut writer = open_writer(name)?;
            writer.write_all(text.as_bytes())?;
            std::process::abort();
        }
        // Copies what each read gives, and traps where that says so. May close its writer first.
        ["copy-or-trap", from, to] => {
            let (mut from, mut to) = (open_reader(from)?, Some(open_writer(to)?));
            let mut buf = [0; 4096];
            loop {
                let n = from.read(&mut buf)?;
                let text = String::from_utf8_lossy(&buf[..n]).into_owned();
                let (before, traps) = match text.split_once("trap") {
                    Some((before, _)) => (before, true),
                    None => (&*text, false),
                };
                if let Some(to) = &mut to {
                    to.write_all(before.as_bytes())?;
                }
                if text.contains("close") {
                    to = None;
                }
                if traps {
                    std::process::abort();
                }
                if n == 0 {
                    break;
                }
            }
        }
        // Hands over more than a pipe holds, as far as it is accepted at once, and traps.
        ["trap-full", name] => {
            let mut writer = open_writer(name)?;
            wait(&mut [&mut writer]);
            let mut accepted = 0;
            while let Ok(n) = writer.try_write(&[b'y'; 60_000]) {
                accepted += n;
            }
            println!("{accepted}");
            std::process::abort();
        }
        // Hands over more than there is room for, and ends.
        ["leave-behind", name] => {
            let mut writer: Box<dyn Write> = match name {
                "-" => Box::new(StdoutByHand(stdout::get_stdout())),
                name => Box::new(open_writer(name)?),
            };
            leave_behind(&mut writer)?;
        }
        ["leave-behind-own"] => leave_behind(&mut pipe()?.writer)?,
        // One piece, however long the pipe stays open.
        ["wait-one", name] => {
            let mut reader = open_reader(name)?;
            let mut buf = [0; 256];
            let n = reader.read(&mut buf)?;
            println!("{name} {}", String::from_utf8_lossy(&buf[..n]));
        }
        ["trap"] => std::process::abort(),
        ["spin"] => loop {
            std::hint::black_box(());
        },
        ["many", count] => {
            let mut held = Vec::new();
            for _ in 0..count.parse::<u32>().expect("a number") {
                match pipe() {
                    Ok(pipe) => held.push(pipe),
                    Err(error) => {
                        println!("{} then {:?}", held.len(), error.kind());
                        return Ok(());
                    }
                }
            }
            println!("{}", held.len());
        }
        // The same, and again once all are closed: none may be missing then.
        ["many-thrice", count] => {
            for _ in 0..3 {
                let all = (0..count.parse::<u32>().expect("a number")).map(|_| pipe());
                println!("{}", all.map_while(Result::ok).collect::<Vec<_>>().len());
            }
        }
        // The capacities of the first and the last of many pipes, and bytes through that one.
        ["many-busy", count] => {
            let count: usize = count.parse().expect("a number");
            let mut held = (0..count).map(|_| pipe()).collect::<io::Result<Vec<_>>>()?;
            println!("{}", held[0].reader.capacity()?);
            let last = &mut held[count - 1];
            println!("{}", last.reader.capacity()?);
            let mut moved = 0;
            for _ in 0..500 {
                last.writer.write_all(&[5; 2000])?;
                last.reader.read_exact(&mut [0; 2000])?;
                moved += 2000;
            }
            println!("moved {moved}");
        }
        // Handles that are never dropped.
        ["handles", count] => {
            for _ in 0..count.parse::<u64>().expect("a number") {
                std::mem::forget(stdout::get_stdout());
            }
        }
        // Empty writes must not pile up anywhere. By hand: the SDK makes none.
        ["empty-writes", "-", count] => {
            let stdout = stdout::get_stdout();
            for _ in 0..count.parse::<u64>().expect("a number") {
                stdout.check_write().map_err(io::Error::other)?;
                stdout.write(&[]).map_err(io::Error::other)?;
            }
        }
        // Reads the folder so many times at once, and keeps what reads it.
        ["folders", path, count] => {
            println!("{} names", std::fs::read_dir(path)?.filter(Result::is_ok).count());
            let mut held = Vec::new();
            for _ in 0..count.parse::<u32>().expect("a number") {
                match std::fs::read_dir(path).and_then(|mut folder| {
                    folder.next().transpose()?;
                    Ok(folder)
                }) {
                    Ok(folder) => held.push(folder),
                    Err(error) => {
                        println!("{error}");
                        break;
                    }
                }
            }
            println!("held {}", held.len());
            io::stdin().read_line(&mut String::new())?;
        }
        _ => panic!("unknown arguments {args:?}"),
    }
    Ok(())
}

/// The last of these is more than a pipe of 1 MiB has room for.
fn leave_behind(writer: &mut impl Write) -> io::Result<()> {
    (0..18).try_for_each(|_| writer.write_all(&[b'z'; 60_000]))
}

/// So many MiB, in which no two places are alike.
fn message(mib: &str) -> Vec<u8> {
    let words = mib.parse::<u64>().expect("a number") << 17;
    let mut bytes = Vec::with_capacity(words as usize * 8);
    for word in 0..words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Names that no command line can hold.
fn name_of(text: &str) -> String {
    match text {
        "EMPTY" => String::new(),
        "NUL" => "a\0b".into(),
        "LONG" => "x".repeat(64 * 1024),
        "GIANT" => "x".repeat(128 << 20),
        // Against all rules: a `String` that is no UTF-8.
        "NOT-UTF-8" => not_utf8(),
        text => text.into(),
    }
}

#[allow(unsafe_code, reason = "an attacker would not mind")]
fn not_utf8() -> String {
    // SAFETY: there is none; the text goes straight to the host, which has to cope.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, b'x']) }
}

fn report(result: io::Result<()>) {
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("{:?}", error.kind()),
    }
}

fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buf)? {
            0 => return to.flush(),
            n => to.write_all(&buf[..n])?,
        }
    }
}

/// A second look at `available` needs an end that has not been read from.
fn wait_for_bytes(reader: &mut pipehost_guest::Reader) -> io::Result<()> {
    while reader.available()? == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    println!("available {}", reader.available()?);
    let mut one = [0];
    reader.read_exact(&mut one)?;
    report(reader.available().map(|_| ()));
    Ok(())
}

fn anonymous() -> io::Result<()> {
    // What goes in comes out, and then the end of file.
    let mut both = pipe()?;
    println!("capacity {} {}", both.reader.capacity()?, both.writer.capacity()?);
    both.writer.write_all(b"hello")?;
    both.writer.flush()?;
    println!("available {}", both.reader.available()?);
    drop(both.writer);
    let mut text = String::new();
    both.reader.read_to_string(&mut text)?;
    println!("{text} and the end");
    println!("again {}", both.reader.read(&mut [0; 8])?);

    // A flush of a full pipe waits for nobody: all is in it.
    let mut both = pipe()?;
    both.writer.write_all(&vec![1; both.reader.capacity()? as usize])?;
    both.writer.flush()?;
    println!("flushed {}", both.reader.available()? == both.reader.capacity()?);

    // Nothing yet is not the end of file.
    let mut both = pipe()?;
    report(both.reader.try_read(&mut [0; 8]).map(|_| ()));

    // Nobody reads any more.
    drop(both.reader);
    report(both.writer.write_all(b"x"));
    report(both.writer.write_all(b"x"));

    // Dropped right after a write that the pipe had no room for: delivered all the same.
    let mut both = pipe()?;
    let mut sent = 0;
    while let Ok(n) = both.writer.try_write(&[1; 50_000]) {
        sent += n;
    }
    drop(both.writer);
    let mut all = Vec::new();
    both.reader.read_to_end(&mut all)?;
    println!("all {}", all.len() == sent);
    Ok(())
}

/// Stdout by `check-write` and `write`, without waiting for a flush as std does.
mod stdout {
    wit_bindgen::generate!({
        inline: "
            package probe:two;

            world imports {
                import wasi:cli/stdout@0.2.0;
            }

            package wasi:cli@0.2.0 {
                interface stdout {
                    use wasi:io/streams@0.2.0.{output-stream};
                    get-stdout: func() -> output-stream;
                }
            }
        ",
        path: "../../../wit/p2/deps",
        world: "probe:two/imports",
        generate_all,
    });
    pub(crate) use wasi::cli::stdout::get_stdout;
}

struct StdoutByHand(stdout::wasi::io::streams::OutputStream);

impl Write for StdoutByHand {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.subscribe().block();
        let permit = self.0.check_write().map_err(io::Error::other)? as usize;
        let n = buf.len().min(permit);
        self.0.write(&buf[..n]).map_err(io::Error::other)?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
