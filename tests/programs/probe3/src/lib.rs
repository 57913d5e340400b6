//! Does with pipes of WASI 0.3 what its arguments say, and tells on stdout what it saw.

use std::io;

use pipehost_guest::stream::future::{Either, join, select};
use pipehost_guest::stream::{
    self, Reader, copy, forward, open_reader, open_writer, pipe, ready_any,
};

pipehost_guest::async_main!(run);

async fn run() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            for pipe in pipehost_guest::granted() {
                println!("{} {} {}", pipe.name, pipe.directions.read, pipe.directions.write);
            }
        }
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
            copy(&mut from, &mut to).await?;
            to.close().await?;
        }
        // Reads of 1 byte, of 2 and so on up to so many, and again; what each gives is one write.
        ["sizes", from, to, most] => {
            let (mut from, mut to) = (open_reader(from)?, open_writer(to)?);
            let mut buf = Vec::new();
            for size in (1..=most.parse::<usize>().expect("a number")).cycle() {
                buf.clear();
                buf.shrink_to(size);
                buf.reserve_exact(size);
                if from.read(&mut buf).await? == 0 {
                    break;
                }
                buf = to.write_all(buf).await?;
            }
            to.close().await?;
        }
        // So many MiB in one piece.
        ["message", name, mib] => {
            let words = mib.parse::<u64>().expect("a number") << 17;
            let mut bytes = Vec::with_capacity(words as usize * 8);
            for word in 0..words {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            let mut writer = open_writer(name)?;
            writer.write_all(bytes).await?;
            writer.close().await?;
        }
        // Empty writes must not pile up anywhere.
        ["empty-writes", name, count] => {
            let mut writer = open_writer(name)?;
            for _ in 0..count.parse::<u64>().expect("a number") {
                writer.ready().await;
            }
            writer.close().await?;
        }
        ["stdio"] => {
            let (mut from, mut to) = (stream::input()?, stream::output()?);
            copy(&mut from, &mut to).await?;
            to.close().await?;
        }
        ["forward", from, to] => forward(open_reader(from)?, open_writer(to)?).await?,
        ["forward-stdio"] => forward(stream::input()?, stream::output()?).await?,
        ["through", from, to] => {
            let (mut from, mut to) = (open_reader(from)?, open_writer(to)?);
            let mut both = pipe()?;
            let feed = async {
                copy(&mut from, &mut both.writer).await?;
                both.writer.close().await
            };
            let (fed, drained) = join(feed, copy(&mut both.reader, &mut to)).await;
            fed?;
            drained?;
            to.close().await?;
        }
        ["anonymous"] => anonymous().await?,
        ["swap", in_name, out_name] => {
            let mut output = open_writer(out_name)?;
            let mut input = open_reader(in_name)?;
            output.write_all(b"hello from the guest\n".to_vec()).await?;
            output.close().await?;
            let mut text = Vec::new();
            input.read_to_end(&mut text).await?;
            print!("{}", String::from_utf8_lossy(&text));
        }
        ["wait", ref names @ ..] => {
            let mut names = names.to_vec();
            let mut readers =
                names.iter().map(|name| open_reader(name)).collect::<io::Result<Vec<_>>>()?;
            while !readers.is_empty() {
                let at = ready_any(&mut readers).await;
                let mut buf = Vec::with_capacity(256);
                match readers[at].read(&mut buf).await? {
                    0 => {
                        println!("{} end", names.remove(at));
                        readers.remove(at);
                    }
                    _ => println!("{} {}", names[at], String::from_utf8_lossy(&buf)),
                }
            }
        }
        ["info", name] => {
            let reader = open_reader(name)?;
            println!("capacity {}", reader.capacity()?);
            while reader.available()? == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            println!("available {}", reader.available()?);
            info_after_reading(reader).await?;
        }
        // Reads are begun and called off while the bytes come; none may be lost or doubled.
        ["cancel", from, to] => {
            let (mut from, mut to) = (open_reader(from)?, open_writer(to)?);
            let mut calls_off = 0u32;
            for round in 0usize.. {
                let mut buf = Vec::with_capacity(1 + (round * 7919) % 50_000);
                let ended = {
                    let read = Box::pin(from.read(&mut buf));
                    let tick = Box::pin(yield_times(round as u32 % 4));
                    match select(read, tick).await {
                        Either::Left((n, _)) => Some(n?),
                        Either::Right(_) => None,
                    }
                };
                calls_off += u32::from(ended.is_none());
                if !buf.is_empty() {
                    to.write_all(buf).await?;
                } else if ended == Some(0) {
                    break;
                } else if ended.is_none() {
                    from.ready().await;
                }
            }
            to.close().await?;
            eprintln!("called off {}", calls_off > 0);
        }
        ["write", name, text] => {
            let mut writer = open_writer(name)?;
            writer.ready().await;
            writer.write_all(text.as_bytes().to_vec()).await?;
            writer.close().await?;
        }
        ["records", name, letter, count] => {
            let mut writer = open_writer(name)?;
            for _ in 0..count.parse::<u32>().expect("a number") {
                writer.write_all(letter.repeat(4096).into_bytes()).await?;
            }
            writer.close().await?;
        }
        ["flood", name] => {
            let mut writer = open_writer(name)?;
            let mut buf = vec![b'x'; 8192];
            let error = loop {
                match writer.write_all(buf).await {
                    Ok(_) => buf = vec![b'x'; 8192],
                    Err(error) => break error,
                }
            };
            report(Err(error));
        }
        ["drain", name] => {
            let mut all = Vec::new();
            let mut reader = open_reader(name)?;
            let mut total = 0;
            let result = loop {
                all.clear();
                match reader.read(&mut all).await {
                    Ok(0) => break Ok(()),
                    Ok(n) => total += n,
                    Err(error) => break Err(error),
                }
            };
            println!("{total}");
            report(result);
        }
        // Reads to the end of file, so often, and opens the pipe anew each time.
        ["drain-each", name, count] => {
            for _ in 0..count.parse().expect("a number") {
                let (mut all, mut reader) = (Vec::new(), open_reader(name)?);
                while reader.read(&mut all).await? > 0 {}
                println!("{}", String::from_utf8_lossy(&all));
            }
        }
        ["trap-after", name, text] => {
            let mut writer = open_writer(name)?;
            writer.write_all(text.as_bytes().to_vec()).await?;
            std::process::abort();
        }
        // Copies what each read gives, and traps where that says so. May close its writer first.
        ["copy-or-trap", from, to] => {
            let (mut from, mut to) = (open_reader(from)?, Some(open_writer(to)?));
            loop {
                let mut buf = Vec::with_capacity(4096);
                let n = from.read(&mut buf).await?;
                let trap = buf.windows(4).position(|word| word == b"trap");
                let closes = buf.windows(5).any(|word| word == b"close");
                buf.truncate(trap.unwrap_or(buf.len()));
                if let Some(to) = &mut to {
                    to.write_all(buf).await?;
                }
                if closes && let Some(to) = to.take() {
                    to.close().await?;
                }
                if trap.is_some() {
                    std::process::abort();
                }
                if n == 0 {
                    break;
                }
            }
            if let Some(to) = to {
                to.close().await?;
            }
        }
        // One write of more than the pipe holds is under way when another task traps.
        ["trap-in-write", name] => {
            let mut writer = open_writer(name)?;
            writer.ready().await;
            let trap = async {
                yield_times(100).await;
                std::process::abort();
            };
            let (written, ()) = join(writer.write_all(vec![b'x'; 2_000_000]), trap).await;
            written?;
        }
        // Handles that are never dropped.
        ["handles", count] => {
            for _ in 0..count.parse::<u64>().expect("a number") {
                std::mem::forget(stream::input()?);
            }
        }
        ["trap"] => std::process::abort(),
        ["exit", status] => std::process::exit(status.parse().expect("a number")),
        ["fail"] => return Err(io::Error::other("as asked")),
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

fn name_of(text: &str) -> String {
    match text {
        "EMPTY" => String::new(),
        "NUL" => "a\0b".into(),
        "LONG" => "x".repeat(64 * 1024),
        "GIANT" => "x".repeat(128 << 20),
        text => text.into(),
    }
}

fn report(result: io::Result<()>) {
    match result {
        Ok(()) => println!("ok"),
        Err(error) => println!("{:?}", error.kind()),
    }
}

async fn info_after_reading(mut reader: Reader) -> io::Result<()> {
    reader.read(&mut Vec::with_capacity(1)).await?;
    report(reader.available().map(|_| ()));
    Ok(())
}

/// Gives the others a turn, so many times.
async fn yield_times(mut times: u32) {
    std::future::poll_fn(|context| {
        if times == 0 {
            return std::task::Poll::Ready(());
        }
        times -= 1;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

async fn anonymous() -> io::Result<()> {
    let both = pipe()?;
    let (mut reader, mut writer) = (both.reader, both.writer);
    println!("capacity {} {}", reader.capacity()?, writer.capacity()?);
    writer.write_all(b"hello".to_vec()).await?;
    println!("available {}", reader.available()?);
    writer.close().await?;
    let mut text = Vec::new();
    reader.read_to_end(&mut text).await?;
    println!("{} and the end", String::from_utf8_lossy(&text));
    println!("again {}", reader.read(&mut Vec::with_capacity(8)).await?);

    // Nobody reads any more.
    let both = pipe()?;
    let mut writer = both.writer;
    drop(both.reader);
    report(writer.write_all(b"x".to_vec()).await.map(drop));
    report(writer.write_all(b"x".to_vec()).await.map(drop));

    // More than the pipe holds, with both ends at work.
    let both = pipe()?;
    let (mut reader, mut writer) = (both.reader, both.writer);
    let feed = async {
        writer.write_all(vec![1; 1_000_000]).await?;
        writer.close().await
    };
    let mut all = Vec::new();
    let (fed, read) = join(feed, reader.read_to_end(&mut all)).await;
    fed?;
    println!("all {}", read? == 1_000_000);
    Ok(())
}
