//! The guests that come with the binary. They were built from examples/, by `.ci/bundle`.

/// A guest's name and its component.
pub(crate) type Bundled = (&'static str, &'static [u8]);

#[cfg(feature = "bundled")]
macro_rules! bundled {
    ($($name:literal),*) => {
        &[$(($name, include_bytes!(concat!("../guests/", $name, ".wasm")))),*]
    };
}

#[cfg(feature = "bundled")]
const GUESTS: &[Bundled] = bundled!["cat", "lines", "tee", "upper"];
#[cfg(not(feature = "bundled"))]
const GUESTS: &[Bundled] = &[];

/// The component behind `@name`.
pub(crate) fn guest(name: &str) -> Option<Bundled> {
    GUESTS.iter().find(|(known, _)| *known == name).copied()
}

/// The names, without `@`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GUESTS.iter().map(|(name, _)| *name)
}
