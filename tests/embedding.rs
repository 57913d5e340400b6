//! The library in a program that has an engine, a linker and a store of its own, and adds
//! `pipehost:pipes` to them.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read, Write};

use pipehost::children::{Children, Program};
use pipehost::pipes::{TransferFault, null, pipe_pair};
use pipehost::{Grant, Guest, Pipes, PipesCtxView, PipesView, Stdio};
use support::*;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    pipes: Pipes,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl PipesView for State {
    fn pipes(&mut self) -> PipesCtxView<'_> {
        PipesCtxView { ctx: &mut self.pipes, table: &mut self.table }
    }
}

/// Runs a guest of WASI 0.2 in a store that is not pipehost's. Returns what it wrote to a standard
/// output that is not pipehost's either.
async fn run(config: &Config, name: &str, args: &[&str], pipes: Pipes, grants: Grants) -> String {
    let engine = Engine::new(config).unwrap();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    pipehost::add_to_linker::<State>(&mut linker).unwrap();
    let output = MemoryOutputPipe::new(1 << 16);
    let wasi = WasiCtx::builder().arg(name).args(args).stdout(output.clone()).build();
    let pending_writes = pipes.pending_writes().clone();
    let state = State { table: ResourceTable::new(), wasi, pipes };
    let mut store = Store::new(&engine, state);
    let component = Component::from_file(&engine, guest(name)).unwrap();
    let command = Command::instantiate_async(&mut store, &component, &linker).await.unwrap();
    let children = grants.map(|(children, engine)| {
        let pipes = store.data_mut().pipes().ctx;
        let null = || null().unwrap();
        let stdio = Stdio::between(pipes, null(), null(), null()).unwrap();
        children.grant_to(pipes, &engine, &stdio)
    });
    let running = command.wasi_cli_run().call_run(&mut store);
    let ended = match children {
        Some(children) => children.beside(running).await,
        None => running.await,
    };
    ended.unwrap().unwrap();
    drop(store);
    pending_writes.idle().await;
    String::from_utf8(output.contents().to_vec()).unwrap()
}

/// The children, and the engine of those that are guests.
type Grants = Option<(Children, pipehost::Engine)>;

fn children() -> Grants {
    let engine = pipehost::Engine::new().unwrap();
    let upper = Program::Guest {
        guest: Guest::from_file(&engine, &guest("upper")).unwrap(),
        program: "upper".into(),
        spawn: false,
        max_memory: None,
        timeout: None,
    };
    let rev = Program::Native { program: "rev".into(), args: Vec::new() };
    let grants = vec![("upper".parse().unwrap(), upper), ("rev".parse().unwrap(), rev)];
    Some((Children::new(grants), engine))
}

#[tokio::test]
async fn a_guest_in_a_store_of_the_hosts_own_starts_children() {
    let _dog = watchdog();
    let config = Config::new();
    let pipes = || Pipes::builder().build();
    for (name, reply) in [("upper", "HELLO"), ("rev", "olleh")] {
        let args = ["feed", name, "hello"];
        let text = run(&config, "family2", &args, pipes(), children()).await;
        assert_eq!(text, format!("exit status: 0 {reply}\n"));
    }
    let text = run(&config, "family2", &["list"], pipes(), children()).await;
    assert_eq!(text, "upper rev\n");
    for (name, grants) in [("cat", children()), ("upper", None)] {
        let text = run(&config, "family2", &["try", name], pipes(), grants).await;
        assert_eq!(text, "PermissionDenied\n", "{name}");
    }
}

/// A host that has no use for concurrency can leave it out, as every call costs less then.
#[tokio::test]
async fn an_engine_without_concurrency_has_the_package_of_0_2() {
    let _dog = watchdog();
    let mut config = Config::new();
    config.concurrency_support(false);
    let (to_guest, from_guest) = (pipe_pair(None).unwrap(), pipe_pair(None).unwrap());
    let grant = |name: &str, reader, writer| Grant::joined(name.parse().unwrap(), reader, writer);
    let pipes = Pipes::builder()
        .grant(grant("in", Some(to_guest.reader), None))
        .unwrap()
        .grant(grant("out", None, Some(from_guest.writer)))
        .unwrap()
        .build();
    std::fs::File::from(to_guest.writer).write_all(b"one\n").unwrap();
    let text = run(&config, "lines", &[], pipes, None).await;
    assert_eq!(text, "");
    let mut text = String::new();
    std::fs::File::from(from_guest.reader).read_to_string(&mut text).unwrap();
    assert_eq!(text, "     1\tone\n");
}

/// As `?` in a function that returns `Box<dyn Error>` needs it.
#[test]
fn what_a_transfer_fails_with_is_an_error() {
    let fault = pipehost::pipes::ErrorCode::BrokenPipe.into();
    let error: Box<dyn std::error::Error> = TransferFault::Writing(fault).into();
    assert_eq!(error.to_string(), "writing: broken pipe");
}
