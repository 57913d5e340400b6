//! The limits that an operator sets: each in every state, in both versions of WASI, and where bytes
//! are handed on unread.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[test]
fn placeholder() {}
