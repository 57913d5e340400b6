//! `fd_read` and `fd_write` of WASI 0.1 straight between a module's memory and its standard
//! streams: one system call for each call of the module's, and no copy.
//!
//! wasmtime-wasi's, which serve everything else, go over the streams of WASI 0.2, in pieces of
//! 4 KiB.

use std::ops::Range;

use wasmtime::{Caller, Extern, Linker, Memory};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as theirs, WasiSnapshotPreview1 as _};
use wiggle::GuestMemory;

use super::Stdio;
use crate::pipe::Read;
use crate::turn;

const MODULE: &str = "wasi_snapshot_preview1";

/// The errno of WASI 0.1 that says that all went well.
const SUCCESS: i32 = 0;

/// The size of an `iovec` and a `ciovec`: address and length, four bytes each.
const IOVEC: usize = 8;

/// The standard streams of a module, by their descriptors 0 to 2.
pub(crate) struct Standard {
    stdio: Stdio,
    /// Whether a number still stands for the standard stream: a module may close it, or have
    /// another descriptor take its place.
    untouched: [bool; 3],
}

impl Standard {
    pub(crate) fn new(stdio: Stdio) -> Self {
        Self { stdio, untouched: [true; 3] }
    }

    fn is(&self, fd: i32, number: usize) -> bool {
        usize::try_from(fd) == Ok(number) && self.untouched[number]
    }

    fn touch(&mut self, fd: i32) {
        if let Some(untouched) = usize::try_from(fd).ok().and_then(|fd| self.untouched.get_mut(fd))
        {
            *untouched = false;
        }
    }
}

/// Gives access to what a core module's store holds for WASI 0.1.
pub(crate) trait ModuleView: Send {
    /// wasmtime-wasi's part.
    fn wasi(&mut self) -> &mut WasiP1Ctx;
    /// Ours.
    fn standard(&mut self) -> &mut Standard;
}

/// Calls wasmtime-wasi's function of that name, as its own linker does.
macro_rules! other {
    ($caller:ident, $function:ident($($arg:expr),*)) => {{
        let export = $caller.get_export("memory");
        let fuel = wasmtime::AsContextMut::as_context_mut(&mut $caller).hostcall_fuel();
        match export {
            Some(Extern::Memory(memory)) => {
                let (bytes, data) = memory.data_and_store_mut(&mut $caller);
                data.wasi().set_hostcall_fuel(fuel);
                let mut memory = GuestMemory::Unshared(bytes);
                theirs::$function(data.wasi(), &mut memory $(, $arg)*).await
            }
            Some(Extern::SharedMemory(memory)) => {
                let wasi = $caller.data_mut().wasi();
                wasi.set_hostcall_fuel(fuel);
                let mut memory = GuestMemory::Shared(memory.data());
                theirs::$function(wasi, &mut memory $(, $arg)*).await
            }
            _ => wasmtime::error::bail!("the module exports no memory, which WASI 0.1 requires"),
        }
    }};
}
/// Adds all of WASI 0.1 to `linker`.
///
/// # Errors
/// Where the linker has a module of that name already.
pub(crate) fn add_to_linker<T: ModuleView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, T::wasi)?;
    wasmtime_wasi::p0::add_to_linker_async(linker, T::wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap_async(MODULE, "fd_read", |mut caller: Caller<'_, T>, args: Args| {
        Box::new(async move {
            match read(&mut caller, args).await {
                Some(n) => returned(&mut caller, args, n),
                None => other!(caller, fd_read(args.0, args.1, args.2, args.3)),
            }
        })
    })?;
    linker.func_wrap_async(MODULE, "fd_write", |mut caller: Caller<'_, T>, args: Args| {
        Box::new(async move {
            match write(&mut caller, args).await {
                Some(n) => returned(&mut caller, args, n),
                None => other!(caller, fd_write(args.0, args.1, args.2, args.3)),
            }
        })
    })?;
    linker.func_wrap_async(MODULE, "fd_close", |mut caller: Caller<'_, T>, (fd,): (i32,)| {
        caller.data_mut().standard().touch(fd);
        Box::new(async move { other!(caller, fd_close(fd)) })
    })?;
    linker.func_wrap_async(
        MODULE,
        "fd_renumber",
        |mut caller: Caller<'_, T>, (from, to): (i32, i32)| {
            caller.data_mut().standard().touch(from);
            caller.data_mut().standard().touch(to);
            Box::new(async move { other!(caller, fd_renumber(from, to)) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Descriptor, address and number of the iovecs, address of the result.
type Args = (i32, i32, i32, i32);

/// Reads into the first iovec that is not empty, and gives how many bytes; `None` where that is for
/// wasmtime-wasi to do, or to say why it cannot be done.
async fn read<T: ModuleView>(caller: &mut Caller<'_, T>, args: Args) -> Option<u32> {
    if !caller.data_mut().standard().is(args.0, 0) {
        return None;
    }
    let (memory, range) = buffer(caller, args)?;
    loop {
        let (bytes, data) = memory.data_and_store_mut(&mut *caller);
        let stdin = data.standard().stdio.stdin();
        let read = stdin.lock().try_read(&mut bytes[range.clone()]);
        match read {
            Ok(Read::Bytes(n)) => return u32::try_from(n).ok(),
            Ok(Read::End) => return Some(0),
            Ok(Read::Wait) => {
                let news = stdin.news();
                news.await;
                turn::goes_on().await;
            }
            Err(_) => return None,
        }
    }
}

/// Writes all of the first ciovec that is not empty, as [`read`].
async fn write<T: ModuleView>(caller: &mut Caller<'_, T>, args: Args) -> Option<u32> {
    let standard = caller.data_mut().standard();
    if !standard.is(args.0, 1) && !standard.is(args.0, 2) {
        return None;
    }
    let (memory, range) = buffer(caller, args)?;
    let length = u32::try_from(range.len()).ok()?;
    let mut rest = range;
    while !rest.is_empty() {
        let (bytes, data) = memory.data_and_store_mut(&mut *caller);
        let stdio = &data.standard().stdio;
        let writer = if args.0 == 1 { stdio.stdout() } else { stdio.stderr() };
        match writer.try_write(&bytes[rest.clone()]) {
            Ok(Some(n)) => rest.start += n,
            Ok(None) => {
                let news = writer.news();
                news.await;
                turn::goes_on().await;
            }
            // It stays so: wasmtime-wasi meets it again, and has a number for it.
            Err(_) => return None,
        }
    }
    Some(length)
}

/// The module's memory, and where in it the first buffer that is not empty is. `None` also where
/// there is none or any of this is out of bounds, or where the memory is shared, which no slice may
/// point to.
fn buffer<T: ModuleView>(
    caller: &mut Caller<'_, T>,
    (_, iovecs, count, result): Args,
) -> Option<(Memory, Range<usize>)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return None;
    };
    let bytes = memory.data(&*caller);
    // Before anything is read that there is no place to tell of.
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

/// Puts `n` where the module wants it.
fn returned<T>(caller: &mut Caller<'_, T>, args: Args, n: u32) -> wasmtime::Result<i32> {
    if let Some(Extern::Memory(memory)) = caller.get_export("memory") {
        memory.write(caller, address(args.3), &n.to_le_bytes())?;
    }
    Ok(SUCCESS)
}
