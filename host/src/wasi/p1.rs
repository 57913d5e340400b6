//! Moves bytes of `fd_read` and `fd_write` of WASI 0.1 directly between a module's memory and its
//! standard streams: one system call for each call of the module's, and no copy.
//!
//! wasmtime-wasi's functions serve all other descriptors. They go over the streams of WASI 0.2, in
//! pieces of 4 KiB.

mod errno;

use std::collections::HashMap;
use std::ops::Range;

use wasmtime::{Caller, Extern, Linker, Memory};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as theirs, WasiSnapshotPreview1 as _};
use wiggle::GuestMemory;

use super::Stdio;
use crate::limits::{GuestQuotas, Permit};
use crate::pipe::{Events, Pipes, Read};
use crate::turn;

/// WASI 0.1, and its draft, whose functions are the same here: a module may import from both, and they have the same
/// descriptors.
const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// The errno of WASI 0.1 for success.
const SUCCESS: i32 = 0;

/// NONBLOCK of `fdflags`.
const NONBLOCK: i32 = 1 << 2;

/// The offset of `fs_flags` in an `fdstat`. It has two bytes.
const FS_FLAGS: usize = 2;

/// The size of an `iovec` and a `ciovec`: address and length, four bytes each.
const IOVEC: usize = 8;

/// The standard streams of a module, by their descriptors 0 to 2.
pub(crate) struct Standard {
    stdio: Stdio,
    /// Whether a number still stands for the standard stream. A module may close it, or put another
    /// descriptor in its place.
    untouched: [bool; 3],
    /// Whether the module wants errors instead of waits.
    nonblocking: [bool; 3],
    /// What the host holds for each file and folder that the module has opened.
    opened: HashMap<i32, Permit>,
    quotas: GuestQuotas,
    events: Events,
}

impl Standard {
    pub(crate) fn new(stdio: Stdio, pipes: &Pipes) -> Self {
        Self {
            stdio,
            untouched: [true; 3],
            nonblocking: [false; 3],
            opened: HashMap::new(),
            quotas: pipes.quotas().clone(),
            events: pipes.journal().events().clone(),
        }
    }

    /// Returns the standard streams.
    pub(crate) fn into_stdio(self) -> Stdio {
        self.stdio
    }

    fn is(&self, fd: i32, number: usize) -> bool {
        usize::try_from(fd) == Ok(number) && self.untouched[number]
    }

    /// Sets the flag if `fd` is a standard stream. Returns whether it is one.
    fn set_nonblocking(&mut self, fd: i32, nonblocking: bool) -> bool {
        match (0..3).find(|number| self.is(fd, *number)) {
            Some(number) => {
                self.nonblocking[number] = nonblocking;
                true
            }
            None => false,
        }
    }

    fn is_nonblocking(&self, fd: i32) -> bool {
        (0..3).any(|number| self.is(fd, number) && self.nonblocking[number])
    }

    /// Notes that the module has closed `fd`, or has put another descriptor in its place.
    fn touch(&mut self, fd: i32) {
        self.opened.remove(&fd);
        if let Some(untouched) = usize::try_from(fd).ok().and_then(|fd| self.untouched.get_mut(fd))
        {
            *untouched = false;
        }
    }
}

/// Gives access to what a core module's store holds for WASI 0.1.
pub(crate) trait ModuleView: Send {
    /// Returns wasmtime-wasi's part.
    fn wasi(&mut self) -> &mut WasiP1Ctx;
    /// Returns pipehost's part.
    fn standard(&mut self) -> &mut Standard;
}

/// Calls wasmtime-wasi's function of that name, as its own linker does. An async one needs
/// `.await`.
macro_rules! other {
    ($caller:ident, $function:ident($($arg:expr),*) $($wait:tt)*) => {{
        let export = $caller.get_export("memory");
        let fuel = wasmtime::AsContextMut::as_context_mut(&mut $caller).hostcall_fuel();
        match export {
            Some(Extern::Memory(memory)) => {
                let (bytes, data) = memory.data_and_store_mut(&mut $caller);
                data.wasi().set_hostcall_fuel(fuel);
                let mut memory = GuestMemory::Unshared(bytes);
                theirs::$function(data.wasi(), &mut memory $(, $arg)*)$($wait)*
            }
            Some(Extern::SharedMemory(memory)) => {
                let wasi = $caller.data_mut().wasi();
                wasi.set_hostcall_fuel(fuel);
                let mut memory = GuestMemory::Shared(memory.data());
                theirs::$function(wasi, &mut memory $(, $arg)*)$($wait)*
            }
            _ => wasmtime::error::bail!("the module exports no memory, which WASI 0.1 requires"),
        }
    }};
}

