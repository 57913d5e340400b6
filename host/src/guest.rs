//! A guest on its way from a file to code that can run: its kind, and whether this host can run it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmtime::Module;
use wasmtime::component::Component;

use crate::engine::Engine;
use crate::interfaces::{Interface, WasiVersion, is_provided_module};
use crate::sys::{self, Code};
use crate::threads;

/// The size in bytes of the largest guest that is read. It bounds what compiling a guest can cost.
pub(crate) const MAX_GUEST_BYTES: u64 = 256 * 1024 * 1024;

/// A compiled guest.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Engine, Guest, Kept, WasiVersion};
///
/// let engine = Engine::new()?;
/// let guest = Guest::from_bytes(&engine, b"(module (func (export \"_start\")))")?;
/// assert_eq!(guest.version(), Some(WasiVersion::V0_1));
/// assert_eq!(guest.exports(), ["_start"]);
/// assert_eq!(guest.kept(), Kept::Not); // the engine has no cache
///
/// let missing = Guest::from_file(&engine, "no-such.wasm".as_ref());
/// assert!(missing.is_err_and(|error| error.is_missing()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Guest {
    pub(crate) kind: Kind,
    code: Kept,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Whether a guest's code is in the engine's cache.
///
/// Returned by [`Guest::kept`]: see the examples of [`Guest`] and of
/// [`Cache`](crate::cache::Cache).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It came out of the cache, and nothing was compiled.
    Before,
    /// It was compiled, and is in the cache now.
    Now,
    /// It was compiled, and is not in the cache: the engine has none, or could not write to it.
    Not,
}

/// What compiled code is.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum CodeKind {
    /// A module.
    Module,
    /// A component, for the engine without concurrency.
    Lean,
    /// A component, for the engine with it.
    Concurrent,
}

#[derive(Clone)]
pub(crate) enum Kind {
    /// A component that exports `wasi:cli/run` of this version.
    Command(Component, WasiVersion),
    /// A core module for WASI 0.1.
    Module(Module),
    /// A component without a `run`, which can only be inspected.
    Library,
}

/// Why a guest cannot be used. The text says what to do about it.
///
/// Returned by [`Guest::from_file`] and [`Guest::from_bytes`]: see the example of [`Guest`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The file cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// The path is a folder.
    #[error("{}: is a folder; name the .wasm file in it", .0.display())]
    IsAFolder(PathBuf),
    /// The guest has no bytes.
    #[error("is empty")]
    Empty,
    /// The guest is too large to be compiled.
    #[error("is larger than {} MiB, which is the most that is compiled", MAX_GUEST_BYTES >> 20)]
    TooLarge,
    /// The bytes are not WebAssembly.
    #[error("is not a WebAssembly component or module, it looks like {0}")]
    NotWasm(&'static str),
    /// The guest is damaged, or uses a feature that the engine does not know.
    #[error("is not valid: {0}")]
    Invalid(String),
    /// The text is not valid WebAssembly text.
    #[error("{place}: {what}")]
    Text {
        /// The line, a colon, the column.
        place: String,
        /// The error at this place.
        what: String,
        /// The line itself, and a mark below it, to be shown as they are.
        lines: Vec<String>,
    },
    /// The guest needs more memory to start than it may have.
    #[error("needs at least {0} bytes of memory to start")]
    TooLittleMemory(u64),
    /// The guest is for a version of WASI that this build leaves out: see the crate's features `p1`,
    /// `p2` and `p3`.
    #[error("is for WASI {0}, which this build of pipehost leaves out")]
    NotBuilt(WasiVersion),
    /// The guest imports an interface that pipehost does not provide.
    #[error(
        "imports `{0}`, which pipehost does not provide; `pipehost inspect` lists what it needs"
    )]
    UnknownImport(String),
    /// The guest imports pipehost's package in a version that this build does not provide.
    #[error(
        "imports {theirs}, and this pipehost provides {}; build it against one of those",
        ours()
    )]
    OtherVersion {
        /// The import, with its version.
        theirs: String,
    },
    /// An import of the guest does not fit what pipehost provides.
    #[error("does not fit what pipehost provides, or what it is permitted: {0}")]
    Mismatch(String),
    /// The system has no memory for the guest.
    #[error(
        "there is no memory for it: {0}; raise `ulimit -v`, or what the container may use, or run fewer guests"
    )]
    NoMemory(String),
    /// The host could not compile the guest: no thread can be started, or the compiler has a bug.
    #[error("cannot be compiled: {0}")]
    NotCompiled(String),
    /// The guest cannot be started.
    #[error(
        "exports no `wasi:cli/run` (a module: no `_start` without parameters), so there is nothing to start; it exports {}",
        list(.exports)
    )]
    NoRun {
        /// The names that it exports.
        exports: Vec<String>,
    },
}

