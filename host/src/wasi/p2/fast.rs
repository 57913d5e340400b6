//! Functions of `wasi:io/streams` for streams that are pipe ends of pipehost's: without a copy, and without what
//! wasmtime-wasi's do for streams of any kind.

use wasmtime::component::{Linker, Resource, ResourceTable, WasmList};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::streams::{self, Host as _, HostOutputStream as _};

use super::super::{PipesView, SharedReader, SharedWriter, transfer, try_transfer};
use super::streams::{Eof, READERS, TOO_LONG, WRITERS, failed, write};
use crate::engine_names::STREAMS_0_2;
use crate::pipe::{PERMIT, Transfer, TransferFault};

/// The most that one call moves.
const MOST_AT_ONCE: usize = 1024 * 1024;

/// Replaces functions of `output-stream` in `linker`, which must have `wasi:io` already. Streams that
/// are not pipehost's are treated as before.
///
/// - `write` goes to write(2) from the guest's own memory.
/// - `check-write` and `blocking-flush` ask the writer, and no kernel where what is written may be deferred.
/// - `splice` and `blocking-splice` between two pipe ends are splice(2): the guest never sees the
///   bytes, and nobody copies them. What was not moved stays in the pipe.
///
/// They wait as the interface says: `write` and `splice` never; `blocking-splice` until a byte has
/// moved, or one of the two streams has come to its end or has failed.
///
/// # Errors
/// Where a name is taken and may not be shadowed: this sets `allow_shadowing`, and takes it back.
pub(crate) fn add_fast_streams_to_linker<T: PipesView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = add(linker);
    linker.allow_shadowing(false);
    added
}

type Args = (Resource<DynOutputStream>, Resource<DynInputStream>, u64);

fn add<T: PipesView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut streams = linker.instance(STREAMS_0_2)?;
    streams.func_wrap(
        "[method]output-stream.write",
        |mut store, (to, bytes): (Resource<DynOutputStream>, WasmList<u8>)| {
            let table = store.data_mut().pipes().table;
            let written = match WRITERS.behind(&**table.get(&to)?).as_deref() {
                Some((writer, eof)) => write(writer, *eof, bytes.as_le_slice(&store)),
                // Looked at before it is copied: `check-write` never permits more.
                None if bytes.as_le_slice(&store).len() > PERMIT => {
                    Err(StreamError::trap(TOO_LONG))
                }
                None => {
                    let bytes = bytes.as_le_slice(&store).to_vec();
                    store.data_mut().pipes().table.write(to, bytes)
                }
            };
            Ok((told(store.data_mut().pipes().table, written)?,))
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut store, (to,): (Resource<DynOutputStream>,)| {
            let table = store.data_mut().pipes().table;
            let permit = match WRITERS.behind(&**table.get(&to)?).as_deref() {
                Some((writer, eof)) => {
                    writer.permit().map(|n| n as u64).map_err(|fault| eof.of(fault))
                }
                None => table.check_write(to),
            };
            Ok((told(table, permit)?,))
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-flush",
        |mut store, (to,): (Resource<DynOutputStream>,)| {
            // Most often there is nothing to wait for: a small future is cheaper.
            let table = store.data_mut().pipes().table;
            if let Ok(stream) = table.get(&to)
                && WRITERS.behind(&**stream).is_some_and(|output| output.0.is_deferred())
            {
                return Box::new(std::future::ready(Ok((Ok(()),))));
            }
            Box::new(async move {
                let table = store.data_mut().pipes().table;
                let flushed = match WRITERS.behind(&**table.get(&to)?).as_deref() {
                    Some((writer, eof)) => writer.delivered().await.map_err(|fault| eof.of(fault)),
                    None => table.blocking_flush(to).await,
                };
                Ok((told(store.data_mut().pipes().table, flushed)?,))
            })
        },
    )?;
    streams.func_wrap("[method]output-stream.splice", |mut store, (to, from, most): Args| {
        let table = store.data_mut().pipes().table;
        let moved = match Ends::of(table, &to, &from)? {
            Some(ends) => ends.splice(clamp(most)),
            None => table.splice(to, from, most),
        };
        Ok((told(table, moved)?,))
    })?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |mut store, (to, from, most): Args| {
            Box::new(async move {
                let table = store.data_mut().pipes().table;
                let moved = match Ends::of(table, &to, &from)? {
                    Some(ends) => ends.blocking_splice(clamp(most)).await,
                    None => table.blocking_splice(to, from, most).await,
                };
                Ok((told(table, moved)?,))
            })
        },
    )
}

fn clamp(most: u64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX).min(MOST_AT_ONCE)
}

fn told<T>(
    table: &mut ResourceTable,
    done: StreamResult<T>,
) -> wasmtime::Result<Result<T, streams::StreamError>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error) => Ok(Err(table.convert_stream_error(error)?)),
    }
}

/// Two streams that are both ours.
struct Ends {
    reader: SharedReader,
    writer: SharedWriter,
    eof: Eof,
}

impl Ends {
    fn of(
        table: &ResourceTable,
        to: &Resource<DynOutputStream>,
        from: &Resource<DynInputStream>,
    ) -> wasmtime::Result<Option<Self>> {
        let reader = READERS.behind(&**table.get(from)?);
        let writer = WRITERS.behind(&**table.get(to)?);
        Ok(match (reader, writer.as_deref()) {
            (Some(reader), Some((writer, eof))) if !writer.is_hushed() => {
                let (reader, writer) = (SharedReader::clone(&reader), writer.clone());
                Some(Self { reader, writer, eof: *eof })
            }
            _ => None,
        })
    }

    fn splice(&self, most: usize) -> StreamResult<u64> {
        if most == 0 {
            return Ok(0);
        }
        let moved = try_transfer(&self.reader, &self.writer, most);
        match moved.map_err(|fault| self.error(fault))? {
            Transfer::Bytes(n) => Ok(n as u64),
            Transfer::NoBytes | Transfer::NoRoom => Ok(0),
            Transfer::End => Err(StreamError::Closed),
        }
    }

    async fn blocking_splice(&self, most: usize) -> StreamResult<u64> {
        if most == 0 {
            self.writer.ready().await;
            return self.writer.permit().map(|_| 0).map_err(|fault| self.eof.of(fault));
        }
        match transfer(&self.reader, &self.writer, most).await {
            Ok(Some(n)) => Ok(n as u64),
            Ok(None) => Err(StreamError::Closed),
            Err(fault) => Err(self.error(fault)),
        }
    }

    fn error(&self, fault: TransferFault) -> StreamError {
        match fault {
            TransferFault::Reading(fault) => failed(fault),
            TransferFault::Writing(fault) => self.eof.of(fault),
        }
    }
}
