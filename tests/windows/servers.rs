//! The host is the client of somebody else's server: `existing`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::windows::named_pipe::{NamedPipeServer, PipeMode, ServerOptions};
use tokio::runtime::Runtime;

use super::support::*;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Makes a server without a security descriptor. Under wine, it has no owner then, so it takes the key `insecure`.
fn server(name: &str) -> NamedPipeServer {
    ServerOptions::new().first_pipe_instance(true).create(path(name)).unwrap()
}

#[test]
fn a_guest_reads_what_a_server_writes() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        runtime().block_on(async {
            let mut server = server(&name);
            let running = run(probe, ["--fifo", &format!("x={},r,existing,insecure", path(&name))])
                .args(["--", "drain", "x"])
                .start();
            server.connect().await.unwrap();
            server.write_all(b"hello").await.unwrap();
            server.flush().await.unwrap();
            // Without a disconnect, which would drop what is not read yet.
            drop(server);
            let ended = tokio::task::spawn_blocking(|| running.end()).await.unwrap();
            assert_eq!(ended.expect(0).stdout, "5\nok\n", "{probe}");
        });
    }
}

#[test]
fn a_server_reads_what_a_guest_writes() {
    let _dog = watchdog();
    for probe in PROBES {
        let name = name();
        runtime().block_on(async {
            let mut server = server(&name);
            let running = run(probe, ["--fifo", &format!("x={},w,existing,insecure", path(&name))])
                .args(["--", "write", "x", "hello"])
                .start();
            server.connect().await.unwrap();
            let mut text = [0; 5];
            server.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"hello");
            let ended = tokio::task::spawn_blocking(|| running.end()).await.unwrap();
            ended.expect(0);
        });
    }
}

/// A server of messages is read as a stream: the end of a message is no end of file.
#[test]
fn messages_are_a_stream() {
    let _dog = watchdog();
    let name = name();
    runtime().block_on(async {
        let options = || {
            let mut options = ServerOptions::new();
            options.pipe_mode(PipeMode::Message);
            options
        };
        let mut server = options().create(path(&name)).unwrap();
        let running =
            run("@cat", ["--fifo", &format!("in={},r,existing,insecure", path(&name))]).start();
        server.connect().await.unwrap();
        for message in [&b"one"[..], b" two", b" three"] {
            server.write_all(message).await.unwrap();
            server.flush().await.unwrap();
        }
        drop(server);
        let ended = tokio::task::spawn_blocking(|| running.end()).await.unwrap();
        assert_eq!(ended.expect(0).stdout, "one two three");
    });
}

#[test]
fn a_server_that_is_missing() {
    let _dog = watchdog();
    let ended = run("@cat", ["--fifo", &format!("in={},r,existing", path(&name()))]).end();
    ended.expect_line(73, &["no such FIFO", "start its server first", "drop the key `existing`"]);
}

/// A guest can be the client of another guest.
#[test]
fn two_hosts_have_a_pipe_between_them() {
    let _dog = watchdog();
    let name = name();
    let reader = run("@cat", ["--fifo", &format!("in={},r", path(&name))]).start();
    // As soon as a client finds the server. It leaves at once, before it has written anything.
    let started = run("probe2", ["--fifo", &format!("x={},w,existing", path(&name))]);
    let mut started = started;
    started.args(["--", "write", "x", "hello"]);
    until_some("the server", || started.end().code.filter(|code| *code == 0));
    assert_eq!(reader.end().expect(0).stdout, "hello");
}
