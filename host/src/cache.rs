//! The cache of compiled guests, kept from one run to the next.
//!
//! An entry is a file. Its name is the hash of the guest's bytes, the engine's version and all of its
//! settings. It is written whole or not at all, so that any number of processes may fill the cache at
//! once. A damaged, foreign or planted entry fails its seal, and is compiled and written again.

use std::env;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use crate::sys::PrivateError;
use crate::sys::{self, Code, CodeKey, FolderLock, PrivateFolder};

/// How many bytes the cache may hold by default.
const DEFAULT_LIMIT: u64 = 256 * 1024 * 1024;

/// Changes with the format of entries.
const FORMAT: &str = "pipehost code 2";

/// The suffix of the names of entries.
const ENDING: &str = ".code";

/// How old a mark of use must be before it is renewed, so that not every start writes to the disk.
const MARK_AFTER: Duration = Duration::from_secs(3600);

/// An unfinished file of this age was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The prefix of the name of a lock, see [`Cache::turn`].
const COMPILING: &str = ".compiling-";

/// How long a process waits for another one that compiles the same guest. Compiling takes less, unless
/// the other process is stopped.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often a process that waits tries the lock.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A folder of compiled guests.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pipehost::{Engine, Guest, Kept, cache::Cache};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("cache");
/// let cache = Cache::at(&path)?.limit(64 << 20);
/// let engine = Engine::new()?.with_cache(cache);
/// let text = b"(module (func (export \"_start\")))";
/// assert_eq!(Guest::from_bytes(&engine, text)?.kept(), Kept::Now);
/// assert_eq!(Guest::from_bytes(&engine, text)?.kept(), Kept::Before);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cache {
    folder: PrivateFolder,
    limit: u64,
}

/// The right to compile a guest, see [`Cache::turn`]. Dropping it lets the next process or thread have
/// it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _lock: FolderLock<'a>,
}

/// Why there is no cache.
///
/// Returned by [`Cache::at`] and [`Cache::of_user`]: see the example of [`Cache`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Neither XDG_CACHE_HOME nor the variable for the user's own folder names one: HOME, on Windows
    /// LOCALAPPDATA.
    #[error(
        "there is no place for a cache; set XDG_CACHE_HOME or {} to a folder's whole path",
        sys::HOME
    )]
    NoPlace,
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] PrivateError),
}

impl CacheError {
    /// Returns whether another user could have put code into the cache: worth a warning.
    pub fn is_unsafe(&self) -> bool {
        matches!(self, Self::Folder(PrivateError::Exposed(_) | PrivateError::NotOurs { .. }))
    }
}

impl Cache {
    /// Opens the user's cache: `$XDG_CACHE_HOME/pipehost`, or `~/.cache/pipehost`, on macOS
    /// `~/Library/Caches/pipehost`, on Windows `%LOCALAPPDATA%\pipehost`. Makes the folder if it is missing.
    ///
    /// # Errors
    /// See [`CacheError`].
    pub fn of_user() -> Result<Self, CacheError> {
        let place = place(env::var_os("XDG_CACHE_HOME"), env::var_os(sys::HOME));
        Self::at(&place.ok_or(CacheError::NoPlace)?)
    }

    /// Opens a cache in the folder `path`. Makes the folder with mode 0700 if it is missing. It must
    /// belong to this user and be closed to other users.
    ///
    /// # Errors
    /// See [`CacheError`].
    pub fn at(path: &Path) -> Result<Self, CacheError> {
        Ok(Self { folder: PrivateFolder::open(path)?, limit: DEFAULT_LIMIT })
    }

    /// Sets how many bytes the cache may hold; default 256 MiB. Beyond that, the least recently used
    /// entries are removed.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Loads the code of `wasm`, if it is in the cache.
    pub(crate) fn get<C: Code>(&self, engine: &wasmtime::Engine, wasm: &[u8]) -> Option<C> {
        let key = key::<C>(engine, wasm);
        let file = self.folder.file(&file_name(&key))?;
        match sys::load_code(engine, &file, &key) {
            Ok(Some(code)) => {
                file.mark_used(MARK_AFTER);
                Some(code)
            }
            Ok(None) => {
                tracing::info!("a damaged entry of the cache is made anew");
                None
            }
            Err(error) => {
                tracing::info!("an entry of the cache cannot be used: {error:#}");
                None
            }
        }
    }

    /// Writes the code of `wasm` to the cache, and returns whether that succeeded. If it fails, there
    /// is no entry.
    pub(crate) fn put<C: Code>(&self, engine: &wasmtime::Engine, wasm: &[u8], code: &C) -> bool {
        let kept = code.serialize().and_then(|bytes| {
            let key = key::<C>(engine, wasm);
            self.make_room(bytes.len() as u64)?;
            Ok(self.folder.put(&file_name(&key), &[&bytes, &key.seal(&bytes)])?)
        });
        if let Err(error) = &kept {
            let folder = self.path().display();
            tracing::info!("{folder}: the compiled code cannot be kept: {error:#}");
        }
        kept.is_ok()
    }

