//! The WebAssembly engine, and the pulse that keeps a guest from holding its thread for ever.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::Thread;
use std::time::Duration;

use tokio::task::coop::{Unconstrained, unconstrained};
use wasmtime::{Config, EngineWeak};

use crate::cache::Cache;
use crate::pipe::deferred::{self, Deferral};
use crate::sys;
use crate::turn;

/// How often a guest that computes without calling the host gives its thread back, so that timers,
/// signals and deliveries on that thread go on. Far below the 250 ms within which a timeout must
/// have ended a guest.
const PULSE: Duration = Duration::from_millis(10);

/// How many times in a pulse the host checks whether a guest has deferred writes. If one has, it
/// yields after 2 ms already.
const BEATS: u32 = 5;

/// After this many pulses without a running guest, the pulse stops and costs nothing.
const IDLE_PULSES: u32 = 10;

/// An engine set up for pipehost's guests, with its pulse.
///
/// Cloning gives another handle to the same engine.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Engine, Guest};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// // Another one, whose guests count what they compute.
/// let metering = engine.to_metering()?;
/// # Ok(())
/// # }
/// ```
///
/// The example of [`Cache`] gives it a cache.
#[derive(Clone)]
pub struct Engine {
    engines: Arc<Engines>,
    pulse: Arc<Pulse>,
    cache: Option<Arc<Cache>>,
    metering: bool,
    pool: Option<CodeMemory>,
}

/// Where the code of guests is executable.
type CodeMemory = Arc<dyn wasmtime::CustomCodeMemory>;

/// The two engines of wasmtime's that guests run on.
struct Engines {
    /// Without concurrency in components, which costs each call of a guest's.
    lean: wasmtime::Engine,
    /// With it, for guests of WASI 0.3. Made when the first of them comes.
    concurrent: OnceLock<wasmtime::Engine>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Sets up an engine: components of WASI 0.2 and 0.3 and core modules, interruptible.
    ///
    /// # Errors
    /// Fails if the machine's processor is not supported, or if no thread can be started.
    pub fn new() -> wasmtime::Result<Self> {
        Self::of(false, None)
    }

    /// Sets up an engine as [`Engine::new`] does, whose guests count what they compute, for
    /// [`GuestLimits::fuel`](crate::GuestLimits::fuel). They are slower for it, by a quarter or so,
    /// and are compiled separately from those of other engines.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn metering() -> wasmtime::Result<Self> {
        Self::of(true, None)
    }

    fn of(metering: bool, pool: Option<CodeMemory>) -> wasmtime::Result<Self> {
        let lean = wasmtime::Engine::new(&config(metering, false, pool.clone()))?;
        let pulse = Arc::new(Pulse::start(lean.weak())?);
        let engines = Arc::new(Engines { lean, concurrent: OnceLock::new() });
        Ok(Self { engines, pulse, cache: None, metering, pool })
    }

    /// Makes a metering engine with the same cache.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn to_metering(&self) -> wasmtime::Result<Self> {
        Ok(Self { cache: self.cache.clone(), ..Self::metering()? })
    }

    /// Makes an engine like this one, with the same cache, that can also run code where it is, in `pool`.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    #[cfg(feature = "cli")]
    pub(crate) fn with_code_of(&self, pool: Arc<sys::CodePool>) -> wasmtime::Result<Self> {
        let engine = Self { cache: self.cache.clone(), ..Self::of(self.metering, Some(pool))? };
        // A confined process could not set it up when the first guest comes that needs it.
        engine.concurrent()?;
        Ok(engine)
    }

    /// Returns whether its guests count what they compute.
    pub(crate) fn is_metering(&self) -> bool {
        self.metering
    }

    /// Makes the engine take compiled guests from `cache`, and store there what it compiles.
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Returns the cache of compiled guests.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.cache.as_deref()
    }

    /// Returns the engine for guests that use no concurrency of the component model.
    pub(crate) fn lean(&self) -> &wasmtime::Engine {
        &self.engines.lean
    }

    /// Returns the engine for guests that may use it.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub(crate) fn concurrent(&self) -> wasmtime::Result<&wasmtime::Engine> {
        if let Some(engine) = self.engines.concurrent.get() {
            return Ok(engine);
        }
        let engine = wasmtime::Engine::new(&config(self.metering, true, self.pool.clone()))?;
        // Another thread may have come first, whose engine it is then.
        let engine = self.engines.concurrent.get_or_init(|| engine);
        self.pulse.beats_for(engine);
        Ok(engine)
    }

    /// Runs `guest`, a future in which a store of this engine executes, under the pulse.
    ///
    /// `defers` says whether the guest's writes may be deferred. It must be false if the guest can
    /// act on the world by means that deferred delivery does not see: files.
    pub(crate) fn pulsed<F: Future>(
        &self,
        guest: F,
        defers: bool,
    ) -> impl Future<Output = F::Output> + use<'_, F> {
        // The guest's waits must not use up what tokio grants the task, which time limits and
        // siblings share. The guest's turn is its bound.
        let deferral = defers.then(Deferral::default);
        Pulsed { guest: Box::pin(unconstrained(guest)), pulse: &self.pulse, deferral }
    }
}

