//! Calls on files of WASI 0.2, one by one, as libraries do not make them.
#![allow(unsafe_code, reason = "generated")]

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package pipehost:files;

            world files {
                import wasi:filesystem/types@0.2.0;
                import wasi:filesystem/preopens@0.2.0;

            }

            package wasi:clocks@0.2.0 {
                interface wall-clock {
                    record datetime { seconds: u64, nanoseconds: u32 }
                }
            }

            package wasi:filesystem@0.2.0 {
            interface types {
                use wasi:io/streams@0.2.0.{input-stream, output-stream};
                use wasi:clocks/wall-clock@0.2.0.{datetime};
                enum descriptor-type {
                    unknown, block-device, character-device, directory, fifo,
                    symbolic-link, regular-file, socket
                }
                type filesize = u64;
                type link-count = u64;
                flags descriptor-flags {
                    read, write, file-integrity-sync, data-integrity-sync, requested-write-sync,
                    mutate-directory
                }
                flags path-flags { symlink-follow }
                flags open-flags { create, directory, exclusive, truncate }
                record descriptor-stat {
                    %type: descriptor-type,
                    link-count: link-count,
                    size: filesize,
                    data-access-timestamp: option<datetime>,
                    data-modification-timestamp: option<datetime>,
                    status-change-timestamp: option<datetime>,
                }
                variant new-timestamp { no-change, now, timestamp(datetime) }
                enum error-code {
                    access, would-block, already, bad-descriptor, busy, deadlock, quota,
                    exist, file-too-large, illegal-byte-sequence, in-progress,
                    interrupted, invalid, io, is-directory, loop, too-many-links,
                    message-size, name-too-long, no-device, no-entry, no-lock,
                    insufficient-memory, insufficient-space, not-directory, not-empty,
                    not-recoverable, unsupported, no-tty, no-such-device, overflow,
                    not-permitted, pipe, read-only, invalid-seek, text-file-busy,
                    cross-device
                }
                enum advice { normal, sequential, random, will-need, dont-need, no-reuse }
                record metadata-hash-value { lower: u64, upper: u64 }
                resource descriptor {
                    read-via-stream: func(offset: filesize) -> result<input-stream, error-code>;
                    write-via-stream: func(offset: filesize) -> result<output-stream, error-code>;
                    advise: func(offset: filesize, length: filesize, advice: advice) -> result<_, error-code>;
                    sync-data: func() -> result<_, error-code>;
                    get-flags: func() -> result<descriptor-flags, error-code>;
                    get-type: func() -> result<descriptor-type, error-code>;
                    set-size: func(size: filesize) -> result<_, error-code>;
                    set-times: func(data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp)
                        -> result<_, error-code>;
                    sync: func() -> result<_, error-code>;
                    create-directory-at: func(path: string) -> result<_, error-code>;
                    stat-at: func(path-flags: path-flags, path: string)
                        -> result<descriptor-stat, error-code>;
                    set-times-at: func(path-flags: path-flags, path: string, data-access-timestamp: new-timestamp,
                        data-modification-timestamp: new-timestamp) -> result<_, error-code>;
                    link-at: func(old-path-flags: path-flags, old-path: string,
                        new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;
                    open-at: func(path-flags: path-flags, path: string, open-flags: open-flags,
                        %flags: descriptor-flags) -> result<descriptor, error-code>;
                    readlink-at: func(path: string) -> result<string, error-code>;
                    remove-directory-at: func(path: string) -> result<_, error-code>;
                    rename-at: func(old-path: string, new-descriptor: borrow<descriptor>,
                        new-path: string)
                        -> result<_, error-code>;
                    symlink-at: func(old-path: string, new-path: string) -> result<_, error-code>;
                    unlink-file-at: func(path: string) -> result<_, error-code>;
                    metadata-hash-at: func(path-flags: path-flags, path: string)
                        -> result<metadata-hash-value, error-code>;
                }
            }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
            }
        ",
        path: "../../../wit/p2/deps/wasi-io.wit",
        world: "pipehost:files/files",
        generate_all,
    });
}

use bindings::wasi::filesystem::preopens::get_directories;
use bindings::wasi::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use bindings::wasi::io::streams::InputStream;

include!("calls.rs");

fn text(text: &str) -> &str {
    text
}

calls!(Descriptor,);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["calls"] => now(calls()),
        ["opens", path, count] => now(opens(path, count)),
        ["reads", path, count] => reads(path, count),
        ["waits", path, count] => waits(path, count),
        ["writes", path, count] => writes(path, count),
        _ => panic!("unknown arguments {args:?}"),
    }
}

/// A future that never waits.
fn now(future: impl Future<Output = ()>) {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_ready());
}

fn open(path: &str, rights: DescriptorFlags) -> Descriptor {
    let (root, _) = &get_directories()[0];
    root.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), rights).expect(path)
}

/// Starts a read on each of so many streams, and takes nothing. Waits for the end of stdin.
fn reads(path: &str, count: &str) {
    let file = open(path, DescriptorFlags::READ);
    let mut held = Vec::new();
    let mut failed = None;
    for _ in 0..count.parse::<u32>().expect("a number") {
        let stream = file.read_via_stream(0).expect(path);
        let read = stream.read(65536);
        held.push(stream);
        if let Err(error) = read {
            failed = Some(error);
            break;
        }
    }
    println!("{} {}", held.len(), failed.is_some());
    let _ = std::io::stdin().read_line(&mut String::new());
    // There is room again where something is dropped.
    held.truncate(1);
    let stream = file.read_via_stream(0).expect(path);
    println!("{:?}", stream.blocking_read(65536).map(|bytes| bytes.len()));
}

/// Reads exactly what each of so many streams gives, then waits for each, and takes one byte.
fn waits(path: &str, count: &str) {
    let file = open(path, DescriptorFlags::READ);
    let streams: Vec<_> = (0..count.parse::<u32>().expect("a number"))
        .map(|_| file.read_via_stream(0).expect(path))
        .collect();
    let whole = streams.iter().filter(|it| it.blocking_read(65536).is_ok()).count();
    // One byte of what has been read for each.
    let waits = |stream: &InputStream| {
        stream.subscribe().block();
        stream.read(1).is_ok_and(|bytes| bytes.len() == 1)
    };
    let waited = streams.iter().filter(|it| waits(it)).count();
    // For want of room these fail, and give none back.
    let read = streams[..waited].iter().filter(|it| it.read(65536).is_ok()).count();
    let more = streams[waited..].iter().filter(|it| waits(it)).count();
    println!("{whole} {waited} {read} {more}");
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// As `reads`, writing.
fn writes(path: &str, count: &str) {
    let file = open(path, DescriptorFlags::WRITE);
    let bytes = vec![b'w'; 65536];
    let mut held = Vec::new();
    let mut failed = None;
    for _ in 0..count.parse::<u32>().expect("a number") {
        let stream = file.write_via_stream(0).expect(path);
        let written = stream.check_write().and_then(|_| stream.write(&bytes));
        held.push(stream);
        if let Err(error) = written {
            failed = Some(error);
            break;
        }
    }
    println!("{} {}", held.len(), failed.is_some());
    let _ = std::io::stdin().read_line(&mut String::new());
    held.truncate(1);
    let last = file.write_via_stream(0).expect(path);
    println!("{:?}", last.blocking_write_and_flush(b"end"));
}