    /// Takes the right to compile `wasm`, which one process or thread has at a time. Another one that
    /// wants the same code waits here, and then finds it in the cache. Returns `None` if the holder
    /// takes very long, or the folder cannot be locked: then several compile. Blocks for
    /// [`LONGEST_WAIT`] at most.
    pub(crate) fn turn<C: Code>(&self, engine: &wasmtime::Engine, wasm: &[u8]) -> Option<Turn<'_>> {
        self.turn_within(&key::<C>(engine, wasm), LONGEST_WAIT)
    }

    fn turn_within(&self, key: &CodeKey, longest: Duration) -> Option<Turn<'_>> {
        let name = format!("{COMPILING}{}", blake3::Hash::from_bytes(key.0).to_hex());
        let began = Instant::now();
        let mut waited = false;
        loop {
            match self.folder.try_lock(&name) {
                Ok(Some(lock)) => return Some(Turn { _lock: lock }),
                Ok(None) if began.elapsed() < longest => {
                    if !waited {
                        tracing::info!("waiting for another process, which compiles the same");
                    }
                    waited = true;
                    std::thread::sleep(LOOK_AGAIN);
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::debug!("{}: no lock: {error}", self.path().display());
                    return None;
                }
            }
        }
    }

    /// Removes the least recently used entries until `bytes` more fit in.
    fn make_room(&self, bytes: u64) -> std::io::Result<()> {
        if bytes > self.limit {
            return Err(std::io::Error::other("it is larger than the whole cache may be"));
        }
        let mut files = self.folder.files()?;
        // Other files in the folder are not the cache's.
        let is_lock = |name: &str| name.starts_with(COMPILING);
        files.retain(|file| is_entry(&file.name) || file.unfinished || is_lock(&file.name));
        files.retain(|file| {
            let unfinished = file.unfinished || is_lock(&file.name);
            let abandoned = unfinished && file.used.elapsed().is_ok_and(|age| age > ABANDONED);
            // Another process may have removed it first.
            !(abandoned && self.folder.remove(&file.name).is_ok())
        });
        files.sort_unstable_by_key(|file| file.used);
        let mut held = bytes + files.iter().map(|file| file.bytes).sum::<u64>();
        for file in files.iter().filter(|file| is_entry(&file.name)) {
            if held <= self.limit {
                break;
            }
            let _ = self.folder.remove(&file.name);
            held -= file.bytes;
        }
        Ok(())
    }
}

/// Returns the folder that the environment names.
fn place(cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    folder_of_user(cache_home, home, sys::CACHES)
}

/// Returns pipehost's folder in `named`, or in the folder `usual` of the folder `home`, which are values of variables. Ignores relative
/// paths, as the XDG specification says: they would name another folder wherever pipehost is started.
pub(crate) fn folder_of_user(
    named: Option<OsString>,
    home: Option<OsString>,
    usual: &str,
) -> Option<PathBuf> {
    let whole = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let folder = match named.and_then(whole) {
        Some(folder) => folder,
        None => home.and_then(whole)?.join(usual),
    };
    Some(folder.join("pipehost"))
}

fn key<C: Code>(engine: &wasmtime::Engine, wasm: &[u8]) -> CodeKey {
    let mut hasher = KeyHasher(blake3::Hasher::new());
    (FORMAT, C::KIND).hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.update(wasm);
    CodeKey(*hasher.0.finalize().as_bytes())
}

fn file_name(key: &CodeKey) -> String {
    format!("{}{ENDING}", blake3::Hash::from_bytes(key.0).to_hex())
}

/// Returns whether [`file_name`] makes such names.
fn is_entry(name: &str) -> bool {
    name.strip_suffix(ENDING).is_some_and(|hash| blake3::Hash::from_hex(hash).is_ok())
}

