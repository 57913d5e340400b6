//! Builds the guests that are bundled into the binary, from examples/.

use std::env;
use std::path::Path;

#[path = "build_guests.rs"]
mod build_guests;

const BUNDLED: [&str; 4] = ["cat", "lines", "tee", "upper"];

fn main() {
    let host = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&host).parent().expect("host/ is inside the workspace");
    let built = build_guests::build(root, &BUNDLED);
    println!("cargo::rerun-if-changed=build_guests.rs");
    println!("cargo::rerun-if-changed=build.rs");
    for name in BUNDLED {
        println!("cargo::rerun-if-changed={}", root.join("examples").join(name).display());
    }
    println!("cargo::rustc-env=BUNDLED_GUESTS={}", built.display());
}
