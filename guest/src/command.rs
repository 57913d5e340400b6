//! Starts an `async` program: the export `wasi:cli/run` of WASI 0.3.

/// Makes the component run `$run`, an `async fn() -> std::io::Result<()>`, when it is started.
///
/// For a crate with `crate-type = ["cdylib"]`: a program with a `fn main` exports the `run` of WASI
/// 0.2, which cannot wait for a stream.
///
/// ```no_run
/// use pipehost_guest::stream::{copy, open_reader, open_writer};
///
/// pipehost_guest::async_main!(run);
///
/// async fn run() -> std::io::Result<()> {
///     let mut input = open_reader("in")?;
///     let mut output = open_writer("out")?;
///     copy(&mut input, &mut output).await?;
///     output.close().await
/// }
/// # fn main() {}
/// ```
///
/// An error is printed on stderr and makes the exit status 1, as with a `main` that returns one.
#[macro_export]
macro_rules! async_main {
    ($run:path) => {
        const _: () = {
            struct Command;

            impl $crate::__private::Guest for Command {
                async fn run() -> ::core::result::Result<(), ()> {
                    $crate::__private::report($run().await)
                }
            }

    $crate::__private::export_command!(Command with_types_in $crate::__private::bindings);
        };
    };
}

#[doc(hidden)]
pub mod __private {
    #![allow(missing_docs, reason = "for the macro alone")]

    pub mod bindings {
        wit_bindgen::generate!({
            inline: "
                package pipehost:guest;

                world command {
                    export wasi:cli/run@0.3.0;
                }
            ",
            path: "wit-p3",
            world: "pipehost:guest/command",
            generate_all,
            pub_export_macro: true,
            export_macro_name: "export_command",
        });
    }

    pub use bindings::export_command;
    pub use bindings::exports::wasi::cli::run::Guest;

    /// The error type is the `result` of `wasi:cli/run`.
    #[allow(clippy::result_unit_err)]
    pub fn report(result: std::io::Result<()>) -> Result<(), ()> {
        result.map_err(|error| eprintln!("Error: {error}"))
    }
}