/// Feeds values that implement [`Hash`] into a key. A hash of 64 bits would be too short.
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never called: the key is taken as a whole.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::time::SystemTime;
    use wasmtime::Module;

    fn engine() -> wasmtime::Engine {
        wasmtime::Engine::default()
    }

    fn entries(cache: &Cache) -> Vec<String> {
        let mut names: Vec<_> =
            cache.folder.files().unwrap().into_iter().map(|file| file.name).collect();
        names.sort();
        names
    }

    /// Returns a different module for each `n`.
    fn module(engine: &wasmtime::Engine, n: u32) -> (Vec<u8>, Module) {
        let text = format!(r#"(module (func (export "f") (result i32) i32.const {n}))"#);
        let wasm = wat::parse_str(text).unwrap();
        let module = Module::new(engine, &wasm).unwrap();
        (wasm, module)
    }

    fn set_used(path: &Path, age: Duration) {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::now() - age)
            .unwrap();
    }

    #[test]
    fn the_environment_names_the_place() {
        let top = if cfg!(windows) { "C:\\" } else { "/" };
        let os = |text: &str| Some(OsString::from(text.replace('/', top)));
        let in_cache = PathBuf::from(top).join("c/pipehost");
        let in_home = PathBuf::from(top).join("h").join(sys::CACHES).join("pipehost");
        assert_eq!(place(os("/c"), os("/h")), Some(in_cache));
        assert_eq!(place(None, os("/h")), Some(in_home.clone()));
        assert_eq!(place(os(""), os("/h")), Some(in_home.clone()));
        assert_eq!(place(os("c"), os("/h")), Some(in_home));
        assert_eq!(place(None, os("")), None);
        assert_eq!(place(None, None), None);
    }

    #[test]
    fn what_is_put_is_got_by_the_same_engine_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("c")).unwrap();
        let engine = engine();
        let (wasm, module) = module(&engine, 1);
        assert!(cache.get::<Module>(&engine, &wasm).is_none());
        cache.put(&engine, &wasm, &module);
        assert!(cache.get::<Module>(&engine, &wasm).is_some());
        let mut other = wasmtime::Config::new();
        other.epoch_interruption(true);
        let other = wasmtime::Engine::new(&other).unwrap();
        assert!(cache.get::<Module>(&other, &wasm).is_none());
        assert!(cache.get::<wasmtime::component::Component>(&engine, &wasm).is_none());
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("c")).unwrap();
        let engine = engine();
        let (wasm, module) = module(&engine, 1);
        cache.put(&engine, &wasm, &module);
        let path = cache.path().join(&entries(&cache)[0]);
        let whole = fs::read(&path).unwrap();
        let places = [0, whole.len() / 2, whole.len() - 40, whole.len() - 1];
        for place in places {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(cache.get::<Module>(&engine, &wasm).is_none(), "byte {place}");
        }
        for length in [0, 31, 32, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(cache.get::<Module>(&engine, &wasm).is_none(), "length {length}");
        }
        fs::write(&path, whole).unwrap();
        assert!(cache.get::<Module>(&engine, &wasm).is_some());
    }

    #[test]
    fn an_entry_under_another_name_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("c")).unwrap();
        let engine = engine();
        let ((wasm, one), (other_wasm, other)) = (module(&engine, 1), module(&engine, 2));
        cache.put(&engine, &wasm, &one);
        let name = entries(&cache).remove(0);
        cache.put(&engine, &other_wasm, &other);
        let planted = entries(&cache).into_iter().find(|it| *it != name).unwrap();
        fs::rename(cache.path().join(planted), cache.path().join(name)).unwrap();
        assert!(cache.get::<Module>(&engine, &wasm).is_none());
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("c")).unwrap();
        let engine = engine();
        let modules: Vec<_> = (0..4).map(|n| module(&engine, n)).collect();
        for (n, (wasm, module)) in modules.iter().take(3).enumerate() {
            let before = entries(&cache);
            cache.put(&engine, wasm, module);
            let new = entries(&cache).into_iter().find(|name| !before.contains(name)).unwrap();
            set_used(&cache.path().join(new), Duration::from_secs(86400 * (3 - n as u64)));
        }
        // Using the oldest entry makes another one the oldest.
        assert!(cache.get::<Module>(&engine, &modules[0].0).is_some());
        let held: u64 = cache.folder.files().unwrap().iter().map(|file| file.bytes).sum();
        let cache = cache.limit(held);
        cache.put(&engine, &modules[3].0, &modules[3].1);
        let there = |n: usize| cache.get::<Module>(&engine, &modules[n].0).is_some();
        assert_eq!([there(0), there(1), there(2), there(3)], [true, false, true, true]);
        // An entry larger than the whole cache is not kept, and no other entry is removed for it.
        let cache = cache.limit(1000);
        let before = entries(&cache);
        cache.put(&engine, &modules[1].0, &modules[1].1);
        assert_eq!(entries(&cache), before);
    }

    #[test]
    fn one_compiles_and_no_other_waits_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("c")).unwrap();
        let (one, other) = (CodeKey([1; 32]), CodeKey([2; 32]));
        let first = cache.turn_within(&one, Duration::ZERO).unwrap();
        assert!(cache.turn_within(&one, Duration::ZERO).is_none());
        assert!(cache.turn_within(&other, Duration::ZERO).is_some());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cache.turn_within(&one, LONGEST_WAIT).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
        assert!(entries(&cache).is_empty());
        // A lock file that a killed process has left is free.
        fs::write(cache.path().join(format!("{COMPILING}{}", "1".repeat(64))), "").unwrap();
        assert!(cache.turn_within(&CodeKey([0x11; 32]), Duration::ZERO).is_some());
        assert!(entries(&cache).is_empty());
    }

    #[test]
    fn what_a_dead_process_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("c")).unwrap();
        let unfinished = |n: u64| format!(".writing-{n:016x}");
        let names = [unfinished(1), unfinished(2), ".profile".into(), "mine.code".into()];
        for name in &names {
            fs::write(cache.path().join(name), "x").unwrap();
        }
        for name in [&names[0], &names[2], &names[3]] {
            set_used(&cache.path().join(name), ABANDONED * 2);
        }
        // Files that are not the cache's are never removed, even if there is no room.
        cache.make_room(DEFAULT_LIMIT).unwrap();
        let left = [unfinished(2), ".profile".into(), "mine.code".into()];
        let mut found = entries(&cache);
        found.sort_by_key(|name| left.iter().position(|it| it == name));
        assert_eq!(found, left);
    }
}
