//! What a guest sees: `pipehost:pipes` in both versions, and its standard streams, all thin over
//! [`crate::pipe`].

mod complaint;
mod files;
mod folders;
#[cfg(any(feature = "p2", feature = "p3"))]
mod handles;
#[cfg(feature = "p1")]
mod p1;
pub(crate) mod p2;
#[cfg(feature = "p3")]
mod p3;
mod shared;
mod stdio;

use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::pipe::Pipes;

pub(crate) use files::add_to_linker as add_files_to_linker;
pub(crate) use folders::add_to_linker as add_folders_to_linker;
#[cfg(feature = "p1")]
pub(crate) use p1::{ModuleView, Standard, add_to_linker as add_p1_to_linker};
pub(crate) use shared::{SharedReader, SharedWriter, StreamSlot, transfer, try_transfer};
pub use stdio::Stdio;
#[cfg(feature = "p3")]
pub(crate) use stdio::{StdioCtxView, StdioView, add_to_linker as add_stdio_to_linker};

/// Gives pipehost access to a store's data: implement it for the `T` of your `Store<T>`.
pub trait PipesView: Send {
    /// The guest's pipes and the table that its handles live in.
    fn pipes(&mut self) -> PipesCtxView<'_>;
}

/// What [`PipesView::pipes`] returns.
pub struct PipesCtxView<'a> {
    /// The guest's pipes.
    pub ctx: &'a mut Pipes,
    /// Where the guest's handles live: the table that `wasmtime-wasi` uses too, as streams pass
    /// from one to the other.
    pub table: &'a mut ResourceTable,
}

/// Names [`PipesCtxView`] to `add_to_linker` functions, as `wasmtime_wasi::cli::WasiCli` does for
/// `wasi:cli`.
#[derive(Debug)]
pub struct HasPipes;

impl HasData for HasPipes {
    type Data<'a> = PipesCtxView<'a>;
}

/// Adds `pipehost:pipes` to `linker`, 0.2.0 and 0.3.0 both. `wasi:io` is not added: that is
/// `wasmtime_wasi::p2::add_to_linker_async`'s to do.
///
/// When the guest is done and its store dropped, await [`PendingWrites::idle`](crate::pipe::PendingWrites::idle):
/// what it wrote last may be under way.
///
/// # Errors
/// Where the linker has an instance of that name already.
pub fn add_to_linker<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    #[cfg(feature = "p2")]
    p2::add_to_linker(linker)?;
    #[cfg(feature = "p3")]
    p3::add_to_linker(linker)?;
    let _ = linker;
    Ok(())
}
