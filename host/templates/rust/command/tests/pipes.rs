//! Runs the plugin under pipehost, on a named pipe.

mod support;

use std::path::Path;

use support::{ends_well, fifo, pipehost, read};

#[test]
fn words_come_out_of_the_pipe_that_is_named() {
    let pipe = fifo(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("greetings"));
    let plugin = pipehost(
        &[&format!("greetings={pipe},w")],
        &["greetings", "hello", "pipe"],
    );
    // Opening a named pipe waits for the other side.
    assert_eq!(read(pipe), "hello pipe\n");
    ends_well(plugin);
}
