//! Runs the plugin under pipehost, on named pipes.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, thread};

/// Makes a named pipe, and returns its path.
pub fn fifo(path: &Path) -> String {
    let _ = fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

/// Reads a named pipe to its end. If nobody writes to it, it panics after a minute.
pub fn read(path: String) -> String {
    let (told, heard) = mpsc::channel();
    thread::spawn(move || told.send(fs::read_to_string(path)));
    heard
        .recv_timeout(Duration::from_secs(60))
        .expect("the plugin did not open or close the pipe")
        .unwrap()
}

/// Builds the plugin, and starts it with these named pipes and arguments. It has a minute.
pub fn pipehost(fifos: &[&str], args: &[&str]) -> Child {
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
    let plugin = Path::new(here).join("target/wasm32-wasip2/release/@WASM@");
    let program = env::var("PIPEHOST").unwrap_or("pipehost".into());
    let mut command = Command::new(&program);
    command.arg("run").arg(plugin).args(["--timeout", "1m"]);
    for fifo in fifos {
        command.args(["--fifo", fifo]);
    }
    let started = command.arg("--").args(args).spawn();
    started.unwrap_or_else(|error| {
        panic!("{program}: {error}; it is to be on the PATH, or in the variable PIPEHOST")
    })
}

/// Waits for the plugin's end, which is to be a success.
pub fn ends_well(mut plugin: Child) {
    let status = plugin.wait().unwrap();
    assert!(status.success(), "{status}");
}
