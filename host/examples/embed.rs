//! A host of its own that gives a guest of WASI 0.2 one FIFO, under the name `in`.
use pipehost::{Fifo, Grant, Pipes, PipesCtxView, PipesView};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    pipes: Pipes,
}
impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
impl PipesView for State {
    fn pipes(&mut self) -> PipesCtxView<'_> {
        PipesCtxView { ctx: &mut self.pipes, table: &mut self.table }
    }
}
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let [guest, fifo] = [1, 2].map(|at| std::env::args().nth(at).expect("embed GUEST FIFO"));
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    pipehost::add_to_linker::<State>(&mut linker)?;
    let grant = Grant::fifo("in".parse()?, Fifo::prepare(fifo.as_ref(), Default::default())?);
    let (pipes, table) = (Pipes::builder().grant(grant)?.build(), ResourceTable::new());
    let (wasi, pending_writes) =
        (WasiCtx::builder().inherit_stdio().build(), pipes.pending_writes().clone());
    let mut store = Store::new(&engine, State { table, wasi, pipes });
    let component = Component::from_file(&engine, guest)?;
    let guest = Command::instantiate_async(&mut store, &component, &linker).await?;
    let ended = guest.wasi_cli_run().call_run(&mut store).await?;
    drop(store);
    pending_writes.idle().await; // what the guest wrote last
    ended.map_err(|()| wasmtime::Error::msg("failed"))
}
