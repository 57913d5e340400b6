//! Filters records, and serves tools, with what the SDK has for that.
//!
//! - `filter FRAMING [BOUND]`: makes the ASCII letters of each record upper-case.
//! - `mcp`: a server with some tools.

use std::io;
use std::thread;
use std::time::Duration;

use pipehost_guest::mcp::{Call, Server, Tool};
use pipehost_guest::records::{
    Bytes, ContentLength, Filter, Framing, Json, LengthPrefixed, Lines, Nul,
};
use pipehost_guest::serde_json::Value;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let bound = args.get(2).map_or(1 << 20, |text| text.parse().expect("a number"));
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["filter", "lines", ..] => upper(Lines, bound),
        ["filter", "nul", ..] => upper(Nul, bound),
        ["filter", "bytes", ..] => upper(Bytes, bound),
        ["filter", "length", ..] => upper(LengthPrefixed::default(), bound),
        ["filter", "content-length", ..] => upper(ContentLength::default(), bound),
        ["filter", "text", ..] => upper(Json::default(), bound),
        ["filter", "json", ..] => Filter::open()?.bound(bound).json(|mut value: Value, out| {
            value["seen"] = true.into();
            out.put_json(&value)
        }),
        ["mcp"] => serve(),
        _ => panic!("{args:?}"),
    }
}

fn upper(framing: impl Framing + Clone, bound: usize) -> io::Result<()> {
    Filter::open()?
        .bound(bound)
        .records(framing, |record, out| out.put(&record.to_ascii_uppercase()))
}

fn serve() -> io::Result<()> {
    let read = Tool::new("read", "Reads a file").required("path", "string", "Which file");
    Server::new("sdk2", "1")
        .tool(Tool::new("echo", "Returns its arguments"), |arguments: Value, _call| {
            io::Result::Ok(arguments)
        })
        .tool(read, |arguments: Value, _call| {
            std::fs::read_to_string(arguments["path"].as_str().unwrap_or_default())
        })
        .tool(Tool::new("wait", "Waits until it is cancelled"), |_: Value, call: &mut Call<'_>| {
            call.log(pipehost_guest::mcp::Level::Info, "waiting");
            while !call.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            eprintln!("wait: cancelled");
            Err::<(), _>("cancelled")
        })
        .run()
}
