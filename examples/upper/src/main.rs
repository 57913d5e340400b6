//! Makes ASCII letters upper-case, from the pipe `in` (or stdin) to the pipe `out` (or stdout).

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut input = pipehost_guest::input()?;
    let mut output = pipehost_guest::output()?;
    let mut buf = vec![0; 64 * 1024];
    loop {
        let n = input.read(&mut buf)?;
        if n == 0 {
            return output.flush();
        }
        make_upper(&mut buf[..n]);
        output.write_all(&buf[..n])?;
    }
}

/// Sixteen bytes at a time: a component's engine has SIMD, but code is compiled for it only where
/// that is said.
#[cfg_attr(target_family = "wasm", target_feature(enable = "simd128"))]
fn make_upper(bytes: &mut [u8]) {
    bytes.make_ascii_uppercase();
}
