//! Paths of WASI 0.1. Only files and folders are opened through a granted folder, and those that
//! are opened are counted.

use wasmtime::{Caller, Extern, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as theirs, WasiSnapshotPreview1 as _};
use wiggle::GuestMemory;

use super::super::files::{Special, WhenSpecial};
use super::{ModuleView, SUCCESS, address, errno};
use crate::sys::FileKind;

/// The longest path that a system takes, in bytes: PATH_MAX.
const LONGEST: usize = 4096;

/// Bits of `oflags`.
const CREATE: i32 = 1 << 0;
const DIRECTORY: i32 = 1 << 1;
const EXCLUSIVE: i32 = 1 << 2;
const TRUNCATE: i32 = 1 << 3;

pub(super) fn shadow<T: ModuleView + 'static>(
    linker: &mut Linker<T>,
    module: &str,
) -> wasmtime::Result<()> {
    linker.func_wrap_async(module, "path_open", |mut caller: Caller<'_, T>, args: OpenArgs| {
        Box::new(async move { open(&mut caller, args).await })
    })?;
    linker.func_wrap_async(
        module,
        "path_filestat_set_times",
        |mut caller: Caller<'_, T>, args: TimesArgs| {
            Box::new(async move {
                let (folder, lookup, path, length, accessed, modified, which) = args;
                // wasmtime-wasi opens the file to set its times.
                let asked = (folder, lookup, path, length);
                if let Some((path, special)) = special(&mut caller, asked).await {
                    special.tell(&path, &caller.data_mut().standard().events);
                    return Ok(errno::NOTSUP);
                }
                other!(
                    caller,
                    path_filestat_set_times(
                        folder, lookup, path, length, accessed, modified, which
                    )
                    .await
                )
            })
        },
    )?;
    linker.func_wrap_async(module, "path_link", |mut caller: Caller<'_, T>, args: LinkArgs| {
        Box::new(async move {
            let (folder, lookup, old, length, to, new, new_length) = args;
            let errno =
                other!(caller, path_link(folder, lookup, old, length, to, new, new_length).await)?;
            // Landlock checks first, and returns another error for a link to a folder.
            let asked = (folder, lookup, old, length);
            if errno == errno::IO
                && let Some((_, kind)) = kind(&mut caller, asked).await
                && kind == FileKind::Folder
            {
                return Ok(errno::PERM);
            }
            wasmtime::error::Ok(errno)
        })
    })?;
    Ok(())
}

async fn open<T: ModuleView>(
    mut caller: &mut Caller<'_, T>,
    args: OpenArgs,
) -> wasmtime::Result<i32> {
    let (folder, lookup, path, length, flags, base, inheriting, fd_flags, fd) = args;
    let found = special(caller, (folder, lookup, path, length)).await;
    if let Some((path, special)) = &found {
        let has = |flag: i32| flags & flag != 0;
        match WhenSpecial::of(has(CREATE), has(EXCLUSIVE), has(TRUNCATE), has(DIRECTORY)) {
            WhenSpecial::Fails => {}
            WhenSpecial::NotDirectory => return Ok(errno::NOTDIR),
            WhenSpecial::Refused => {
                special.tell(path, &caller.data_mut().standard().events);
                return Ok(errno::NOTSUP);
            }
        }
    }
    let Ok(held) = caller.data_mut().standard().quotas.descriptors(1) else {
        return Ok(errno::MFILE);
    };
    let errno = other!(
        caller,
        path_open(folder, lookup, path, length, flags, base, inheriting, fd_flags, fd).await
    )?;
    let mut number = [0; 4];
    if errno == SUCCESS
        && let Some(Extern::Memory(memory)) = caller.get_export("memory")
        && memory.read(&*caller, address(fd), &mut number).is_ok()
    {
        let number = i32::from_le_bytes(number);
        caller.data_mut().standard().opened.insert(number, held);
        // The file may have been replaced since the check.
        if let Some(special) = kind_of_opened(caller, number).await.and_then(Special::of) {
            let path = path_of(caller, path, length).unwrap_or_default();
            special.tell(&path, &caller.data_mut().standard().events);
            caller.data_mut().standard().touch(number);
            other!(caller, fd_close(number).await)?;
            return Ok(errno::NOTSUP);
        }
    }
    Ok(errno)
}

