//! A web service that gives each request a guest of its own: what the client sends is the guest's
//! standard input, and what the guest writes is the answer. Both stream.
//!
//! `service ADDRESS SECONDS GUEST [ARG...]` answers `POST /`, and says on stdout where it listens.
//!
//! | what the guest does | answer |
//! |---|---|
//! | writes, and ends with 0 | 200, and what it writes |
//! | traps or fails before it has written anything | 502 |
//! | takes longer than SECONDS, and has written nothing | 504 |
//! | fails or takes too long after it has written | 200, and a body that breaks off |
//! | cannot be started, as there are 64 already | 503 |
//!
//! A client that leaves ends its guest.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::{StreamExt, stream};
use pipehost::limits::Totals;
use pipehost::{Engine, Guest, GuestLimits, Outcome, Pipes, Setup, pipes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// How many guests there may be at once.
const GUESTS: usize = 64;

/// How much of an answer is read at a time, in bytes.
const PIECE: usize = 64 * 1024;

struct Service {
    engine: Engine,
    guest: Guest,
    args: Vec<String>,
    limits: GuestLimits,
    totals: Totals,
    room: Arc<Semaphore>,
    requests: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds, path, args @ ..] = &args[..] else {
        return Err("usage: service ADDRESS SECONDS GUEST [ARG...]".into());
    };
    let engine = Engine::new()?;
    let mut limits = GuestLimits::default();
    limits.timeout = Some(Duration::try_from_secs_f64(seconds.parse()?)?);
    limits.max_memory = Some(64 << 20);
    limits.max_bytes = Some(1 << 30);
    let service = Service {
        // Compiled once, and shared by all requests.
        guest: Guest::from_file(&engine, path.as_ref())?,
        engine,
        args: [path].into_iter().chain(args).cloned().collect(),
        limits,
        // All guests together: 1 GiB of memory, 1024 pipes of their own, no children.
        totals: Totals::new(1 << 30, 1024, 0),
        room: Arc::new(Semaphore::new(GUESTS)),
        requests: AtomicU64::new(0),
    };
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/", post(answer)).with_state(service.into()))
        .await?;
    Ok(())
}

async fn answer(State(service): State<Arc<Service>>, body: Body) -> Response {
    let Ok(room) = Arc::clone(&service.room).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n").into_response();
    };
    let mut run = match service.start(body, room) {
        Ok(run) => run,
        Err(error) => return failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    // The status has to wait for the first bytes, or for the guest's end.
    match run.next().await {
        Ok(Some(first)) => {
            let rest = stream::try_unfold(run, async |mut run| {
                Ok::<_, io::Error>(run.next().await?.map(|bytes| (bytes, run)))
            });
            let first = stream::iter([Ok(first)]);
            Body::from_stream(first.chain(rest)).into_response()
        }
        Ok(None) => StatusCode::OK.into_response(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            failed(StatusCode::GATEWAY_TIMEOUT, &error.to_string())
        }
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn failed(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

impl Service {
    /// Starts a guest between two pipes.
    fn start(&self, body: Body, room: OwnedSemaphorePermit) -> io::Result<Run> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (stdin, to_guest) = io::pipe()?;
        let (from_guest, stdout) = io::pipe()?;
        let to_guest = Sender::from_owned_fd(to_guest.into())?;
        let from_guest = Receiver::from_owned_fd(from_guest.into())?;
        let pipes = Pipes::builder()
            .limits(self.limits.clone())
            .within(&self.totals)
            .events(move |event| eprintln!("request {number}: {event}"))
            .build();
        let mut setup = Setup::between(pipes, stdin.into(), stdout.into(), pipes::standard(2)?)?;
        setup.args(&self.args);
        let (engine, guest) = (self.engine.clone(), self.guest.clone());
        let task = tokio::spawn(async move {
            let _room = room;
            let running = async {
                let outcome = setup.run(&engine, &guest).await.map_err(io::Error::other)?;
                match outcome {
                    Outcome::Exited(0) => Ok(()),
                    Outcome::TimedOut(_) => {
                        Err(io::Error::new(io::ErrorKind::TimedOut, outcome.to_string()))
                    }
                    _ => Err(io::Error::other(outcome.to_string())),
                }
            };
            // A request that breaks off ends the guest: it would take that for the end of file.
            let feeding = async {
                feed(body, to_guest).await?;
                std::future::pending().await
            };
            tokio::select! {
                ended = running => ended,
                broken = feeding => broken,
            }
        });
        Ok(Run { task, from_guest, number })
    }
}

/// Writes the request to the guest, and closes the pipe. A guest that reads no further is no error.
async fn feed(body: Body, mut to_guest: Sender) -> io::Result<()> {
    let mut body = body.into_data_stream();
    while let Some(bytes) = body.next().await {
        if to_guest.write_all(&bytes.map_err(io::Error::other)?).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A guest that runs. Dropping it ends the guest: the client has left, or has the whole answer.
struct Run {
    task: JoinHandle<io::Result<()>>,
    from_guest: Receiver,
    number: u64,
}

impl Run {
    /// Returns the next piece of the answer, or `None` at its end.
    ///
    /// # Errors
    /// Fails if the guest has failed.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = Vec::with_capacity(PIECE);
        if self.from_guest.read_buf(&mut piece).await? > 0 {
            return Ok(Some(piece.into()));
        }
        let ended = (&mut self.task).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = &ended {
            eprintln!("request {}: {error}", self.number);
        }
        ended.map(|()| None)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.task.abort();
    }
}
