//! The `pipehost` command: see [`pipehost::cli`].

#[global_allocator]
static MEMORY: pipehost::cli::Allocator = pipehost::cli::Allocator;

fn main() {
    std::process::exit(pipehost::cli::main().into());
}