/// Returns the settings of an engine.
fn config(metering: bool, concurrent: bool, pool: Option<CodeMemory>) -> Config {
    let mut config = Config::new();
    config.with_custom_code_memory(pool);
    config.wasm_component_model(true).epoch_interruption(true).consume_fuel(metering);
    match concurrent {
        true => config.wasm_component_model_async(true),
        false => config.concurrency_support(false),
    };
    // No supported language needs these features, and the collector's heap depends on them.
    config.wasm_exceptions(false).wasm_gc(false).wasm_function_references(false).gc_support(false);
    if !sys::NEEDS_UNWIND_INFO {
        config.native_unwind_info(false);
    }
    if sys::address_space_limit().is_some() {
        reserve_little(&mut config);
    }
    if sys::file_size_limit().is_some() {
        // The image of a memory is a file without a name, to which the limit applies, too.
        config.memory_init_cow(false);
    }
    config
}

/// Makes a guest's memory take about as much address space as it has bytes. Otherwise each memory
/// takes 4 GiB, so that no access needs a bounds check: faster, and more than `ulimit -v` may
/// leave.
fn reserve_little(config: &mut Config) {
    config
        .memory_reservation(0)
        .memory_reservation_for_growth(GROWTH)
        .memory_guard_size(GUARD)
        .gc_heap_reservation(0)
        .gc_heap_reservation_for_growth(GROWTH)
        .gc_heap_guard_size(GUARD);
}

/// By how many more bytes a memory grows if little is reserved, so that it does not move at each
/// step.
const GROWTH: u64 = 4 << 20;

/// The size in bytes of the guard behind a memory if little is reserved.
const GUARD: u64 = 64 << 10;

/// A thread that ticks the engine's epoch while guests run, and sleeps while none does: a guest
/// that waits must not cost CPU. Dropping it ends the thread.
struct Pulse {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    /// The engines whose epochs go on.
    engines: Mutex<Vec<EngineWeak>>,
    /// How many guests execute at this moment.
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Pulse {
    fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { engines: Mutex::new(vec![engine]), ..Shared::default() });
        let thread =
            std::thread::Builder::new().name("pulse".into()).stack_size(64 * 1024).spawn({
                let shared = Arc::clone(&shared);
                move || {
                    sys::renounce_files();
                    shared.beat();
                }
            })?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Has the epoch of another engine go on, too.
    fn beats_for(&self, engine: &wasmtime::Engine) {
        let mut engines = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.push(engine.weak());
    }

    fn enter(&self) {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    fn leave(&self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Shared {
    fn beat(&self) {
        let (mut idle, mut beats) = (0, 0);
        while !self.stop.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                (idle, beats) = (0, beats + 1);
                // A guest that computes delivers its deferred writes when it yields.
                if beats >= BEATS || deferred::is_any() {
                    beats = 0;
                    let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
                    for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                        engine.increment_epoch();
                    }
                }
            } else {
                idle += 1;
            }
            if idle <= IDLE_PULSES * BEATS {
                std::thread::sleep(PULSE / BEATS);
                continue;
            }
            // `asleep` is set first and `running` read then: a guest that enters after that wakes
            // this thread.
            self.asleep.store(true, Ordering::SeqCst);
            if self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

/// Marks each poll of a guest as running.
struct Pulsed<'a, F> {
    guest: Pin<Box<Unconstrained<F>>>,
    pulse: &'a Pulse,
    deferral: Option<Deferral>,
}

impl<F: Future> Future for Pulsed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        struct Leave<'a>(&'a Pulse);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        let Self { guest, pulse, deferral } = &mut *self;
        pulse.enter();
        let _leave = Leave(pulse);
        let poll = || turn::taken(|| guest.as_mut().poll(cx));
        deferred::while_polling(deferral, poll, Poll::is_ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pulse_beats_for_a_guest_that_computes() {
        let engine = Engine::new().unwrap();
        let module =
            wasmtime::Module::new(engine.lean(), r#"(module (func (export "spin") (loop br 0)))"#)
                .unwrap();
        let mut store = wasmtime::Store::new(engine.lean(), ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = wasmtime::Instance::new_async(&mut store, &module, &[]).await.unwrap();
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
        // Twice, with a sleep of the pulse between.
        for _ in 0..2 {
            let mut call = std::pin::pin!(engine.pulsed(spin.call_async(&mut store, ()), true));
            let polled = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            let began = std::time::Instant::now();
            while !engine.pulse.shared.asleep.load(Ordering::SeqCst) {
                assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
                std::thread::sleep(PULSE);
            }
        }
    }
}
