//! `stream<u8>` over pipe ends: read(2) directly into the guest's buffer, write(2) directly from
//! it.

use std::any::{Any, TypeId};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::sync::oneshot;
use wasmtime::component::{
    Accessor, AccessorTask, ComponentType, Destination, FutureReader, Lift, Lower, Source,
    StreamConsumer, StreamProducer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};

use crate::pipe::{Fault, Read, TransferFault};
use crate::turn;
use crate::wasi::{SharedReader, SharedWriter, StreamSlot, transfer};

/// How many bytes are read at once if the stream's reader is the host itself, not a guest.
const HOST_BUFFER: usize = 64 * 1024;

/// How many bytes of a stream that is handed on unread are moved by one call.
const MOST_AT_ONCE: usize = 1024 * 1024;

/// The result of `read-via-stream`: the bytes, and how they ended.
pub(in crate::wasi) type ByteStream<E> = (StreamReader<u8>, FutureReader<Result<(), E>>);

type Readiness = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns a stream of the bytes of `reader`, and a future of how that ended. If no further stream
/// over that end is allowed, the stream has ended already and the future returns the error.
pub(in crate::wasi) fn read_via_stream<E>(
    mut store: impl AsContextMut,
    reader: SharedReader,
    code: fn(Fault) -> E,
) -> wasmtime::Result<ByteStream<E>>
where
    E: ComponentType + Lift + Lower + Send + Sync + 'static,
{
    let (failed, outcome) = oneshot::channel();
    let slot = match reader.streams().open() {
        Ok(slot) => slot,
        Err(fault) => {
            // The future tells the guest.
            let _ = failed.send(fault);
            let ended = StreamReader::new(&mut store, std::iter::empty())?;
            return Ok((ended, future(&mut store, outcome, code)?));
        }
    };
    let producer = Producer { reader, readiness: None, failed: Some(failed), slot };
    let stream = StreamReader::new(&mut store, producer)?;
    Ok((stream, future(&mut store, outcome, code)?))
}

/// Writes the bytes of `data` to `writer`, and returns a future of how that ended. If no further
/// stream over that end is allowed, closes `data`.
pub(in crate::wasi) fn write_via_stream<E>(
    mut store: impl AsContextMut,
    writer: SharedWriter,
    mut data: StreamReader<u8>,
    code: fn(Fault) -> E,
) -> wasmtime::Result<FutureReader<Result<(), E>>>
where
    E: ComponentType + Lift + Lower + Send + Sync + 'static,
{
    let (failed, outcome) = oneshot::channel();
    let slot = match writer.streams().open() {
        Ok(slot) => slot,
        Err(fault) => {
            data.close(&mut store)?;
            let _ = failed.send(fault);
            return future(&mut store, outcome, code);
        }
    };
    let handed_on = match writer.is_hushed() {
        true => Err(data),
        false => data.try_into::<Producer>(&mut store),
    };
    match handed_on {
        // The stream is one of pipehost's, handed on unread: the guest has no part in it any more.
        Ok(mut producer) => {
            producer.slot.hand_on();
            store.as_context_mut().spawn(Pump { producer, writer, failed, _slot: slot })?;
        }
        Err(data) => {
            let consumer = Consumer { writer, readiness: None, failed: Some(failed), _slot: slot };
            data.pipe(&mut store, consumer)?;
        }
    }
    future(&mut store, outcome, code)
}

/// Returns a future that resolves when the other half of `outcome` is dropped, or has sent an
/// error.
fn future<E>(
    store: impl AsContextMut,
    outcome: oneshot::Receiver<Fault>,
    code: fn(Fault) -> E,
) -> wasmtime::Result<FutureReader<Result<(), E>>>
where
    E: ComponentType + Lift + Lower + Send + Sync + 'static,
{
    FutureReader::new(store, async move {
        wasmtime::error::Ok(match outcome.await {
            Ok(fault) => Err(code(fault)),
            Err(_) => Ok(()),
        })
    })
}

struct Producer {
    reader: SharedReader,
    readiness: Option<Readiness>,
    failed: Option<oneshot::Sender<Fault>>,
    slot: StreamSlot,
}

