//! What a guest opens in granted folders: within what the host holds for it, and files only.
//!
//! wasmtime-wasi's functions do the work. Those here shadow them, look before they are called, and count what
//! they hold.

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

    /// What is held for a descriptor, which its streams keep open, too; nothing for a granted folder.
    fn held(&self, descriptor: &Resource<Descriptor>) -> Option<Arc<Permit>> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(&descriptor.rep()).cloned()
    }
}

/// Replaces what opens files, and streams of them, in `linker`, which must have `wasi:filesystem` already: that of
/// 0.3 where `v0_3` says so.
///
/// # Errors
/// Where a name is taken and may not be shadowed: this sets `allow_shadowing`, and takes it back.
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

/// What is no file, nor a folder: opening it may take bytes from a peer that nobody reads then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Special(FileKind);

impl Special {
    /// Whether a file of this kind is one.
    pub(super) fn of(kind: FileKind) -> Option<Self> {
        match kind {
            FileKind::Socket | FileKind::CharacterDevice | FileKind::BlockDevice => {
                Some(Self(kind))
            }
            // wasmtime-wasi has no other word for a FIFO.
            FileKind::Fifo | FileKind::Unknown => Some(Self(FileKind::Fifo)),
            _ => None,
        }
    }

    /// Tells that the guest tried to open it.
    pub(super) fn tell(self, path: &str, events: &Events) {
        events.tell(&Event::SpecialFile { path: path.into(), kind: self.0 });
    }
}

/// What becomes of opening one with these flags: as by open(2), where that fails before it opens anything.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhenSpecial {
    /// wasmtime-wasi, or the system, says what is wrong.
    Fails,
    /// `not-directory`. wasmtime-wasi would open it to find that out.
    NotDirectory,
    /// It would be opened.
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

/// Whether a file that was opened all the same is one: it came in between.
fn is_special(descriptor: &Descriptor) -> Option<Special> {
    match descriptor {
        Descriptor::File(file) => Special::of(sys::kind_of(&file.file).ok()?),
        Descriptor::Dir(_) => None,
    }
}

/// A descriptor of the process's for a file that is opened.
fn descriptor(quotas: &GuestQuotas) -> io::Result<Permit> {
    quotas.descriptors(1).map_err(|_| SystemError::ProcessHandles.into())
}

/// Room for so many bytes of a file.
fn bytes(quotas: &GuestQuotas, amount: usize) -> io::Result<HeldBytes> {
    quotas.held_bytes(amount).map_err(|_| SystemError::NoMemory.into())
}
