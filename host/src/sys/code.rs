//! Compiled code out of a file: the one place where bytes are believed to be what the compiler
//! made.
//!
//! A file is executed only if it lies in a [`PrivateFolder`](super::PrivateFolder), where only this
//! user can have put it, and its seal, a keyed hash over all of it, shows that it is whole and was
//! made for just this guest, engine and settings.

use std::io;

use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::{PrivateFile, platform};

/// The length of a seal, which stands at the end of a file.
const SEAL: usize = blake3::OUT_LEN;

/// What a piece of code was made from and for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeKey(pub [u8; blake3::KEY_LEN]);

impl CodeKey {
    /// What is to follow `code` in its file.
    pub(crate) fn seal(&self, code: &[u8]) -> [u8; SEAL] {
        *blake3::keyed_hash(&self.0, code).as_bytes()
    }

    /// Whether `file` is whole, and was made for this key. Reads it all.
    fn fits(&self, file: &PrivateFile) -> io::Result<bool> {
        use io::Read;
        let mut file = file.file();
        let length = file.metadata()?.len();
        let Some(code_length) = length.checked_sub(SEAL as u64) else { return Ok(false) };
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update_reader(file.take(code_length))?;
        let mut seal = [0; SEAL];
        file.read_exact(&mut seal)?;
        // In constant time, which does no harm.
        Ok(hasher.finalize() == seal)
    }
}

/// Code that wasmtime compiles: a component or a module.
pub(crate) trait Code: Send + Sized {
    /// Tells the kinds apart in keys.
    const KIND: &'static str;

    /// Compiles. Blocks for as long as that takes.
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;

    /// What [`load`] takes, without its seal.
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;

    /// # Safety
    /// The file is what [`Code::serialize`] gave, and nobody changes it.
    #[doc(hidden)]
    unsafe fn map(engine: &Engine, name: &str) -> wasmtime::Result<Self>;

    /// # Safety
    /// The bytes are what [`Code::serialize`] gave.
    #[doc(hidden)]
    unsafe fn copy(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
}

/// Maps the code in `file` into memory; `None` where it is damaged, or was made for something else.
/// Where the system refuses executable mappings of the file (a `noexec` mount), copies it.
///
/// # Errors
/// Those of reading, and wasmtime's where it has a reason of its own to refuse the code.
pub(crate) fn load<C: Code>(
    engine: &Engine,
    file: &PrivateFile,
    key: &CodeKey,
) -> wasmtime::Result<Option<C>> {
    if !key.fits(file)? {
        return Ok(None);
    }
    // SAFETY: the seal shows that this is what a compiler with these settings made of this guest.
    // The folder and the file can be written by this user only, who may run any code as it is, and
    // whose pipehosts replace files but never change them.
    let mapped = unsafe { C::map(engine, &platform::path_of(file.file())) };
    mapped.map(Some).or_else(|refused| {
        let bytes = std::fs::read(platform::path_of(file.file())).map_err(|_| refused)?;
        let code = &bytes[..bytes.len().saturating_sub(SEAL)];
        // SAFETY: as above.
        unsafe { C::copy(engine, code) }.map(Some)
    })
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
                // SAFETY: the caller's promise is the one that is asked for.
                unsafe { Self::deserialize_file(engine, name) }
            }

            unsafe fn copy(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: the caller's promise is the one that is asked for.
                unsafe { Self::deserialize(engine, bytes) }
            }
        }
    };
}

code!(Component, "component");
code!(Module, "module");
