//! The guests that come with the binary, built from examples/.

/// A guest's name and its component.
pub(crate) type Bundled = (&'static str, &'static [u8]);

macro_rules! bundled {
    ($($name:literal),*) => {
        &[$(($name, include_bytes!(concat!(env!("BUNDLED_GUESTS"), "/", $name, ".wasm")))),*]
    };
}

const GUESTS: &[Bundled] = bundled!["cat", "lines", "tee", "upper"];

/// The component behind `@name`.
pub(crate) fn guest(name: &str) -> Option<Bundled> {
    GUESTS.iter().find(|(known, _)| *known == name).copied()
}

/// The names, without `@`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GUESTS.iter().map(|(name, _)| *name)
}
