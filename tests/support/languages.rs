//! The tools that build guests in other languages, which `.ci/languages` installs.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a part of tests")]

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, iter};

/// Where the tools are.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join("languages")
}

/// Returns a PATH with the tested pipehost, and the tools before all others.
pub fn path() -> OsString {
    let bin = Path::new(env!("CARGO_BIN_EXE_pipehost")).parent().unwrap();
    let others = env::var_os("PATH").unwrap_or_default();
    let all = iter::once(tools()).chain([bin.to_owned()]).chain(env::split_paths(&others));
    env::join_paths(all).unwrap()
}

/// Returns whether there is a program of that name. Where there is none, says so, past what collects the
/// output of tests.
///
/// # Panics
/// Panics then if PIPEHOST_LANGUAGES is `required`, as in `.ci/run`: no test is left out there.
#[track_caller]
pub fn has(program: &str) -> bool {
    let has = env::split_paths(&path()).any(|folder| folder.join(program).exists());
    if !has {
        let is_required = env::var_os("PIPEHOST_LANGUAGES").is_some_and(|it| it == "required");
        assert!(!is_required, "{program} is missing: type .ci/languages");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let line = format!("NOT RUN: {test}, for want of {program}: type .ci/languages\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    has
}