fn ours() -> String {
    let [old, new] = crate::PACKAGES;
    format!("{old} and {new}")
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".into(),
        names => names.join(", "),
    }
}

impl GuestError {
    /// Returns whether there is no such file, or only a folder.
    pub fn is_missing(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        match self {
            Self::IsAFolder(_) => true,
            Self::Unreadable { error, .. } => matches!(error.kind(), NotFound | NotADirectory),
            _ => false,
        }
    }

    /// Returns whether reading the file is not permitted.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Unreadable { error, .. }
            if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Returns whether reading failed in any other way, or the system had no memory or thread for the
    /// guest.
    pub fn is_io(&self) -> bool {
        match self {
            Self::NoMemory(_) | Self::NotCompiled(_) => true,
            Self::Unreadable { .. } => !self.is_missing() && !self.is_permission(),
            _ => false,
        }
    }
}

impl Guest {
    /// Reads and compiles the file at `path`. Blocks for as long as that takes.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub fn from_file(engine: &Engine, path: &Path) -> Result<Self, GuestError> {
        Self::from_bytes(engine, &Self::read(path)?)
    }

    /// Reads the file at `path`, which may be a FIFO. Blocks for as long as that takes.
    ///
    /// # Errors
    /// See [`GuestError`]: those about files.
    pub(crate) fn read(path: &Path) -> Result<Vec<u8>, GuestError> {
        let unreadable = |error| GuestError::Unreadable { path: path.into(), error };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(GuestError::IsAFolder(path.into()));
        }
        if metadata.len() > MAX_GUEST_BYTES {
            return Err(GuestError::TooLarge);
        }
        let mut bytes = Vec::new();
        // A pipe has no length. Reading one byte more than permitted shows that it is too long.
        file.take(MAX_GUEST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    /// Compiles a component, a core module, or the text of either. Blocks for as long as that takes.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Self, GuestError> {
        if bytes.is_empty() {
            return Err(GuestError::Empty);
        }
        if bytes.len() as u64 > MAX_GUEST_BYTES {
            return Err(GuestError::TooLarge);
        }
        let parsed;
        let binary = match Format::of(bytes) {
            Format::Component | Format::Module => bytes,
            Format::Text => {
                parsed = wat::parse_bytes(bytes).map_err(|error| of_text(&error))?;
                &parsed
            }
            Format::Other(what) => return Err(GuestError::NotWasm(what)),
        };
        match Format::of(binary) {
            Format::Module => {
                let (module, code) = compiled(engine, engine.lean(), binary)?;
                Ok(Self { code, ..Self::from_module(module) })
            }
            _ => {
                let (component, code) = component(engine, binary)?;
                Ok(Self { code, ..Self::from_component(component) })
            }
        }
    }

    /// Returns the same as [`Guest::from_bytes`] if the code is in the engine's cache. Compiles
    /// nothing, and takes about as long as reading the code.
    pub fn from_cache(engine: &Engine, bytes: &[u8]) -> Option<Self> {
        let guest = match Format::of(bytes) {
            Format::Component => {
                let of =
                    if is_concurrent(bytes) { engine.concurrent().ok()? } else { engine.lean() };
                Self::from_component(cached(engine, of, bytes)?)
            }
            Format::Module => Self::from_module(cached(engine, engine.lean(), bytes)?),
            Format::Text | Format::Other(_) => return None,
        };
        Some(Self { code: Kept::Before, ..guest })
    }

    /// Returns the compiled code, and what [`Guest::from_pool`] must know of it. `None` for a guest that cannot be run.
    ///
    /// # Errors
    /// Those of the engine.
    #[cfg(feature = "cli")]
    pub(crate) fn to_code(&self, engine: &Engine) -> wasmtime::Result<Option<(CodeKind, Vec<u8>)>> {
        Ok(match &self.kind {
            Kind::Module(module) => Some((CodeKind::Module, Code::serialize(module)?)),
            Kind::Command(component, _) => {
                let is_lean = wasmtime::Engine::same(component.engine(), engine.lean());
                let kind = if is_lean { CodeKind::Lean } else { CodeKind::Concurrent };
                Some((kind, Code::serialize(component)?))
            }
            Kind::Library => None,
        })
    }

    /// Makes a guest of code that another process has compiled, and that stays where it is: in a slot of `pool`, of
    /// which `engine` must be.
    ///
    /// # Errors
    /// Those of the engine.
    #[cfg(feature = "cli")]
    pub(crate) fn from_pool(
        engine: &Engine,
        pool: &sys::CodePool,
        kind: CodeKind,
        slot: usize,
        length: usize,
    ) -> wasmtime::Result<Self> {
        Ok(match kind {
            CodeKind::Module => Self::from_module(pool.load(engine.lean(), slot, length)?),
            CodeKind::Lean => Self::from_component(pool.load(engine.lean(), slot, length)?),
            CodeKind::Concurrent => {
                Self::from_component(pool.load(engine.concurrent()?, slot, length)?)
            }
        })
    }

    fn from_module(module: Module) -> Self {
        let mut imports: Vec<_> = module.imports().map(|import| import.module().into()).collect();
        imports.dedup();
        let exports = module.exports().map(|export| export.name().into()).collect();
        Self { kind: Kind::Module(module), code: Kept::Not, imports, exports }
    }

    fn from_component(component: Component) -> Self {
        let ty = component.component_type();
        let names = |(name, _): (&str, _)| name.to_owned();
        let imports = ty.imports(component.engine()).map(names).collect();
        let exports: Vec<String> = ty.exports(component.engine()).map(names).collect();
        // A component may export several versions. The newest is the one that its author means.
        let run = exports
            .iter()
            .filter_map(|name| name.parse::<Interface>().ok())
            .filter(|interface| interface.is("wasi:cli", "run"))
            .filter_map(|interface| interface.wasi_version())
            .max();
        let kind = match run {
            Some(version) => Kind::Command(component, version),
            None => Kind::Library,
        };
        Self { kind, code: Kept::Not, imports, exports }
    }

    /// Returns the error for a guest that this build cannot run, though another build could.
    pub(crate) fn not_built(&self) -> GuestError {
        match self.version() {
            Some(version) => GuestError::NotBuilt(version),
            None => GuestError::NoRun { exports: self.exports.clone() },
        }
    }

    /// Returns whether the code was in the engine's cache, or is now.
    pub fn kept(&self) -> Kept {
        self.code
    }

    /// Returns the version of WASI that starts the guest, or `None` for a component without a `run`.
    pub fn version(&self) -> Option<WasiVersion> {
        match &self.kind {
            Kind::Command(_, version) => Some(*version),
            Kind::Module(_) => Some(WasiVersion::V0_1),
            Kind::Library => None,
        }
    }

    /// Returns whether the guest is a component, rather than a core module.
    pub fn is_component(&self) -> bool {
        !matches!(self.kind, Kind::Module(_))
    }

    /// Returns the names of the imports: interfaces for a component, modules for a module.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Returns whether the guest imports anything of `package` in this version of WASI.
    pub(crate) fn imports_of(&self, package: &str, version: WasiVersion) -> bool {
        let of = |interface: Interface| interface.is_of(package, version);
        self.imports.iter().any(|name| name.parse().is_ok_and(of))
    }

    /// Returns the names of the exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Explains why the linker refused the guest.
    pub(crate) fn explain(&self, refusal: &wasmtime::Error) -> GuestError {
        if is_out_of_memory(refusal) {
            return GuestError::NoMemory(one_line(refusal));
        }
        for name in &self.imports {
            match name.parse::<Interface>() {
                Ok(interface) if interface.is_ours() && !interface.is_provided() => {
                    return GuestError::OtherVersion { theirs: name.clone() };
                }
                Ok(interface) if interface.is_provided() => {}
                // WASI 0.1's modules have no version in their names.
                _ if !self.is_component() && is_provided_module(name) => {}
                _ => return GuestError::UnknownImport(name.clone()),
            }
        }
        GuestError::Mismatch(one_line(refusal))
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("version", &self.version())
            .field("imports", &self.imports)
            .field("exports", &self.exports)
            .finish_non_exhaustive()
    }
}

