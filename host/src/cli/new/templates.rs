//! The plugins that `new` makes: the files in host/templates, and what is said of them.

use super::super::args::{Kind, Language};

/// A file of a template. Its text has placeholders.
#[derive(Clone, Copy)]
pub(super) struct File {
    /// Where it is in the new folder.
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// A kind of plugin in a language.
pub(super) struct Template {
    /// What it is, in the middle of a sentence.
    pub(super) about: &'static str,
    /// What it does, as a sentence.
    pub(super) sentence: &'static str,
    /// The file to begin with.
    pub(super) source: &'static str,
    /// The name of the component, and the folder that it is built in.
    pub(super) wasm: &'static str,
    pub(super) built_in: &'static str,
    /// The commands that build, run and test it. `@PLUGIN@` is the component.
    pub(super) build: &'static str,
    pub(super) run: &'static [&'static str],
    pub(super) test: &'static str,
    files: [&'static [File]; 2],
}

macro_rules! files {
    ($($path:literal = $from:literal),* $(,)?) => {
        &[$(File { path: $path, text: include_str!(concat!("../../../", $from)) }),*]
    };
}

const RUST_0_2: &[File] = files![
    ".gitignore" = "templates/rust/gitignore",
    "README.md" = "templates/rust/README.md",
    "wit/pipes.wit" = "wit/p2/pipes.wit",
    "wit/deps/wasi-io.wit" = "wit/p2/deps/wasi-io.wit",
];
const RUST_0_3: &[File] = files![
    ".gitignore" = "templates/rust/gitignore",
    "README.md" = "templates/rust/README.md",
    "wit/pipes.wit" = "wit/p3/pipes.wit",
    "wit/deps/wasi-cli.wit" = "wit/p3/deps/wasi-cli.wit",
];
const RUST_FILTER: &[File] = files![
    "Cargo.toml" = "templates/rust/Cargo.toml.in",
    "src/main.rs" = "templates/rust/filter/src/main.rs",
    "tests/pipes.rs" = "templates/rust/filter/tests/pipes.rs",
    "tests/support/mod.rs" = "templates/rust/support/mod.rs",
];
const RUST_COMMAND: &[File] = files![
    "Cargo.toml" = "templates/rust/Cargo.toml.in",
    "src/main.rs" = "templates/rust/command/src/main.rs",
    "tests/pipes.rs" = "templates/rust/command/tests/pipes.rs",
    "tests/support/mod.rs" = "templates/rust/support/mod.rs",
];
const RUST_ASYNC: &[File] = files![
    "Cargo.toml" = "templates/rust/async/Cargo.toml.in",
    "src/lib.rs" = "templates/rust/async/src/lib.rs",
    "tests/pipes.rs" = "templates/rust/async/tests/pipes.rs",
    "tests/support/mod.rs" = "templates/rust/support/mod.rs",
];
const RUST_MCP: &[File] = files![
    "Cargo.toml" = "templates/rust/mcp/Cargo.toml.in",
    "src/main.rs" = "templates/rust/mcp/src/main.rs",
    "tests/pipes.rs" = "templates/rust/mcp/tests/pipes.rs",
];

const C: &[File] = files![
    ".gitignore" = "templates/c/gitignore",
    "README.md" = "templates/c/README.md",
    "build" = "templates/c/build",
    "sdk/build" = "templates/c/sdk/build",
    "sdk/bindings.c" = "templates/c/sdk/bindings.c",
    "sdk/bindings.h" = "templates/c/sdk/bindings.h",
    "sdk/pipehost.c" = "templates/c/sdk/pipehost.c",
    "sdk/pipehost.h" = "templates/c/sdk/pipehost.h",
    "sdk/wit/world.wit" = "templates/c/sdk/world.wit",
    "sdk/wit/deps/pipes.wit" = "wit/p2/pipes.wit",
    "sdk/wit/deps/wasi-io.wit" = "wit/p2/deps/wasi-io.wit",
];
const C_FILTER: &[File] =
    files!["src/main.c" = "templates/c/filter/main.c", "test" = "templates/scripts/filter-test",];
const C_COMMAND: &[File] =
    files!["src/main.c" = "templates/c/command/main.c", "test" = "templates/scripts/command-test",];

const PYTHON: &[File] = files![
    ".gitignore" = "templates/python/gitignore",
    "README.md" = "templates/python/README.md",
    "build" = "templates/python/build",
    "sdk/build" = "templates/python/sdk/build",
    "sdk/pipehost.py" = "templates/python/sdk/pipehost.py",
    "sdk/wit/world.wit" = "templates/python/sdk/world.wit",
    "sdk/wit/deps/pipes.wit" = "wit/p2/pipes.wit",
    "sdk/wit/deps/wasi-io.wit" = "wit/p2/deps/wasi-io.wit",
];
const PYTHON_FILTER: &[File] = files![
    "main.py" = "templates/python/filter/main.py",
    "test" = "templates/scripts/filter-test",
];
const PYTHON_COMMAND: &[File] = files![
    "main.py" = "templates/python/command/main.py",
    "test" = "templates/scripts/command-test",
];

const JS: &[File] = files![
    ".gitignore" = "templates/js/gitignore",
    "README.md" = "templates/js/README.md",
    "build" = "templates/js/build",
    "sdk/build" = "templates/js/sdk/build",
    "sdk/pipehost.js" = "templates/js/sdk/pipehost.js",
    "sdk/wit/world.wit" = "templates/js/sdk/world.wit",
    "sdk/wit/deps/pipes.wit" = "wit/p3/pipes.wit",
    "sdk/wit/deps/wasi-cli.wit" = "wit/p3/deps/wasi-cli.wit",
];
const JS_FILTER: &[File] =
    files!["main.js" = "templates/js/filter/main.js", "test" = "templates/scripts/filter-test",];
const JS_COMMAND: &[File] =
    files!["main.js" = "templates/js/command/main.js", "test" = "templates/scripts/command-test",];
const JS_ASYNC: &[File] =
    files!["main.js" = "templates/js/async/main.js", "test" = "templates/scripts/async-test",];

impl Template {
    /// Returns the template, if that language has that kind.
    pub(super) fn of(lang: Language, kind: Kind) -> Option<Self> {
        let (common, own, source): (&[File], &[File], _) = match (lang, kind) {
            (Language::Rust, Kind::Filter) => (RUST_0_2, RUST_FILTER, "src/main.rs"),
            (Language::Rust, Kind::Command) => (RUST_0_2, RUST_COMMAND, "src/main.rs"),
            (Language::Rust, Kind::Async) => (RUST_0_3, RUST_ASYNC, "src/lib.rs"),
            (Language::Rust, Kind::Mcp) => (RUST_0_2, RUST_MCP, "src/main.rs"),
            (Language::C, Kind::Filter) => (C, C_FILTER, "src/main.c"),
            (Language::C, Kind::Command) => (C, C_COMMAND, "src/main.c"),
            (Language::Python, Kind::Filter) => (PYTHON, PYTHON_FILTER, "main.py"),
            (Language::Python, Kind::Command) => (PYTHON, PYTHON_COMMAND, "main.py"),
            (Language::Js, Kind::Filter) => (JS, JS_FILTER, "main.js"),
            (Language::Js, Kind::Command) => (JS, JS_COMMAND, "main.js"),
            (Language::Js, Kind::Async) => (JS, JS_ASYNC, "main.js"),
            _ => return None,
        };
        let (about, sentence, run): (_, _, &[&str]) = match kind {
            Kind::Filter => (
                "a filter",
                "Reads lines from its stdin, or the pipe `in`, and writes them in capitals to its stdout, or the pipe \
                 `out`.",
                &["echo 'hello, pipe' | pipehost run @PLUGIN@"],
            ),
            Kind::Command => (
                "a command",
                "Writes the words that are its arguments into a granted pipe.",
                &[
                    "mkfifo greetings",
                    "cat greetings &",
                    "pipehost run @PLUGIN@ --fifo greetings,w -- greetings hello, pipe",
                ],
            ),
            Kind::Async => (
                "a command that waits for several pipes at once",
                "Passes on what comes from all granted pipes, as it comes, to its stdout, or the pipe `out`.",
                &[
                    "mkfifo a b",
                    "echo hello > a & echo pipe > b &",
                    "pipehost run @PLUGIN@ --fifo a,r --fifo b,r",
                ],
            ),
            Kind::Mcp => (
                "a server of the Model Context Protocol",
                "A server of the Model Context Protocol on stdin and stdout: its tool counts words.",
                &[
                    r#"echo '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' | pipehost run @PLUGIN@"#,
                ],
            ),
        };
        let (build, test, built_in) = match lang {
            Language::Rust => (
                "cargo build --release --target wasm32-wasip2",
                "cargo test",
                "target/wasm32-wasip2/release/",
            ),
            _ => ("sh build", "sh test", ""),
        };
        // A library's file is named as Rust names it.
        let wasm = match (lang, kind) {
            (Language::Rust, Kind::Async) => "plugin_name.wasm",
            _ => "plugin-name.wasm",
        };
        let files = [common, own];
        Some(Self { about, sentence, source, wasm, built_in, build, run, test, files })
    }

    pub(super) fn files(&self) -> impl Iterator<Item = File> {
        self.files.into_iter().flatten().copied()
    }
}
