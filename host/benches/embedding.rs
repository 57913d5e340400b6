//! What each guest costs a program that embeds pipehost: its pipes, its instance, its run and its end, in process. The
//! engine and the compiled guest are shared by all runs, as in a service.
//!
//! `cargo bench --bench embedding` prints it; `cargo bench` alone does not run this. docs/embedding.md has the figures.
#![allow(missing_docs, clippy::unwrap_used, reason = "a program that may end by panicking")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use pipehost::{Engine, Guest, Outcome, Pipes, Setup, pipes};
use tokio::runtime::Runtime;

/// What the guest gets to read.
const INPUT: &[u8] = b"hello\n";

/// A module that ends at once.
const MODULE: &str = r#"(module (func (export "_start")))"#;

/// A component that ends at once.
const COMPONENT: &str = r#"(component
  (core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $cli (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli)))"#;

/// Runs the guest between two new pipes. Returns how many bytes it wrote.
async fn run(engine: &Engine, guest: &Guest) -> usize {
    let (stdin, mut to_guest) = std::io::pipe().unwrap();
    let (mut from_guest, stdout) = std::io::pipe().unwrap();
    to_guest.write_all(INPUT).unwrap();
    drop(to_guest);
    let pipes = Pipes::builder().build();
    let stderr = pipes::null().unwrap();
    let setup = Setup::between(pipes, stdin.into(), stdout.into(), stderr).unwrap();
    let outcome = setup.run(engine, guest).await.unwrap();
    assert!(matches!(outcome, Outcome::Exited(0)), "{outcome}");
    let mut output = Vec::new();
    from_guest.read_to_end(&mut output).unwrap()
}

fn instantiate_and_run(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let engine = Engine::new().unwrap();
    let bundled = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guests/{name}.wasm"));
        Guest::from_file(&engine, &path).unwrap()
    };
    let text = |text: &str| Guest::from_bytes(&engine, text.as_bytes()).unwrap();
    let mut group = criterion.benchmark_group("instantiate and run");
    for (name, guest, output) in [
        ("a module of WASI 0.1 that ends at once", text(MODULE), 0),
        ("a component of WASI 0.2 that ends at once", text(COMPONENT), 0),
        ("@lines, of WASI 0.2", bundled("lines"), 7 + INPUT.len()),
        ("@cat, of WASI 0.3", bundled("cat"), INPUT.len()),
        ("@upper, of WASI 0.3", bundled("upper"), INPUT.len()),
    ] {
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                assert_eq!(run(black_box(&engine), black_box(&guest)).await, output);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, instantiate_and_run);
criterion_main!(benches);
