// Builds crates of this workspace for a target of WASI, from a build script.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds `packages` of the workspace at `root` for `target`, and gives the folder that the .wasm files
/// are in. Ends the build with one line of advice where that is impossible.
pub(crate) fn build(root: &Path, target: &str, packages: &[&str]) -> PathBuf {
    ensure_target(target);
    for watched in ["Cargo.toml", "Cargo.lock", "guest"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let target_dir = target_dir();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--release", "--quiet", "--target", target, "--target-dir"])
        .arg(&target_dir);
    for package in packages {
        cargo.args(["--package", package]);
    }
    // What concerns the host's own build must not leak into the guests'.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let leaks = ["CARGO_FEATURE_", "CARGO_CFG_", "CARGO_PROFILE_", "CARGO_BUILD_"];
        if leaks.iter().any(|prefix| text.starts_with(prefix))
            || ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"].contains(&&*text)
            || ["RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR", "CARGO_MAKEFLAGS"].contains(&&*text)
        {
            cargo.env_remove(&name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", without_places().join("\x1f"));
    let status = cargo.stdin(Stdio::null()).status();
    if !matches!(&status, Ok(status) if status.success()) {
        fail(&format!("the guests {packages:?} could not be built: {status:?}"));
    }
    target_dir.join(target).join("release")
}

/// Flags by which the guests are the same, byte for byte, wherever the sources of dependencies lie, and whichever
/// mirror they come from.
fn without_places() -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let Some(home) = home else { return Vec::new() };
    let mut places = vec![(home.clone(), "/cargo")];
    // The last one that fits counts.
    let registries = std::fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    places.extend(registries.map(|registry| (registry.path(), "/cargo/registry/src")));
    let flag = |(from, to): (PathBuf, &str)| format!("--remap-path-prefix={}={to}", from.display());
    places.into_iter().map(flag).collect()
}

/// A folder of its own beside the host's build, so that the two cargo processes do not wait for
/// each other's lock.
fn target_dir() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let build = out.ancestors().find(|folder| folder.ends_with("build"));
    match build.and_then(Path::parent).and_then(Path::parent) {
        Some(target) => target.join("guests"),
        None => out.join("guests"),
    }
}

fn ensure_target(target: &str) {
    if has_target(target) {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", target]).status();
    if !matches!(added, Ok(status) if status.success()) || !has_target(target) {
        fail(&format!("the Rust target {target} is missing; type: rustup target add {target}"));
    }
}

fn has_target(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let libdir =
        Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    match libdir {
        Ok(output) => Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir(),
        Err(_) => false,
    }
}

fn fail(advice: &str) -> ! {
    println!("cargo::error={advice}");
    std::process::exit(1);
}
