//! The guests that come with the binary. `.ci/bundle` built them from examples/.

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

/// Returns the name and the component of the guest `@name`.
pub(crate) fn guest(name: &str) -> Option<Bundled> {
    GUESTS.iter().find(|(known, _)| *known == name).copied()
}

/// Returns the names of the guests, without `@`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GUESTS.iter().map(|(name, _)| *name)
}
