//! Loads compiled code from a file. This is the only place where bytes are trusted to be what the
//! compiler made.
//!
//! A file is executed only if it lies in a [`PrivateFolder`](super::PrivateFolder), where only this
//! user can have put it, and if its seal fits. The seal is a keyed hash over the file's length and its
//! checksum. It shows that the file was made for just this guest, engine and settings, and that nothing
//! has damaged it since. It is no defence against somebody who can write to the folder: no seal could be.

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Read as _, Seek as _};
#[cfg(all(feature = "cli", target_os = "linux", not(feature = "portable")))]
use std::ptr::NonNull;

use twox_hash::XxHash3_64;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::{PrivateFile, platform};

/// The length in bytes of a seal, which stands at the end of a file.
const SEAL: usize = blake3::OUT_LEN;

/// How many bytes of a file are read at once: what stays in the processor's cache until it is summed up.
const PIECE: usize = 128 * 1024;

/// Identifies what a piece of code was made from and for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeKey(pub [u8; blake3::KEY_LEN]);

impl CodeKey {
    /// Returns the seal that must follow `code` in its file.
    pub(crate) fn seal(&self, code: &[u8]) -> [u8; SEAL] {
        self.seal_of(code.len() as u64, XxHash3_64::oneshot(code))
    }

    /// Makes a seal of a length and a checksum. A hash of the whole file would take several times as
    /// long, and each start waits for it.
    fn seal_of(&self, length: u64, checksum: u64) -> [u8; SEAL] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&length.to_le_bytes()).update(&checksum.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Returns whether `file` is whole and was made for this key. Reads the whole file.
    fn fits(&self, file: &PrivateFile) -> io::Result<bool> {
        let mut file = file.file();
        let length = file.metadata()?.len();
        let Some(code_length) = length.checked_sub(SEAL as u64) else { return Ok(false) };
        let (mut checksum, mut left) = (XxHash3_64::new(), code_length);
        let mut buf = vec![0; PIECE];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            match file.read(&mut buf[..most]) {
                // It was made shorter meanwhile.
                Ok(0) => return Ok(false),
                Ok(n) => {
                    checksum.write(&buf[..n]);
                    left -= n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut seal = [0; SEAL];
        file.read_exact(&mut seal)?;
        Ok(self.seal_of(code_length, checksum.finish()) == seal)
    }
}

/// Code that wasmtime compiles: a component or a module.
pub(crate) trait Code: Send + Sized {
    /// The name of this kind of code. It keeps the kinds apart in keys.
    const KIND: &'static str;

    /// Compiles a guest. Blocks for as long as that takes.
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;

    /// Returns the bytes that [`load`] reads, without their seal.
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;

    /// Maps compiled code into memory.
    ///
    /// # Safety
    /// The file must be one that [`Code::serialize`] made, and no process may change it.
    #[doc(hidden)]
    unsafe fn map(engine: &Engine, name: &str) -> wasmtime::Result<Self>;

    /// Copies compiled code into memory.
    ///
    /// # Safety
    /// The bytes must come from [`Code::serialize`].
    #[doc(hidden)]
    unsafe fn copy(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;

    /// Uses compiled code where it is.
    ///
    /// # Safety
    /// The bytes must come from [`Code::serialize`]. They must be executable, and nobody may change them or unmap them
    /// before the engine says to its [`wasmtime::CustomCodeMemory`] that it is done with them.
    #[doc(hidden)]
    #[cfg(all(feature = "cli", target_os = "linux", not(feature = "portable")))]
    unsafe fn in_place(engine: &Engine, memory: NonNull<[u8]>) -> wasmtime::Result<Self>;
}

/// Maps the code in `file` into memory. Returns `None` if the file is damaged or was made for another
/// key. If the system refuses executable mappings of the file (a `noexec` mount), copies the code.
///
/// # Errors
/// Those of reading the file, and wasmtime's if it refuses the code.
pub(crate) fn load<C: Code>(
    engine: &Engine,
    file: &PrivateFile,
    key: &CodeKey,
) -> wasmtime::Result<Option<C>> {
    if !key.fits(file)? {
        return Ok(None);
    }
    // SAFETY: the seal shows that a compiler with these settings made this of this guest. Only this
    // user, who may run any code anyway, can write to the folder and the file, and this user's
    // pipehosts replace files but never change them.
    let mapped = unsafe { C::map(engine, &platform::path_of(file.file())) };
    mapped.map(Some).or_else(|refused| {
        let Ok(bytes) = whole(file.file()) else { return Err(refused) };
        let code = &bytes[..bytes.len().saturating_sub(SEAL)];
        // SAFETY: as above.
        unsafe { C::copy(engine, code) }.map(Some)
    })
}

/// Reads a file from its beginning, wherever its position is.
fn whole(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

macro_rules! code {
    ($type:ty, $kind:literal) => {
        impl Code for $type {
            const KIND: &'static str = $kind;

            fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self> {
                Self::from_binary(engine, wasm)
            }

            fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
                Self::serialize(self)
            }

            unsafe fn map(engine: &Engine, name: &str) -> wasmtime::Result<Self> {
                // SAFETY: the caller keeps the same promise.
                unsafe { Self::deserialize_file(engine, name) }
            }

            unsafe fn copy(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: the caller keeps the same promise.
                unsafe { Self::deserialize(engine, bytes) }
            }

            #[cfg(all(feature = "cli", target_os = "linux", not(feature = "portable")))]
            unsafe fn in_place(engine: &Engine, memory: NonNull<[u8]>) -> wasmtime::Result<Self> {
                // SAFETY: the caller keeps the same promise.
                unsafe { Self::deserialize_raw(engine, memory) }
            }
        }
    };
}

code!(Component, "component");
code!(Module, "module");
