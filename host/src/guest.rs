//! A guest on its way from a file to something that can run: what it is, and whether it will do.

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

/// The largest guest that is read: bounds what compiling one can cost.
const MAX_GUEST_BYTES: u64 = 256 * 1024 * 1024;

/// A compiled guest.
#[derive(Clone)]
pub struct Guest {
    pub(crate) kind: Kind,
    code: Kept,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// What became of a guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It came out of the engine's cache, and nothing had to be compiled.
    Before,
    /// It was compiled, and is in the engine's cache now.
    Now,
    /// It was compiled, and is not: the engine has no cache, or that could not take it.
    Not,
}

#[derive(Clone)]
pub(crate) enum Kind {
    /// A component that exports `wasi:cli/run` of this version.
    Command(Component, WasiVersion),
    /// A core module for WASI 0.1.
    Module(Module),
    /// A component without a `run`: good for inspection only.
    Library,
}

/// Why something is no usable guest. The text names what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// It cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The path is a folder.
    #[error("{}: is a folder; name the .wasm file in it", .0.display())]
    IsAFolder(PathBuf),
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is larger than is ever compiled.
    #[error("is larger than {} MiB, which is the most that is compiled", MAX_GUEST_BYTES >> 20)]
    TooLarge,
    /// It is not WebAssembly.
    #[error("is not a WebAssembly component or module, it looks like {0}")]
    NotWasm(&'static str),
    /// It is damaged, or uses what the engine does not know.
    #[error("is not valid: {0}")]
    Invalid(String),
    /// It is text that is no WebAssembly.
    #[error("{place}: {what}")]
    Text {
        /// The line, a colon, the column.
        place: String,
        /// What is wrong there.
        what: String,
        /// The line itself, and a mark below it, as they are to be shown.
        lines: Vec<String>,
    },
    /// It needs more memory to start than it may have.
    #[error("needs at least {0} bytes of memory to start")]
    TooLittleMemory(u64),
    /// It is for a version of WASI that this build leaves out: see the crate's features `p1`, `p2` and `p3`.
    #[error("is for WASI {0}, which this build of pipehost leaves out")]
    NotBuilt(WasiVersion),
    /// It imports what pipehost has not.
    #[error(
        "imports `{0}`, which pipehost does not provide; `pipehost inspect` lists what it needs"
    )]
    UnknownImport(String),
    /// It imports our package in a version that is not ours.
    #[error(
        "imports {theirs}, and this pipehost provides {}; build it against one of those",
        ours()
    )]
    OtherVersion {
        /// The import, with its version.
        theirs: String,
    },
    /// Something that it imports does not fit what pipehost provides.
    #[error("does not fit what pipehost provides, or what it is permitted: {0}")]
    Mismatch(String),
    /// The system has no memory for it.
    #[error(
        "there is no memory for it: {0}; raise `ulimit -v`, or what the container may use, or run fewer guests"
    )]
    NoMemory(String),
    /// The host could not compile it: no thread is to be had, or it has a bug.
    #[error("cannot be compiled: {0}")]
    NotCompiled(String),
    /// It cannot be started.
    #[error(
        "exports no `wasi:cli/run` (a module: no `_start` without parameters), so there is nothing to start; it exports {}",
        list(.exports)
    )]
    NoRun {
        /// What it does export.
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
    /// Whether there is no such file, or only a folder.
    pub fn is_missing(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        match self {
            Self::IsAFolder(_) => true,
            Self::Unreadable { error, .. } => matches!(error.kind(), NotFound | NotADirectory),
            _ => false,
        }
    }

    /// Whether reading it is not permitted.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Unreadable { error, .. }
            if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether reading it failed in any other way, or the system had no memory for it.
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
        // A pipe has no length: one byte more than permitted tells.
        file.take(MAX_GUEST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::from_bytes(engine, &bytes)
    }

    /// Compiles a component, a core module, or the text of either. Blocks for as long as that
    /// takes.
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
                let (module, code) = compiled(engine, binary)?;
                Ok(Self { code, ..Self::from_module(module) })
            }
            _ => {
                let (component, code) = compiled(engine, binary)?;
                Ok(Self { code, ..Self::from_component(engine, component) })
            }
        }
    }

    /// What [`Guest::from_bytes`] gives, if it is in the engine's cache: without compiling anything,
    /// in about the time that reading the code takes.
    pub fn from_cache(engine: &Engine, bytes: &[u8]) -> Option<Self> {
        let guest = match Format::of(bytes) {
            Format::Component => Self::from_component(engine, cached(engine, bytes)?),
            Format::Module => Self::from_module(cached(engine, bytes)?),
            Format::Text | Format::Other(_) => return None,
        };
        Some(Self { code: Kept::Before, ..guest })
    }

    fn from_module(module: Module) -> Self {
        let mut imports: Vec<_> = module.imports().map(|import| import.module().into()).collect();
        imports.dedup();
        let exports = module.exports().map(|export| export.name().into()).collect();
        Self { kind: Kind::Module(module), code: Kept::Not, imports, exports }
    }

    fn from_component(engine: &Engine, component: Component) -> Self {
        let ty = component.component_type();
        let names = |(name, _): (&str, _)| name.to_owned();
        let imports = ty.imports(engine.wasmtime()).map(names).collect();
        let exports: Vec<String> = ty.exports(engine.wasmtime()).map(names).collect();
        // A component may export several versions; the newest is what its author means.
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

    /// That this build cannot run it, though another could.
    pub(crate) fn not_built(&self) -> GuestError {
        match self.version() {
            Some(version) => GuestError::NotBuilt(version),
            None => GuestError::NoRun { exports: self.exports.clone() },
        }
    }

    /// Whether its code was in the engine's cache, or is now.
    pub fn kept(&self) -> Kept {
        self.code
    }

    /// The version of WASI that it is started by; `None` for a component without a `run`.
    pub fn version(&self) -> Option<WasiVersion> {
        match &self.kind {
            Kind::Command(_, version) => Some(*version),
            Kind::Module(_) => Some(WasiVersion::V0_1),
            Kind::Library => None,
        }
    }

    /// Whether it is a component, rather than a core module.
    pub fn is_component(&self) -> bool {
        !matches!(self.kind, Kind::Module(_))
    }

    /// The names of what it imports: interfaces for a component, modules for a module.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether it imports anything of `package` in this version of WASI.
    pub(crate) fn imports_of(&self, package: &str, version: WasiVersion) -> bool {
        let of = |interface: Interface| interface.is_of(package, version);
        self.imports.iter().any(|name| name.parse().is_ok_and(of))
    }

    /// The names of what it exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// What to say where the linker refused the guest.
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

/// The code of `wasm`, if it is in the engine's cache.
fn cached<C: Code>(engine: &Engine, wasm: &[u8]) -> Option<C> {
    let code = engine.cache()?.get(engine.wasmtime(), wasm)?;
    tracing::info!("the compiled code is in the cache");
    Some(code)
}

/// The code of `wasm` out of the engine's cache, or compiled, and then kept.
fn compiled<C: Code>(engine: &Engine, wasm: &[u8]) -> Result<(C, Kept), GuestError> {
    if let Some(code) = cached(engine, wasm) {
        return Ok((code, Kept::Before));
    }
    // Others that want the same code wait for it.
    let turn = engine.cache().and_then(|cache| cache.turn::<C>(engine.wasmtime(), wasm));
    if let Some(turn) = &turn
        && turn.has_waited()
        && let Some(code) = cached(engine, wasm)
    {
        return Ok((code, Kept::Before));
    }
    let started = Instant::now();
    let code = threads::divided(|| C::compile(engine.wasmtime(), wasm));
    let code = code.map_err(GuestError::NotCompiled)?.map_err(|error| {
        let text = one_line(&error);
        match is_out_of_memory(&error) {
            true => GuestError::NoMemory(text),
            false => GuestError::Invalid(text),
        }
    })?;
    tracing::info!("compiled in {} ms", started.elapsed().as_millis());
    let kept = engine.cache().is_some_and(|cache| cache.put(engine.wasmtime(), wasm, &code));
    Ok((code, if kept { Kept::Now } else { Kept::Not }))
}

/// Whether the system has refused memory or address space.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::error::OutOfMemory>() || error.chain().any(sys::is_no_memory)
}

/// What the first bytes of a file say that it is.
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
            // Two bytes of version, then two of layer: 0 a module, 1 a component.
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

/// What is wrong with a text.
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

/// An error's whole chain without line breaks: what a guest's bytes say must not break the one
/// line that an operator is shown.
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

        /// Any bytes are answered by an error of one line, and by no panic.
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
