//! `pipehost new`: makes a folder with a plugin that builds, runs and has a test.

mod folder;
mod name;
mod sdk;
mod templates;

use std::path::Path;

use anyhow::anyhow;

use super::args::{Kind, Language, NewArgs};
use super::exit::{Failure, OrStatus, Status};
use super::output::print;
use crate::pipe::quoted_name;
use sdk::Sdk;
use templates::Template;

pub(crate) fn main(args: &NewArgs) -> Result<Status, Failure> {
    name::check(&args.name).map_err(|why| anyhow!(why)).or_status(Status::Usage)?;
    let template = Template::of(args.lang, args.kind)
        .ok_or_else(|| anyhow!(what_there_is(args.lang, args.kind)))
        .or_status(Status::Usage)?;
    let sdk = Sdk::of(args)?;
    let texts = Texts { template: &template, args, sdk: &sdk };
    let files: Vec<_> =
        template.files().map(|file| (texts.filled(file.path), texts.filled(file.text))).collect();
    let folder = Path::new(&args.name);
    folder::make(folder, &files).or_status(Status::Io)?;

    let (name, kind, lang) = (quoted_name(&args.name), template.about, args.lang.name());
    let mut told = format!("made {name}: {kind} in {lang}\n");
    told += "build it, run it, test it:\n";
    for step in texts.steps() {
        told += &format!("  {step}\n");
    }
    print(&told)
}

/// Says that there is no such plugin, and what there is instead.
fn what_there_is(lang: Language, kind: Kind) -> String {
    let kinds = Kind::ALL.into_iter().filter(|kind| Template::of(lang, *kind).is_some());
    let kinds: Vec<_> = kinds.map(Kind::word).collect();
    let languages = Language::ALL.into_iter().filter(|lang| Template::of(*lang, kind).is_some());
    let languages: Vec<_> = languages.map(Language::word).collect();
    format!(
        "there is no `--kind {}` for {}; it has {}, and that kind is there for {}",
        kind.word(),
        lang.name(),
        kinds.join(", "),
        languages.join(", ")
    )
}

/// What the placeholders of a template stand for.
struct Texts<'a> {
    template: &'a Template,
    args: &'a NewArgs,
    sdk: &'a Sdk,
}

impl Texts<'_> {
    fn filled(&self, text: &str) -> String {
        // What is put in by the first ones may contain the plugin's name.
        let text = text
            .replace("@STEPS@", &self.steps().join("\n"))
            .replace("@ABOUT@", self.template.sentence)
            .replace("@SOURCE@", self.template.source)
            .replace("@WASM@", self.template.wasm);
        self.named(&text)
            .replace("@SDK@", &self.sdk.dependency(&[]))
            .replace("@SDK_MCP@", &self.sdk.dependency(&["mcp"]))
    }

    /// Puts in the plugin's name, also as Rust writes it.
    fn named(&self, text: &str) -> String {
        let name = &self.args.name;
        text.replace("plugin-name", name).replace("plugin_name", &name.replace('-', "_"))
    }

    /// Returns the commands that build, run and test the plugin.
    fn steps(&self) -> Vec<String> {
        let path = format!("{}{}", self.template.built_in, self.named(self.template.wasm));
        let run = self.template.run.iter().map(|step| step.replace("@PLUGIN@", &path));
        [format!("cd {}", self.args.name), self.template.build.to_owned()]
            .into_iter()
            .chain(run)
            .chain([self.template.test.to_owned()])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_refused_with_what_there_is() {
        assert_eq!(
            what_there_is(Language::C, Kind::Mcp),
            "there is no `--kind mcp` for C; it has filter, command, and that kind is there for rust"
        );
    }

    /// Each template is complete, and nothing is left of its placeholders.
    #[test]
    fn placeholders_are_filled() {
        let mut seen = 0;
        for lang in Language::ALL {
            for kind in Kind::ALL {
                let Some(template) = Template::of(lang, kind) else { continue };
                let args = NewArgs { name: "a-b".into(), kind, lang, sdk_path: None };
                let sdk = match lang {
                    Language::Rust => Sdk::Folder("/clone/guest".into()),
                    _ => Sdk::of(&args).unwrap(),
                };
                let texts = Texts { template: &template, args: &args, sdk: &sdk };
                let mut paths = std::collections::BTreeSet::new();
                for file in template.files() {
                    let text = texts.filled(file.text);
                    for left in [
                        "@STEPS",
                        "@ABOUT",
                        "@SDK",
                        "@SOURCE",
                        "@WASM",
                        "plugin-name",
                        "plugin_name",
                    ] {
                        assert!(!text.contains(left), "{lang:?} {kind:?} {}: {left}", file.path);
                    }
                    assert!(paths.insert(file.path), "{} is there twice", file.path);
                }
                assert!(paths.contains("README.md") && paths.contains(".gitignore"));
                assert!(
                    paths.iter().any(|path| path.ends_with("wit/deps/pipes.wit")
                        || path.ends_with("wit/pipes.wit"))
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 11);
    }
}
