//! Opens files in granted folders for a guest: files only, and within what the host may hold for
//! it.
//!
//! wasmtime-wasi's functions do the work. The functions here shadow them, check before they call
//! them, and count what they hold.

#[cfg(feature = "p2")]
mod v0_2;
#[cfg(feature = "p3")]
mod v0_3;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::Descriptor;

use super::PipesView;
use crate::limits::{GuestQuotas, HeldBytes, Permit};
use crate::pipe::{Event, Events};
use crate::sys::{self, FileKind, SystemError};

/// The most that wasmtime-wasi reads or writes of a file at once, in bytes.
const MOST_AT_ONCE: usize = 64 * 1024;

/// The files and folders that a guest has opened, by their handles, and what the host holds for each.
#[derive(Clone, Default)]
struct Opened(Arc<Mutex<HashMap<u32, Arc<Permit>>>>);

impl Opened {
    fn add(&self, descriptor: &Resource<Descriptor>, held: Permit) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(descriptor.rep(), Arc::new(held));
    }

    fn remove(&self, rep: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&rep);
    }

    /// Returns what is held for a descriptor; its streams keep it, too. `None` for a granted
    /// folder.
    fn held(&self, descriptor: &Resource<Descriptor>) -> Option<Arc<Permit>> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(&descriptor.rep()).cloned()
    }
}

/// Replaces the functions that open files, and streams over them, in `linker`, which must have
/// `wasi:filesystem` already. Replaces those of 0.3 if `v0_3` is set.
///
/// # Errors
/// Fails if a name is taken and may not be shadowed. Sets `allow_shadowing`, and takes it back.
pub(crate) fn add_to_linker<T: PipesView + WasiView + 'static>(
    linker: &mut Linker<T>,
    v0_3: bool,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = add(linker, v0_3);
    linker.allow_shadowing(false);
    added
}

fn add<T: PipesView + WasiView + 'static>(
    linker: &mut Linker<T>,
    v0_3: bool,
) -> wasmtime::Result<()> {
    let opened = Opened::default();
    #[cfg(feature = "p2")]
    v0_2::add(linker, &opened)?;
    #[cfg(feature = "p3")]
    if v0_3 {
        v0_3::add(linker, &opened)?;
    }
    let _ = (linker, v0_3, opened);
    Ok(())
}

/// A special file: neither a file nor a folder. Opening it may take bytes from a peer, and no
/// process would read them then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Special(FileKind);

impl Special {
    /// Returns `kind` as a special file, if it is one.
    pub(super) fn of(kind: FileKind) -> Option<Self> {
        match kind {
            FileKind::Socket | FileKind::CharacterDevice | FileKind::BlockDevice => {
                Some(Self(kind))
            }
            // wasmtime-wasi has no other kind for a FIFO.
            FileKind::Fifo | FileKind::Unknown => Some(Self(FileKind::Fifo)),
            _ => None,
        }
    }

    /// Reports that the guest tried to open the special file.
    pub(super) fn tell(self, path: &str, events: &Events) {
        events.tell(&Event::SpecialFile { path: path.into(), kind: self.0 });
    }
}

/// What happens when a special file is opened with some flags: the same as in open(2), if that
/// fails before it opens anything.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhenSpecial {
    /// wasmtime-wasi, or the system, returns the error.
    Fails,
    /// `not-directory`. wasmtime-wasi would open the file to find that out.
    NotDirectory,
    /// It would be opened, so it is refused.
    Refused,
}

impl WhenSpecial {
    pub(super) fn of(create: bool, exclusive: bool, truncate: bool, directory: bool) -> Self {
        match directory {
            true if create || exclusive || truncate => Self::Fails,
            true => Self::NotDirectory,
            false if create && exclusive => Self::Fails,
            false => Self::Refused,
        }
    }
}

/// Returns the special file behind `descriptor`, if it is one: it may have been put there after the
/// check.
fn is_special(descriptor: &Descriptor) -> Option<Special> {
    match descriptor {
        Descriptor::File(file) => Special::of(sys::kind_of(&file.file).ok()?),
        Descriptor::Dir(_) => None,
    }
}

/// Takes one of the process's descriptors for a file that is opened.
fn descriptor(quotas: &GuestQuotas) -> io::Result<Permit> {
    quotas.descriptors(1).map_err(|_| SystemError::ProcessHandles.into())
}

/// Takes room for this many bytes of a file.
fn bytes(quotas: &GuestQuotas, amount: usize) -> io::Result<HeldBytes> {
    quotas.held_bytes(amount).map_err(|_| SystemError::NoMemory.into())
}
