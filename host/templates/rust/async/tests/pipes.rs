//! Runs the plugin under pipehost, on three named pipes.

mod support;

use std::path::Path;
use std::{fs, thread};

use support::{ends_well, fifo, pipehost, read};

#[test]
fn what_is_written_to_two_pipes_comes_out_of_a_third() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [a, b, out] = ["a", "b", "out"].map(|name| fifo(&folder.join(name)));
    let fifos = [
        format!("a={a},r"),
        format!("b={b},r"),
        format!("out={out},w"),
    ];
    let plugin = pipehost(&fifos.each_ref().map(|it| &**it), &[]);
    // Opening a named pipe waits for the other side.
    let writing =
        [(a, "one\n"), (b, "two\n")].map(|it| thread::spawn(move || fs::write(it.0, it.1)));
    let text = read(out);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "two"]);
    writing.map(|it| it.join().unwrap().unwrap());
    ends_well(plugin);
}
