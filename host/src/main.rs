//! The `pipehost` command: see [`pipehost::cli`].

fn main() {
    std::process::exit(pipehost::cli::main().into());
}
