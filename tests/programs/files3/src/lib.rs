//! Calls on files of WASI 0.3, one by one, as libraries do not make them.
#![allow(unsafe_code, reason = "generated")]

#[allow(missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package pipehost:files;

            world files {
                import wasi:filesystem/types@0.3.0;
                import wasi:filesystem/preopens@0.3.0;
                export wasi:cli/run@0.3.0;
            }

            package wasi:clocks@0.3.0 {
                interface system-clock {
                    record instant { seconds: s64, nanoseconds: u32 }
                }
            }

            package wasi:filesystem@0.3.0 {
            interface types {
                use wasi:clocks/system-clock@0.3.0.{instant};
                variant descriptor-type {
                    block-device, character-device, directory, fifo, symbolic-link,
                    regular-file, socket, other(option<string>)
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
                    data-access-timestamp: option<instant>,
                    data-modification-timestamp: option<instant>,
                    status-change-timestamp: option<instant>,
                }
                variant new-timestamp { no-change, now, timestamp(instant) }
                variant error-code {
                    access, already, bad-descriptor, busy, deadlock, quota, exist,
                    file-too-large, illegal-byte-sequence, in-progress, interrupted,
                    invalid, io, is-directory, loop, too-many-links, message-size,
                    name-too-long, no-device, no-entry, no-lock, insufficient-memory,
                    insufficient-space, not-directory, not-empty, not-recoverable,
                    unsupported, no-tty, no-such-device, overflow, not-permitted, pipe,
                    read-only, invalid-seek, text-file-busy, cross-device,
                    other(option<string>)
                }
                enum advice { normal, sequential, random, will-need, dont-need, no-reuse }
                record metadata-hash-value { lower: u64, upper: u64 }
                resource descriptor {
                    read-via-stream: func(offset: filesize) -> tuple<stream<u8>, future<result<_, error-code>>>;
                    write-via-stream: func(data: stream<u8>, offset: filesize) -> future<result<_, error-code>>;
                    append-via-stream: func(data: stream<u8>) -> future<result<_, error-code>>;
                    advise: async func(offset: filesize, length: filesize, advice: advice) -> result<_, error-code>;
                    sync-data: async func() -> result<_, error-code>;
                    get-flags: async func() -> result<descriptor-flags, error-code>;
                    get-type: async func() -> result<descriptor-type, error-code>;
                    set-size: async func(size: filesize) -> result<_, error-code>;
                    set-times: async func(data-access-timestamp: new-timestamp, data-modification-timestamp: new-timestamp)
                        -> result<_, error-code>;
                    sync: async func() -> result<_, error-code>;
                    create-directory-at: async func(path: string) -> result<_, error-code>;
                    stat-at: async func(path-flags: path-flags, path: string)
                        -> result<descriptor-stat, error-code>;
                    set-times-at: async func(path-flags: path-flags, path: string, data-access-timestamp: new-timestamp,
                        data-modification-timestamp: new-timestamp) -> result<_, error-code>;
                    link-at: async func(old-path-flags: path-flags, old-path: string,
                        new-descriptor: borrow<descriptor>, new-path: string) -> result<_, error-code>;
                    open-at: async func(path-flags: path-flags, path: string, open-flags: open-flags,
                        %flags: descriptor-flags) -> result<descriptor, error-code>;
                    readlink-at: async func(path: string) -> result<string, error-code>;
                    remove-directory-at: async func(path: string) -> result<_, error-code>;
                    rename-at: async func(old-path: string, new-descriptor: borrow<descriptor>,
                        new-path: string)
                        -> result<_, error-code>;
                    symlink-at: async func(old-path: string, new-path: string) -> result<_, error-code>;
                    unlink-file-at: async func(path: string) -> result<_, error-code>;
                    metadata-hash-at: async func(path-flags: path-flags, path: string)
                        -> result<metadata-hash-value, error-code>;
                }
            }
            interface preopens {
                use types.{descriptor};
                get-directories: func() -> list<tuple<descriptor, string>>;
            }
            }
        ",
        path: "../../../wit/p3/deps/wasi-cli.wit",
        world: "pipehost:files/files",
        generate_all,
    });
}

use bindings::export;
use bindings::exports::wasi::cli::run::Guest;
use bindings::wasi::filesystem::preopens::get_directories;
use bindings::wasi::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

include!("../../files2/src/calls.rs");

fn text(text: &str) -> String {
    text.into()
}

calls!(Descriptor, .await);

struct Files;

impl Guest for Files {
    async fn run() -> Result<(), ()> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["calls"] => calls().await,
            ["opens", path, count] => opens(path, count).await,
            ["copy", from, to] => copy(from, to).await,
            ["handed-on", from, to, rounds] => handed_on(from, to, rounds).await,
            _ => panic!("unknown arguments {args:?}"),
        }
        Ok(())
    }
}

async fn open(path: &str, how: OpenFlags, rights: DescriptorFlags) -> Descriptor {
    let (root, _) = &get_directories()[0];
    root.open_at(PathFlags::SYMLINK_FOLLOW, path.into(), how, rights).await.expect(path)
}

/// Copies a file, and then a part of it to the copy's end.
async fn copy(from: &str, to: &str) {
    let from = open(from, OpenFlags::empty(), DescriptorFlags::READ).await;
    let to = open(to, OpenFlags::CREATE, DescriptorFlags::WRITE).await;
    let (data, read) = from.read_via_stream(0);
    println!("{:?}", to.write_via_stream(data, 0).await);
    println!("{:?}", read.await);
    let (data, _) = from.read_via_stream(70_000);
    println!("{:?}", to.append_via_stream(data).await);
    // A folder has no bytes, and what is read only takes none.
    let (root, _) = &get_directories()[0];
    let (data, read) = root.read_via_stream(0);
    println!("{:?}", read.await);
    println!("{:?}", from.write_via_stream(data, 0).await);
}

/// Hands one file to another, again and again, and drops what it is told of that.
async fn handed_on(from: &str, to: &str, rounds: &str) {
    let from = open(from, OpenFlags::empty(), DescriptorFlags::READ).await;
    let to = open(to, OpenFlags::empty(), DescriptorFlags::WRITE).await;
    let rounds: u32 = rounds.parse().expect("a number");
    for round in 1..=rounds {
        let (data, _) = from.read_via_stream(0);
        drop(to.write_via_stream(data, 0));
        if round % (rounds / 2) == 0 {
            println!("{round}");
        }
    }
    let _ = std::io::stdin().read_line(&mut String::new());
}

export!(Files with_types_in bindings);