/// Returns whether a component may use the component model's concurrency, by the interfaces that it names.
fn is_concurrent(wasm: &[u8]) -> bool {
    cfg!(feature = "p3") && memchr::memmem::find(wasm, b"@0.3.").is_some()
}

/// Compiles a component, for the lean engine if it can run there.
fn component(engine: &Engine, wasm: &[u8]) -> Result<(Component, Kept), GuestError> {
    if !is_concurrent(wasm) {
        let lean = compiled(engine, engine.lean(), wasm);
        if lean.is_ok() || !cfg!(feature = "p3") {
            return lean;
        }
        // It may use concurrency without naming an interface of WASI 0.3, or be invalid for both engines.
    }
    let concurrent = engine.concurrent();
    let concurrent = concurrent.map_err(|error| GuestError::NotCompiled(one_line(&error)))?;
    compiled(engine, concurrent, wasm)
}

/// Loads the code of `wasm`, if it is in the engine's cache.
fn cached<C: Code>(engine: &Engine, of: &wasmtime::Engine, wasm: &[u8]) -> Option<C> {
    let code = engine.cache()?.get(of, wasm)?;
    tracing::info!("the compiled code is in the cache");
    Some(code)
}

/// Loads the code of `wasm` from the engine's cache, or compiles it and writes it to the cache.
fn compiled<C: Code>(
    engine: &Engine,
    of: &wasmtime::Engine,
    wasm: &[u8],
) -> Result<(C, Kept), GuestError> {
    if let Some(code) = cached(engine, of, wasm) {
        return Ok((code, Kept::Before));
    }
    // Other processes that want the same code wait for this one.
    let turn = engine.cache().and_then(|cache| cache.turn::<C>(of, wasm));
    // One may have compiled it since this one looked.
    if turn.is_some()
        && let Some(code) = cached(engine, of, wasm)
    {
        return Ok((code, Kept::Before));
    }
    let started = Instant::now();
    let code = threads::divided(|| C::compile(of, wasm));
    let code = code.map_err(GuestError::NotCompiled)?.map_err(|error| {
        let text = one_line(&error);
        match is_out_of_memory(&error) {
            true => GuestError::NoMemory(text),
            false => GuestError::Invalid(text),
        }
    })?;
    tracing::info!("compiled in {} ms", started.elapsed().as_millis());
    let kept = engine.cache().is_some_and(|cache| cache.put(of, wasm, &code));
    Ok((code, if kept { Kept::Now } else { Kept::Not }))
}

