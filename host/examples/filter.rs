//! Runs a guest as a filter: what it makes of "hello" goes to stdout.
use std::io::{Read, Write};
use std::time::Duration;

use pipehost::{Engine, Guest, GuestLimits, Pipes, Setup, pipes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("filter GUEST")?;
    let engine = Engine::new()?;
    let guest = Guest::from_file(&engine, path.as_ref())?;
    let ((stdin, mut to_guest), (mut from_guest, stdout)) = (std::io::pipe()?, std::io::pipe()?);
    to_guest.write_all(b"hello\n")?;
    drop(to_guest);
    let mut limits = GuestLimits::default();
    (limits.timeout, limits.max_memory) = (Some(Duration::from_secs(5)), Some(64 << 20));
    limits.max_bytes = Some(1 << 20);
    let pipes = Pipes::builder().limits(limits).build();
    let setup = Setup::between(pipes, stdin.into(), stdout.into(), pipes::standard(2)?)?;
    let outcome = setup.run(&engine, &guest).await?;
    let mut text = String::new();
    from_guest.read_to_string(&mut text)?;
    println!("{text}{outcome:?}");
    Ok(())
}
