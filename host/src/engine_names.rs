//! The names and texts of wasmtime, wasmtime-wasi, tokio and rayon on which this crate relies, in
//! one place. A new version may change them, and no compiler notices.

/// The version of wasmtime, as reports tell it.
pub(crate) const WASMTIME: &str = "48.0.8";

/// The interface of wasmtime-wasi's files of WASI 0.2. Some of its functions are shadowed.
pub(crate) const FILES_0_2: &str = "wasi:filesystem/types@0.2.12";

/// The same interface of WASI 0.3.
pub(crate) const FILES_0_3: &str = "wasi:filesystem/types@0.3.0";

/// The interface of wasmtime-wasi's streams of WASI 0.2. Some of its functions are shadowed.
pub(crate) const STREAMS_0_2: &str = "wasi:io/streams@0.2.12";

/// Texts of the errors that a guest with too many handles gets.
pub(crate) const HANDLES: [&str; 2] = ["handle limit", "no free keys"];

/// The text of the error that a call which passes too many bytes gets.
pub(crate) const CALL_BYTES: &str = "for hostcalls";

/// Texts of the panics if no thread can be started: tokio's, and rayon's.
pub(crate) const NO_THREAD: [&str; 2] = ["spawn worker thread", "ThreadPoolBuildError"];

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::component::{Linker, ResourceTable};
    use wasmtime_wasi::{ResourceTableError, WasiCtx, WasiCtxView, WasiView};

    struct State(WasiCtx, ResourceTable);

    impl WasiView for State {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView { ctx: &mut self.0, table: &mut self.1 }
        }
    }

    /// A function that exists cannot be defined again.
    #[test]
    fn interfaces_have_these_names() {
        let engine = crate::engine::Engine::new().unwrap();
        let mut linker = Linker::<State>::new(engine.concurrent().unwrap());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
        for (interface, function) in [
            (FILES_0_2, "[method]descriptor.open-at"),
            (FILES_0_3, "[method]descriptor.open-at"),
            (STREAMS_0_2, "[method]output-stream.write"),
        ] {
            let mut instance = linker.instance(interface).unwrap();
            let again = instance.func_wrap(function, |_, (): ()| Ok(()));
            assert!(again.is_err(), "{interface} has no {function} any more");
        }
    }

    #[test]
    fn the_version_is_that_of_the_lock() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n")));
    }

    #[test]
    fn a_full_table_says_so() {
        let mut table = ResourceTable::new();
        table.set_max_capacity(0);
        let error = table.push(()).unwrap_err();
        assert!(matches!(error, ResourceTableError::Full), "{error:?}");
        assert!(error.to_string().contains(HANDLES[1]), "{error}");
    }
}
