//! `read-directory` of WASI 0.2 and 0.3. Reads entries as they are asked for, and within what the
//! host may hold for a guest. For each stream, wasmtime-wasi's function of 0.2 holds the whole
//! folder, and that of 0.3 holds a thread.

#[cfg(feature = "p2")]
mod v0_2;
#[cfg(feature = "p3")]
mod v0_3;

use wasmtime::component::Linker;
use wasmtime_wasi::filesystem::Descriptor;

use super::PipesView;
use crate::limits::{Exceeded, GuestQuotas, HeldBytes, Permit};
use crate::sys::Folder;

/// What the host holds for a folder that is being read: this many bytes, and its descriptor.
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

/// Opens a stream over the folder behind `descriptor`.
fn open(descriptor: &Descriptor, quotas: &GuestQuotas) -> Result<Stream, OpenError> {
    let Descriptor::Dir(dir) = descriptor else {
        return Err(OpenError::NotAFolder);
    };
    let held = (quotas.held_bytes(BUFFER)?, quotas.descriptors(1)?);
    Ok(Stream { folder: Folder::open(&dir.dir).map_err(OpenError::Io)?, _held: held })
}

/// Replaces `read-directory` in `linker`, which must have `wasi:filesystem` already. Replaces that
/// of 0.3 if `v0_3` is set.
///
/// # Errors
/// Fails if a name is taken and may not be shadowed. Sets `allow_shadowing`, and takes it back.
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
