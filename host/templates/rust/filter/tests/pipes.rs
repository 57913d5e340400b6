//! Runs the plugin under pipehost, between two named pipes.

mod support;

use std::path::Path;
use std::{fs, thread};

use support::{ends_well, fifo, pipehost, read};

#[test]
fn what_is_written_to_one_pipe_comes_out_of_the_other() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [input, output] = ["in", "out"].map(|name| fifo(&folder.join(name)));
    let plugin = pipehost(&[&format!("in={input},r"), &format!("out={output},w")], &[]);
    // Opening a named pipe waits for the other side.
    let writing = thread::spawn(move || fs::write(input, "hello\npipe\n"));
    assert_eq!(read(output), "HELLO\nPIPE\n");
    writing.join().unwrap().unwrap();
    ends_well(plugin);
}
