//! Components and modules, damaged and strange, through loading and running.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

#[path = "../../tests/support/component.rs"]
mod component;
#[path = "component/sections.rs"]
mod sections;
mod sigpipe;

thread_local! {
    static HOST: OnceCell<component::Host> = const { OnceCell::new() };
}

fuzz_target!(init: sigpipe::ignore(), |bytes: &[u8]| {
    HOST.with(|host| host.get_or_init(component::Host::new).try_run(bytes));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match sections::mutated(&data[..size], max_size, seed, &mut fuzzer_mutate) {
        Some(mutated) => {
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
