//! Where the guests of the tests are.

use std::path::{Path, PathBuf};

/// The component that was built from the crate `name`, in tests/programs or examples.
///
/// # Panics
/// Where there is none.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("TEST_GUESTS")).join(format!("{}.wasm", name.replace('-', "_")));
    let path = match path.exists() {
        true => path,
        false => Path::new(env!("TEST_GUESTS")).join(format!("{name}.wasm")),
    };
    assert!(path.exists(), "no guest {name} at {}", path.display());
    path
}

/// The module of WASI 0.1 that was built from the crate `name`, in tests/programs.
///
/// # Panics
/// Where there is none.
pub fn module(name: &str) -> PathBuf {
    let path = Path::new(env!("TEST_MODULES")).join(format!("{name}.wasm"));
    assert!(path.exists(), "no module {name} at {}", path.display());
    path
}