/// Returns whether the system has refused memory or address space.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::error::OutOfMemory>() || error.chain().any(sys::is_no_memory)
}

/// The kind of a file, according to its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Component,
    Module,
    Text,
    Other(&'static str),
}

impl Format {
    fn of(bytes: &[u8]) -> Self {
        if let Some(rest) = bytes.strip_prefix(b"\0asm") {
            // Two bytes of version, then two of layer: 0 for a module, 1 for a component.
            return match rest.get(2..4) {
                Some([1, 0]) => Self::Component,
                _ => Self::Module,
            };
        }
        if bytes.starts_with(b"\x7fELF") {
            return Self::Other("an ELF file (a precompiled .cwasm is one too, and is never run)");
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.trim_start().starts_with(['(', ';']) => Self::Text,
            Ok(_) => Self::Other("text; only WebAssembly's text format, .wat, is understood"),
            Err(_) => Self::Other("something else"),
        }
    }
}

/// Makes an error of what the text parser reports.
fn of_text(error: &wat::Error) -> GuestError {
    let text = error.to_string();
    let mut lines = text.lines();
    let (what, place) = (lines.next(), lines.next());
    match (what, place.and_then(|place| place.trim_start().strip_prefix("--> <anon>:"))) {
        (Some(what), Some(place)) => GuestError::Text {
            place: place.trim().into(),
            what: what.into(),
            lines: lines.map(str::to_owned).collect(),
        },
        _ => GuestError::Invalid(one_line(&text)),
    }
}

/// Returns an error's whole chain without line breaks: a text from a guest must not break the one line
/// that the operator sees.
pub(crate) fn one_line(error: &impl fmt::Display) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_bytes_tell_the_format() {
        assert_eq!(Format::of(b"\0asm\x0d\0\x01\0"), Format::Component);
        assert_eq!(Format::of(b"\0asm\x01\0\0\0"), Format::Module);
        assert_eq!(Format::of(b" (module)"), Format::Text);
        assert_eq!(Format::of(b";; a comment\n(module)"), Format::Text);
        assert!(matches!(Format::of(b"hello"), Format::Other(_)));
        assert!(matches!(Format::of(b"\x7fELF\x02"), Format::Other(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any bytes give an error of one line, and no panic.
        #[test]
        fn damage_is_told_in_one_line(
            start in prop::sample::select(vec![
                &b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0", b"(", b"(component",
            ]),
            rest in prop::collection::vec(any::<u8>(), 1..64),
        ) {
            thread_local!(static ENGINE: Engine = Engine::new().unwrap());
            let bytes = [start, &rest].concat();
            if let Err(error) = ENGINE.with(|engine| Guest::from_bytes(engine, &bytes)) {
                prop_assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}
