//! The names of interfaces, as in `wasi:cli/run@0.2.6`, and which of them this host provides.

use std::fmt;
use std::str::FromStr;

/// The versions of pipehost's package, as WIT names them.
///
/// ```
/// let [old, new] = pipehost::PACKAGES;
/// println!("build guests against {old} or {new}");
/// ```
pub const PACKAGES: [&str; 2] = ["pipehost:pipes@0.2.0", "pipehost:pipes@0.3.0"];

const OURS: &str = "pipehost:pipes";

/// The provided packages of WASI, in 0.2 and 0.3 alike.
const PROVIDED: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// The modules of WASI 0.1, by their two names.
const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Returns whether this host provides `module` to a core module.
pub(crate) fn is_provided_module(module: &str) -> bool {
    MODULES.contains(&module)
}

/// A version of WASI.
///
/// Returned by [`Guest::version`](crate::Guest::version): see the example of
/// [`Guest`](crate::Guest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WasiVersion {
    /// 0.1, "preview 1": core modules.
    V0_1,
    /// 0.2: components with streams as resources.
    V0_2,
    /// 0.3: components with `stream<T>` and `async`.
    V0_3,
}

impl fmt::Display for WasiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_1 => "0.1",
            Self::V0_2 => "0.2",
            Self::V0_3 => "0.3",
        })
    }
}

/// The parts of `package/name@version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    package: String,
    name: String,
    version: Option<(u64, u64, String)>,
}

/// The text is not the name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an interface")]
pub(crate) struct NotAnInterface;

impl FromStr for Interface {
    type Err = NotAnInterface;

    fn from_str(text: &str) -> Result<Self, NotAnInterface> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (package, name) = path.rsplit_once('/').ok_or(NotAnInterface)?;
        if !package.contains(':') || name.is_empty() {
            return Err(NotAnInterface);
        }
        let version = version.map(|version| {
            let mut parts = version.splitn(3, '.');
            let mut number = || parts.next()?.parse().ok();
            let (major, minor) = (number()?, number()?);
            Some((major, minor, parts.next()?.to_owned()))
        });
        let version = match version {
            Some(None) => return Err(NotAnInterface),
            Some(version) => version,
            None => None,
        };
        Ok(Self { package: package.into(), name: name.into(), version })
    }
}

impl Interface {
    /// Returns whether this is `package/name` in any version.
    pub(crate) fn is(&self, package: &str, name: &str) -> bool {
        self.package == package && self.name == name
    }

    /// Returns whether this is of `package`, in this version of WASI.
    pub(crate) fn is_of(&self, package: &str, version: WasiVersion) -> bool {
        self.package == package && self.wasi_version() == Some(version)
    }

    /// Returns whether this is of pipehost's package, in any version.
    pub(crate) fn is_ours(&self) -> bool {
        self.package == OURS
    }

    /// Returns the version of WASI that this is of, or builds on.
    pub(crate) fn wasi_version(&self) -> Option<WasiVersion> {
        if !self.package.starts_with("wasi:") && !self.is_ours() {
            return None;
        }
        match self.version {
            Some((0, 2, _)) => Some(WasiVersion::V0_2),
            Some((0, 3, _)) => Some(WasiVersion::V0_3),
            _ => None,
        }
    }

    /// Returns whether this host provides the interface.
    pub(crate) fn is_provided(&self) -> bool {
        (self.is_ours() || PROVIDED.contains(&self.package.as_str()))
            && self.wasi_version().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Interface {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(parse("wasi:cli/run@0.2.6").wasi_version(), Some(WasiVersion::V0_2));
        assert_eq!(parse("wasi:cli/run@0.3.0-rc-1").wasi_version(), Some(WasiVersion::V0_3));
        assert_eq!(parse("wasi:cli/run@1.0.0").wasi_version(), None);
        assert_eq!(parse("acme:cli/run@0.2.0").wasi_version(), None);
        assert!(parse("pipehost:pipes/named@0.3.0").is_provided());
        assert!(!parse("pipehost:pipes/named@0.9.0").is_provided());
        assert!(!parse("wasi:http/types@0.2.0").is_provided());
        assert_eq!("run".parse::<Interface>(), Err(NotAnInterface));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "[a-z:/@.0-9-]{0,40}") {
            let _ = text.parse::<Interface>();
        }
    }
}