mod paths;

/// Adds all of WASI 0.1 to `linker`.
///
/// # Errors
/// Fails if the linker has a module of that name already.
pub(crate) fn add_to_linker<T: ModuleView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, T::wasi)?;
    wasmtime_wasi::p0::add_to_linker_async(linker, T::wasi)?;
    linker.allow_shadowing(true);
    for module in MODULES {
        shadow(linker, module)?;
        paths::shadow(linker, module)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

fn shadow<T: ModuleView + 'static>(linker: &mut Linker<T>, module: &str) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "fd_read", |mut caller: Caller<'_, T>, args: Args| {
        Box::new(async move {
            match read(&mut caller, args).await {
                Some(read) => returned(&mut caller, args, read),
                None => other!(caller, fd_read(args.0, args.1, args.2, args.3).await),
            }
        })
    })?;
    linker.func_wrap_async(module, "fd_write", |mut caller: Caller<'_, T>, args: Args| {
        Box::new(async move {
            match write(&mut caller, args).await {
                Some(written) => returned(&mut caller, args, written),
                None => other!(caller, fd_write(args.0, args.1, args.2, args.3).await),
            }
        })
    })?;
    linker.func_wrap_async(
        module,
        "fd_fdstat_set_flags",
        |mut caller: Caller<'_, T>, (fd, flags): (i32, i32)| {
            let ours = caller.data_mut().standard().set_nonblocking(fd, flags & NONBLOCK != 0);
            Box::new(async move {
                match ours {
                    true => Ok(SUCCESS),
                    false => other!(caller, fd_fdstat_set_flags(fd, flags)),
                }
            })
        },
    )?;
    linker.func_wrap_async(
        module,
        "fd_fdstat_get",
        |mut caller: Caller<'_, T>, (fd, stat): (i32, i32)| {
            let nonblocking = caller.data_mut().standard().is_nonblocking(fd);
            Box::new(async move {
                let errno = other!(caller, fd_fdstat_get(fd, stat).await)?;
                if let (SUCCESS, true, Some(Extern::Memory(memory))) =
                    (errno, nonblocking, caller.get_export("memory"))
                {
                    // The call above has written it, so it is in bounds.
                    let at = address(stat).saturating_add(FS_FLAGS);
                    let mut flags = [0; 2];
                    memory.read(&caller, at, &mut flags)?;
                    flags[0] |= NONBLOCK.to_le_bytes()[0];
                    memory.write(&mut caller, at, &flags)?;
                }
                wasmtime::error::Ok(errno)
            })
        },
    )?;
    linker.func_wrap_async(module, "fd_close", |mut caller: Caller<'_, T>, (fd,): (i32,)| {
        caller.data_mut().standard().touch(fd);
        Box::new(async move { other!(caller, fd_close(fd).await) })
    })?;
    linker.func_wrap_async(
        module,
        "fd_renumber",
        |mut caller: Caller<'_, T>, (from, to): (i32, i32)| {
            Box::new(async move {
                let errno = other!(caller, fd_renumber(from, to).await)?;
                if errno == SUCCESS && from != to {
                    let standard = caller.data_mut().standard();
                    let held = standard.opened.remove(&from);
                    standard.touch(from);
                    standard.touch(to);
                    standard.opened.extend(held.map(|held| (to, held)));
                }
                wasmtime::error::Ok(errno)
            })
        },
    )?;
    Ok(())
}

/// Descriptor, address and number of the iovecs, address of the result.
type Args = (i32, i32, i32, i32);

/// How many bytes moved, or the errno that says why none did.
type Moved = Result<u32, i32>;

