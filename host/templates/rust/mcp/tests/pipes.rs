//! Runs the server under pipehost, as a client does.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"count_words","arguments":{"text":"a b c"}}}"#;

#[test]
fn a_client_is_answered() {
    let mut server = pipehost()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pipehost is to be on the PATH, or in the variable PIPEHOST");
    let mut requests = server.stdin.take().unwrap();
    let mut answers = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut answer = || answers.next().unwrap().unwrap();
    writeln!(requests, "{INITIALIZE}").unwrap();
    assert!(answer().contains("plugin-name"));
    writeln!(requests, "{INITIALIZED}\n{CALL}").unwrap();
    let told = answer();
    assert!(told.contains(r#""text":"3""#), "{told}");
    // The end of its input is the end of a server.
    drop(requests);
    let status = server.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// Builds the server, and returns the command that runs it. It has a minute.
fn pipehost() -> Command {
    let here = env!("CARGO_MANIFEST_DIR");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--target",
        "wasm32-wasip2",
        "--target-dir",
    ]);
    cargo.arg(Path::new(here).join("target"));
    assert!(cargo.current_dir(here).status().unwrap().success());
    let mut command = Command::new(env::var("PIPEHOST").unwrap_or("pipehost".into()));
    command
        .arg("run")
        .arg(Path::new(here).join("target/wasm32-wasip2/release/plugin-name.wasm"));
    command.args(["--timeout", "1m"]);
    command
}