impl<D> StreamProducer<D> for Producer {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = &mut *self;
        // The host itself reads, so no guest's code runs in between, which would yield.
        if !finish && destination.remaining(&mut store).is_none() {
            ready!(turn::poll_goes_on(cx));
        }
        if destination.remaining(&mut store) == Some(0) {
            let reader = &this.reader;
            return match poll_ready(&mut this.readiness, || Box::pin(reader.ready()), cx) {
                Poll::Ready(()) => Poll::Ready(Ok(StreamResult::Completed)),
                Poll::Pending if finish => cancelled(&mut this.readiness),
                Poll::Pending => Poll::Pending,
            };
        }
        let mut destination = destination.as_direct(store, HOST_BUFFER);
        loop {
            let read = this.reader.lock().try_read(destination.remaining());
            match read {
                Ok(Read::Bytes(n)) => {
                    this.readiness = None;
                    destination.mark_written(n);
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Ok(Read::Wait) => {
                    let reader = &this.reader;
                    match poll_ready(
                        &mut this.readiness,
                        || Box::pin(reader.ready_after_would_block()),
                        cx,
                    ) {
                        Poll::Pending if finish => return cancelled(&mut this.readiness),
                        poll => ready!(poll),
                    }
                }
                Ok(Read::End) => return Poll::Ready(Ok(StreamResult::Dropped)),
                Err(fault) => return dropped(&mut this.failed, fault),
            }
        }
    }

    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        match ty == TypeId::of::<Self>() {
            true => {
                let producer: Box<Self> = Pin::into_inner(me);
                Ok(producer)
            }
            false => Err(me),
        }
    }
}

/// Moves everything from a reader to a writer, as a task of the store: it ends with the store.
struct Pump {
    producer: Producer,
    writer: SharedWriter,
    failed: oneshot::Sender<Fault>,
    _slot: StreamSlot,
}

impl<T: 'static> AccessorTask<T> for Pump {
    async fn run(self, _: &Accessor<T>) -> wasmtime::Result<()> {
        // The slots are dropped with the task, at its end or the store's.
        let Self { producer, writer, failed, _slot } = self;
        let Producer { reader, failed: read_failed, slot: _reading, .. } = producer;
        let ended = loop {
            match transfer(&reader, &writer, MOST_AT_ONCE).await {
                Ok(Some(_)) => {}
                Ok(None) => break writer.delivered().await.map_err(TransferFault::Writing),
                Err(fault) => break Err(fault),
            }
        };
        // The guest may have dropped the future.
        let _ = match ended {
            Ok(()) => Ok(()),
            Err(TransferFault::Writing(fault)) => failed.send(fault),
            Err(TransferFault::Reading(fault)) => {
                read_failed.map_or(Ok(()), |failed| failed.send(fault))
            }
        };
        Ok(())
    }
}

struct Consumer {
    writer: SharedWriter,
    readiness: Option<Readiness>,
    failed: Option<oneshot::Sender<Fault>>,
    _slot: StreamSlot,
}

impl<D> StreamConsumer<D> for Consumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = &mut *self;
        let mut source = source.as_direct(store);
        loop {
            let empty = source.remaining().is_empty();
            let attempt = match empty {
                true => this.writer.permit().map(|n| (n > 0).then_some(0)),
                false => this.writer.try_write(source.remaining()),
            };
            match attempt {
                Ok(Some(n)) => {
                    this.readiness = None;
                    if n > 0 {
                        source.mark_read(n);
                    }
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Ok(None) => {
                    let writer = &this.writer;
                    let wait = || -> Readiness {
                        match empty {
                            true => Box::pin(writer.ready()),
                            false => Box::pin(writer.ready_after_would_block()),
                        }
                    };
                    match poll_ready(&mut this.readiness, wait, cx) {
                        Poll::Pending if finish => return cancelled(&mut this.readiness),
                        poll => ready!(poll),
                    }
                }
                Err(fault) => return dropped(&mut this.failed, fault),
            }
        }
    }
}

/// Polls the readiness for which the stream waits, and starts to wait if it does not yet.
fn poll_ready(
    readiness: &mut Option<Readiness>,
    start: impl FnOnce() -> Readiness,
    cx: &mut Context<'_>,
) -> Poll<()> {
    ready!(readiness.get_or_insert_with(start).as_mut().poll(cx));
    *readiness = None;
    Poll::Ready(())
}

/// Handles a read or write that was cancelled. It has moved no bytes, as none move before it is
/// ready.
fn cancelled(readiness: &mut Option<Readiness>) -> Poll<wasmtime::Result<StreamResult>> {
    *readiness = None;
    Poll::Ready(Ok(StreamResult::Cancelled))
}

fn dropped(
    failed: &mut Option<oneshot::Sender<Fault>>,
    fault: Fault,
) -> Poll<wasmtime::Result<StreamResult>> {
    if let Some(failed) = failed.take() {
        // The guest may have dropped the future.
        let _ = failed.send(fault);
    }
    Poll::Ready(Ok(StreamResult::Dropped))
}
