//! Calls on pipes that a guest makes, against a model of pipes. The first byte chooses the guest: even
//! for WASI 0.2, odd for 0.3.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use pipehost_test_calls::Version;

#[path = "../../tests/support/calls.rs"]
mod calls;
mod sigpipe;

thread_local! {
    static CALLER: OnceCell<calls::Caller> = const { OnceCell::new() };
}

fn caller() -> calls::Caller {
    let folder = std::env::temp_dir().join(format!("pipehost-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for a FIFO");
    let caller = calls::Caller::new(&folder, pipehost_test_guests::guest);
    // It is held open, and the path is not needed any more.
    let _ = std::fs::remove_dir_all(&folder);
    caller
}

fuzz_target!(init: sigpipe::ignore(), |bytes: &[u8]| {
    let Some((first, program)) = bytes.split_first() else { return };
    let version = if first & 1 == 0 { Version::V0_2 } else { Version::V0_3 };
    CALLER.with(|cell| {
        if let Err(wrong) = cell.get_or_init(caller).check(version, program) {
            panic!("{version:?}: {wrong}");
        }
    });
});
