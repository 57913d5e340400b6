//! `read-directory` of WASI 0.2 and 0.3, whose entries are read as they are asked for, and within what the host
//! holds for a guest. wasmtime-wasi's of 0.2 holds the whole folder for each stream, that of 0.3 a
//! thread.

#[cfg(feature = "p2")]
mod v0_2;
#[cfg(feature = "p3")]
mod v0_3;

use wasmtime::component::Linker;
use wasmtime_wasi::filesystem::Descriptor;

use super::PipesView;
use crate::limits::{Exceeded, GuestQuotas, HeldBytes, Permit};
use crate::sys::Folder;

/// What the host holds for a folder that is being read, in bytes, and its descriptor.
const BUFFER: usize = 33 * 1024;

/// A folder that is being read.
struct Stream {
    folder: Folder,
    _held: (HeldBytes, Permit),
}

/// Why a folder cannot be read.
enum OpenError {
    NotAFolder,
    Exceeded,
    Io(std::io::Error),
}

impl From<Exceeded> for OpenError {
    fn from(_: Exceeded) -> Self {
        Self::Exceeded
    }
}

/// Opens a stream over what `descriptor` stands for.
fn open(descriptor: &Descriptor, quotas: &GuestQuotas) -> Result<Stream, OpenError> {
    let Descriptor::Dir(dir) = descriptor else {
        return Err(OpenError::NotAFolder);
    };
    let held = (quotas.held_bytes(BUFFER)?, quotas.descriptors(1)?);
    Ok(Stream { folder: Folder::open(&dir.dir).map_err(OpenError::Io)?, _held: held })
}

/// Replaces `read-directory` in `linker`, which must have `wasi:filesystem` already: that of 0.3 where
/// `v0_3` says so.
///
/// # Errors
/// Where a name is taken and may not be shadowed: this sets `allow_shadowing`, and takes it back.
pub(crate) fn add_to_linker<T: PipesView + 'static>(
    linker: &mut Linker<T>,
    v0_3: bool,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = add(linker, v0_3);
    linker.allow_shadowing(false);
    added
}

fn add<T: PipesView + 'static>(linker: &mut Linker<T>, v0_3: bool) -> wasmtime::Result<()> {
    #[cfg(feature = "p2")]
    v0_2::add(linker)?;
    #[cfg(feature = "p3")]
    if v0_3 {
        v0_3::add(linker)?;
    }
    let _ = (linker, v0_3);
    Ok(())
}