/// Folder, how links are looked up, address and length of the path, how it is opened, two sets of rights, flags of
/// the descriptor, address of the result.
type OpenArgs = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// Folder, how links are looked up, address and length of the path, two times, which of them to set.
type TimesArgs = (i32, i32, i32, i32, i64, i64, i32);

/// Folder, how links are looked up, address and length of the old path; folder, address and length of the new one.
type LinkArgs = (i32, i32, i32, i32, i32, i32, i32);

/// Folder, how links are looked up, address and length of a path.
type PathArgs = (i32, i32, i32, i32);

/// Returns the path and what is there, if that is a special file.
async fn special<T: ModuleView>(
    caller: &mut Caller<'_, T>,
    asked: PathArgs,
) -> Option<(String, Special)> {
    let (path, kind) = kind(caller, asked).await?;
    Special::of(kind).map(|special| (path, special))
}

/// Returns the path and the kind of the file there. Asks as the module would, with
/// `path_filestat_get`, but with other memory: the module's own is not written to. Returns `None`
/// if there is no file, or its kind cannot be known.
async fn kind<T: ModuleView>(
    caller: &mut Caller<'_, T>,
    (folder, lookup, path, length): PathArgs,
) -> Option<(String, FileKind)> {
    let path = path_of(caller, path, length)?;
    let stat = path.len().next_multiple_of(FILE_STAT);
    let mut memory = vec![0; stat + FILE_STAT];
    memory[..path.len()].copy_from_slice(path.as_bytes());
    let wasi = caller.data_mut().wasi();
    wasi.set_hostcall_fuel(memory.len());
    let mut scratch = GuestMemory::Unshared(&mut memory);
    let errno = theirs::path_filestat_get(
        wasi,
        &mut scratch,
        folder,
        lookup,
        0,
        length,
        i32::try_from(stat).ok()?,
    );
    let kind = stated(errno.await, &memory[stat..])?;
    Some((path, kind))
}

/// Returns the path at that address, if there is a valid one.
fn path_of<T>(caller: &mut Caller<'_, T>, path: i32, length: i32) -> Option<String> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return None;
    };
    if address(length) > LONGEST {
        return None;
    }
    let path = memory.data(&*caller).get(address(path)..)?.get(..address(length))?;
    String::from_utf8(path.into()).ok()
}

/// Returns the kind of the file that is open as `number`, as [`kind`] does.
async fn kind_of_opened<T: ModuleView>(
    caller: &mut Caller<'_, T>,
    number: i32,
) -> Option<FileKind> {
    let mut memory = [0; FILE_STAT];
    let wasi = caller.data_mut().wasi();
    wasi.set_hostcall_fuel(memory.len());
    let mut scratch = GuestMemory::Unshared(&mut memory);
    let errno = theirs::fd_filestat_get(wasi, &mut scratch, number, 0).await;
    stated(errno, &memory)
}

/// Returns the kind of file in `stat`, a `filestat`. `errno` is what the call that wrote it
/// returned.
fn stated(errno: wasmtime::Result<i32>, stat: &[u8]) -> Option<FileKind> {
    match errno {
        Ok(SUCCESS) => {}
        // Opening the path returns the error.
        Ok(_) => return None,
        // wasmtime-wasi has no number for a socket, and traps.
        Err(_) => return Some(FileKind::Socket),
    }
    match stat[FILE_TYPE] {
        1 => Some(FileKind::BlockDevice),
        2 => Some(FileKind::CharacterDevice),
        5 | 6 => Some(FileKind::Socket),
        // WASI 0.1 has no number for a FIFO.
        0 => Some(FileKind::Fifo),
        3 => Some(FileKind::Folder),
        4 => Some(FileKind::Regular),
        _ => None,
    }
}

/// The size of a `filestat`, and where in it the kind of the file is.
const FILE_STAT: usize = 64;
const FILE_TYPE: usize = 16;
