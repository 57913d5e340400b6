//! The interfaces that a guest sees: `pipehost:pipes` in both versions, and its standard streams.
//! All are thin layers over [`crate::pipe`].

mod complaint;
mod files;
mod folders;
#[cfg(any(feature = "p2", feature = "p3"))]
mod handles;
#[cfg(feature = "p1")]
mod p1;
pub(crate) mod p2;
#[cfg(feature = "p3")]
pub(crate) mod p3;
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
///
/// See the second example of [the crate](crate).
pub trait PipesView: Send {
    /// Returns the guest's pipes and the table in which its handles live.
    fn pipes(&mut self) -> PipesCtxView<'_>;
}

/// What [`PipesView::pipes`] returns.
///
/// See the second example of [the crate](crate).
pub struct PipesCtxView<'a> {
    /// The guest's pipes.
    pub ctx: &'a mut Pipes,
    /// The table in which the guest's handles live. `wasmtime-wasi` uses it, too, as streams pass
    /// from one to the other.
    pub table: &'a mut ResourceTable,
}

/// Names [`PipesCtxView`] to the generated `add_to_linker` functions.
pub(crate) struct HasPipes;

impl HasData for HasPipes {
    type Data<'a> = PipesCtxView<'a>;
}

/// Adds `pipehost:pipes` to `linker`, both 0.2.0 and 0.3.0; only 0.2.0 where the linker's engine has
/// no concurrency ([`wasmtime::Config::concurrency_support`]). Does not add `wasi:io`:
/// `wasmtime_wasi::p2::add_to_linker_async` does.
///
/// The guest may start no children, unless
/// [`Children::grant_to`](crate::children::Children::grant_to) says which.
///
/// When the guest has ended and its store is dropped, await
/// [`PendingWrites::idle`](crate::pipe::PendingWrites::idle): its last writes may be under way.
///
/// See the second example of [the crate](crate).
///
/// # Errors
/// Fails if the linker has an instance of that name already.
pub fn add_to_linker<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    #[cfg(feature = "p2")]
    p2::add_to_linker(linker)?;
    #[cfg(feature = "p3")]
    if is_concurrent(linker.engine()) {
        p3::add_to_linker(linker)?;
    }
    let _ = linker;
    Ok(())
}

/// Returns whether components on this engine can use concurrency. An engine does not say so itself, but
/// refuses functions that need it.
#[cfg(feature = "p3")]
fn is_concurrent(engine: &wasmtime::Engine) -> bool {
    let mut probe = Linker::<()>::new(engine);
    probe.root().func_wrap_concurrent("probe", |_, (): ()| Box::pin(async { Ok(()) })).is_ok()
}
