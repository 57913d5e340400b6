//! Where a plugin in Rust has its SDK from.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Deserialize;

use super::super::args::{Language, NewArgs};
use super::super::exit::{Failure, OrStatus, Status};

/// Where the crate `pipehost-guest` is.
pub(super) enum Sdk {
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
            (Language::Rust, None) => {
                let error = anyhow!(
                    "a plugin in Rust needs --sdk-path CLONE, a clone of pipehost, as pipehost-guest is not \
                     published yet"
                );
                Err(error).or_status(Status::Usage)
            }
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

    /// Returns the dependency, as Cargo.toml has it; nothing for other languages.
    pub(super) fn dependency(&self, features: &[&str]) -> String {
        let Self::Folder(path) = self else { return String::new() };
        // A text of JSON is one of TOML, too.
        let path = serde_json::Value::from(path.as_str());
        let features = match features {
            [] => String::new(),
            features => format!(", features = {features:?}"),
        };
        format!("{{ path = {path}{features} }}")
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
        let sdk = Sdk::Folder(odd.into());
        let cases: [&[&str]; 2] = [&[], &["mcp"]];
        for features in cases {
            let text = format!("it = {}", sdk.dependency(features));
            let read: toml::Table = toml::from_str(&text).unwrap();
            assert_eq!(read["it"]["path"].as_str(), Some(odd), "{text}");
            assert_eq!(read["it"].get("features").is_some(), !features.is_empty(), "{text}");
        }
    }
}
