//! Runs the recipes of docs/cookbook, and docs/guide.md, word for word, with the real programs, and then what may go wrong
//! with each. `.ci/cookbook` installs those programs.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod apache;
mod editor;
mod git;
mod guide;
mod mcp;
mod recipe;
mod rsyslog;
mod shell;
mod systemd;
