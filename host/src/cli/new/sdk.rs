//! Where a plugin in Rust has its SDK from.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Deserialize;

use super::super::args::{Language, NewArgs};
use super::super::exit::{Failure, OrStatus, Status};

/// The version of the SDK that goes with this host.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the crate `pipehost-guest` is.
pub(super) enum Sdk {
    /// In the registry, once it is published.
    Registry,
    /// In this folder.
    Folder(String),
    /// Of another language: in the plugin's own folder.
    Inside,
}

#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

impl Sdk {
    pub(super) fn of(args: &NewArgs) -> Result<Self, Failure> {
        match (args.lang, &args.sdk_path) {
            (Language::Rust, None) => Ok(Self::Registry),
            (Language::Rust, Some(path)) => Ok(Self::Folder(found(path)?)),
            (_, None) => Ok(Self::Inside),
            (lang, Some(_)) => {
                let lang = lang.name();
                let error = anyhow!(
                    "--sdk-path is for Rust; leave it out, as the SDK for {lang} is put into the folder"
                );
                Err(error).or_status(Status::Usage)
            }
        }
    }

    /// Returns the dependency, as Cargo.toml has it.
    pub(super) fn dependency(&self, features: &[&str]) -> String {
        // A text of JSON is one of TOML, too.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let features = match features {
            [] => String::new(),
            features => format!(", features = {features:?}"),
        };
        match self {
            Self::Folder(path) => format!("{{ path = {}{features} }}", quoted(path)),
            _ if features.is_empty() => quoted(VERSION),
            _ => format!("{{ version = {}{features} }}", quoted(VERSION)),
        }
    }

    /// Returns what to do before it can be built, if anything.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Registry => Some(format!(
                "pipehost-guest {VERSION} is not on crates.io yet: have Cargo.toml say where a clone of pipehost is, \
                 pipehost-guest = {{ path = \"CLONE/guest\" }}, as --sdk-path CLONE does"
            )),
            Self::Folder(_) | Self::Inside => None,
        }
    }
}

/// Returns the folder of the SDK: `path` or, if that is a clone of pipehost, `guest` in it.
fn found(path: &Path) -> Result<String, Failure> {
    let is_sdk = |folder: &PathBuf| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let manifest = toml::from_str(&manifest).unwrap_or(Manifest { package: None });
        manifest.package.is_some_and(|package| package.name == "pipehost-guest")
    };
    let folders = [path.to_owned(), path.join("guest")];
    let folder = folders.iter().find(|folder| is_sdk(folder)).ok_or_else(|| {
        anyhow!(
            "--sdk-path {}: there is no crate pipehost-guest; name the folder `guest` of a clone of pipehost",
            path.display()
        )
    });
    let folder = std::path::absolute(folder.or_status(Status::Missing)?).or_status(Status::Io)?;
    let folder = folder.into_os_string().into_string();
    folder
        .map_err(|folder| {
            anyhow!("--sdk-path: `{}` is not UTF-8, which Cargo.toml is", folder.display())
        })
        .or_status(Status::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_toml() {
        let odd = "/a \"b\"\\c\u{7}/ü";
        for (sdk, features) in [
            (Sdk::Registry, &[][..]),
            (Sdk::Registry, &["mcp"]),
            (Sdk::Folder(odd.into()), &[]),
            (Sdk::Folder(odd.into()), &["mcp"]),
        ] {
            let text = format!("it = {}", sdk.dependency(features));
            let read: toml::Table = toml::from_str(&text).unwrap();
            let path = read["it"].get("path");
            assert_eq!(path.is_some(), matches!(sdk, Sdk::Folder(_)), "{text}");
            assert!(path.is_none_or(|path| path.as_str() == Some(odd)), "{text}");
            assert_eq!(read["it"].get("features").is_some(), !features.is_empty(), "{text}");
        }
    }
}