/// Reads into the first iovec that is not empty. Returns `None` if wasmtime-wasi must make the
/// call, or must say why it cannot be made.
async fn read<T: ModuleView>(caller: &mut Caller<'_, T>, args: Args) -> Option<Moved> {
    if !caller.data_mut().standard().is(args.0, 0) {
        return None;
    }
    let (memory, range) = buffer(caller, args)?;
    let nonblocking = caller.data_mut().standard().is_nonblocking(args.0);
    loop {
        let (bytes, data) = memory.data_and_store_mut(&mut *caller);
        let stdin = data.standard().stdio.stdin();
        let read = stdin.lock().try_read(&mut bytes[range.clone()]);
        match read {
            Ok(Read::Bytes(n)) => return u32::try_from(n).ok().map(Ok),
            Ok(Read::End) => return Some(Ok(0)),
            Ok(Read::Wait) if nonblocking => return Some(Err(errno::AGAIN)),
            Ok(Read::Wait) => {
                let ready = stdin.ready_after_would_block();
                ready.await;
                turn::goes_on().await;
            }
            Err(fault) => return Some(Err(errno::of(fault))),
        }
    }
}

/// Writes all of the first ciovec that is not empty. Returns `None` as [`read`] does.
async fn write<T: ModuleView>(caller: &mut Caller<'_, T>, args: Args) -> Option<Moved> {
    let standard = caller.data_mut().standard();
    if !standard.is(args.0, 1) && !standard.is(args.0, 2) {
        return None;
    }
    let (memory, range) = buffer(caller, args)?;
    let nonblocking = caller.data_mut().standard().is_nonblocking(args.0);
    let length = u32::try_from(range.len()).ok()?;
    let (begin, mut rest) = (range.start, range);
    while !rest.is_empty() {
        let (bytes, data) = memory.data_and_store_mut(&mut *caller);
        let stdio = &data.standard().stdio;
        let writer = if args.0 == 1 { stdio.stdout() } else { stdio.stderr() };
        let piece = &bytes[rest.clone()];
        // A module that does not wait takes what is written for delivered.
        let written = if nonblocking { writer.try_write(piece) } else { writer.put(piece) };
        match written {
            Ok(Some(n)) => rest.start += n,
            Ok(None) if nonblocking => {
                let written = u32::try_from(rest.start - begin).ok()?;
                return Some(if written > 0 { Ok(written) } else { Err(errno::AGAIN) });
            }
            Ok(None) => {
                let ready = writer.ready_after_would_block();
                ready.await;
                turn::goes_on().await;
            }
            // The bytes written before count, and the next call meets the error again.
            Err(_) if rest.start > begin => return u32::try_from(rest.start - begin).ok().map(Ok),
            Err(fault) => return Some(Err(errno::of(fault))),
        }
    }
    Some(Ok(length))
}

/// Returns the module's memory, and the range of the first buffer that is not empty. Returns `None`
/// if there is no such buffer, if anything is out of bounds, or if the memory is shared: no slice
/// may point into that.
fn buffer<T: ModuleView>(
    caller: &mut Caller<'_, T>,
    (_, iovecs, count, result): Args,
) -> Option<(Memory, Range<usize>)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return None;
    };
    let bytes = memory.data(&*caller);
    // Checked before bytes are read whose number could not be stored.
    bytes.get(address(result)..)?.get(..size_of::<u32>())?;
    let length = (count.cast_unsigned() as usize).checked_mul(IOVEC)?;
    let iovecs = bytes.get(address(iovecs)..)?.get(..length)?;
    let mut buffers = iovecs.as_chunks::<IOVEC>().0.iter().map(|iovec| {
        let [a, b, c, d, e, f, g, h] = *iovec;
        let start = u32::from_le_bytes([a, b, c, d]) as usize;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        start..start.saturating_add(length)
    });
    let range = buffers.find(|range| !range.is_empty())?;
    bytes.get(range.clone())?;
    Some((memory, range))
}

fn address(pointer: i32) -> usize {
    pointer.cast_unsigned() as usize
}

/// Stores the number of bytes where the module wants it, and returns the errno.
fn returned<T>(caller: &mut Caller<'_, T>, args: Args, moved: Moved) -> wasmtime::Result<i32> {
    let n = match moved {
        Ok(n) => n,
        Err(errno) => return Ok(errno),
    };
    if let Some(Extern::Memory(memory)) = caller.get_export("memory") {
        memory.write(caller, address(args.3), &n.to_le_bytes())?;
    }
    Ok(SUCCESS)
}
