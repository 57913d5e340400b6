//! Reads a guest's declaration of what it wants. It comes from the guest, and grants nothing.

use serde::Deserialize;
use serde_json::Value;

use super::super::args::GuestOptions;
use super::section;
use crate::launch::GuestPlan;
use crate::names::{Label, PipeName};
use crate::pipe::Directions;

/// The version of the form that is understood.
const VERSION: u64 = 1;

/// How many things a guest may want.
const MOST_WANTS: usize = 64;

/// How many characters a text in a declaration may have.
const MOST_CHARS: usize = 200;

/// One thing that a guest wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Want {
    pub(super) what: What,
    /// Why, in the guest's words.
    pub(super) why: Option<String>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// To open a named pipe.
    Pipe { name: PipeName, directions: Directions },
    /// To use a folder, by the path that the guest sees.
    Folder { guest: String, read_only: bool },
    /// To see a variable of the environment.
    Variable(String),
    /// To start something.
    Child(PipeName),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    #[expect(dead_code, reason = "looked at before")]
    version: u64,
    wants: Vec<Entry>,
}

/// A want as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reader: Option<String>,
    writer: Option<String>,
    dir: Option<String>,
    env: Option<String>,
    child: Option<String>,
    mode: Option<Mode>,
    why: Option<String>,
}

/// What may be done in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Ro,
    Rw,
}

/// Returns what the guest declares that it wants; nothing for a guest that declares nothing.
///
/// # Errors
/// Says what is wrong with a declaration, which then counts for nothing. May quote the guest.
pub(in crate::cli) fn declared(guest: &[u8]) -> Result<Vec<Want>, String> {
    read(&section::declaration(guest)?)
}

/// Reads the declarations in `bytes`, of which a linker may have put several together.
pub(in crate::cli) fn read(bytes: &[u8]) -> Result<Vec<Want>, String> {
    let mut wants: Vec<Want> = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        let value = value.map_err(|error| format!("it is no JSON: {error}"))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "it is of version {other}, and only version {VERSION} is known here"
                ));
            }
            None => return Err("it has no version".into()),
        }
        let declaration: Declaration =
            serde_json::from_value(value).map_err(|error| error.to_string())?;
        if declaration.wants.len() > MOST_WANTS {
            return Err(format!("it wants more than {MOST_WANTS} things"));
        }
        for entry in declaration.wants {
            add(&mut wants, entry.want()?);
        }
    }
    match wants.len() > MOST_WANTS {
        true => Err(format!("it wants more than {MOST_WANTS} things")),
        false => Ok(wants),
    }
}

/// Adds a want to those of the same thing, or as a new one.
fn add(wants: &mut Vec<Want>, want: Want) {
    for known in &mut *wants {
        match (&mut known.what, &want.what) {
            (
                What::Pipe { name, directions },
                What::Pipe { name: other, directions: Directions { read, write } },
            ) if name == other => {
                directions.read |= read;
                directions.write |= write;
            }
            (
                What::Folder { guest, read_only },
                What::Folder { guest: other, read_only: also_only },
            ) if guest == other => *read_only &= also_only,
            (known, other) if *known == *other => {}
            _ => continue,
        }
        known.why = known.why.take().or(want.why);
        return;
    }
    wants.push(want);
}

impl Entry {
    fn want(self) -> Result<Want, String> {
        let texts = [&self.reader, &self.writer, &self.dir, &self.env, &self.child, &self.why];
        if texts.into_iter().flatten().any(|text| text.chars().count() > MOST_CHARS) {
            return Err(format!("a text in it has more than {MOST_CHARS} characters"));
        }
        if self.mode.is_some() && self.dir.is_none() {
            return Err("the key mode is for dir".into());
        }
        let what = match (self.reader, self.writer, self.dir, self.env, self.child) {
            (Some(name), None, None, None, None) => {
                What::Pipe { name: pipe(&name)?, directions: Directions::READ }
            }
            (None, Some(name), None, None, None) => {
                What::Pipe { name: pipe(&name)?, directions: Directions::WRITE }
            }
            (None, None, Some(guest), None, None) => {
                What::Folder { guest: folder(guest)?, read_only: self.mode != Some(Mode::Rw) }
            }
            (None, None, None, Some(name), None) => What::Variable(variable(name)?),
            (None, None, None, None, Some(name)) => What::Child(named(&name)?),
            _ => return Err("each want has one of reader, writer, dir, env and child".into()),
        };
        Ok(Want { what, why: self.why.filter(|why| !why.trim().is_empty()) })
    }
}

fn named(name: &str) -> Result<PipeName, String> {
    name.parse().map_err(|error| format!("`{name}`: {error}"))
}

fn pipe(name: &str) -> Result<PipeName, String> {
    match Label::of_standard(name) {
        Some(_) => Err(format!("`{name}` is a standard stream, which every guest has")),
        None => named(name),
    }
}

fn folder(guest: String) -> Result<String, String> {
    let is_path = !guest.is_empty() && !guest.chars().any(char::is_control);
    // Behind `::` all is the guest's, but `--dir` reads the first one.
    match is_path && !guest.contains("::") && !guest.split('/').any(|part| part == "..") {
        true => Ok(guest),
        false => Err(format!("`{guest}` is no folder that a guest can have")),
    }
}

fn variable(name: String) -> Result<String, String> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        true => Ok(name),
        false => Err(format!("`{name}` is no variable's name")),
    }
}

impl What {
    /// Returns whether a guest of this plan is granted that, in whichever way: an operator who grants a pipe for reading only has
    /// decided so. `joined` are its pipes to other stages.
    fn is_granted(&self, plan: &GuestPlan, joined: &[PipeName]) -> bool {
        match self {
            Self::Pipe { name, .. } => {
                plan.pipes.iter().any(|pipe| pipe.name() == name) || joined.contains(name)
            }
            Self::Folder { guest, .. } => plan.folders.iter().any(|it| is_in(guest, &it.guest)),
            Self::Variable(name) => plan.env.iter().any(|(known, _)| known == name),
            Self::Child(name) => {
                let mut children = plan.children.iter().map(|it| &it.name);
                children.any(|it| it == name) || plan.commands.iter().any(|it| it.name == *name)
            }
        }
    }
}

/// Returns whether a guest that sees `folder` sees `path`.
fn is_in(path: &str, folder: &str) -> bool {
    parts(path).starts_with(&parts(folder))
}

/// Splits a guest's path. That guests begin paths with `/` or `./` makes no difference to them.
fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect()
}

/// Returns those of `wants` that a guest of this plan is not granted. `joined` are its pipes to other stages.
pub(in crate::cli) fn missing(
    wants: Vec<Want>,
    plan: &GuestPlan,
    joined: &[PipeName],
) -> Vec<Want> {
    wants.into_iter().filter(|want| !want.what.is_granted(plan, joined)).collect()
}

/// Returns what of `grants` satisfies one of `wants`, and all of them that grants nothing by a name.
pub(super) fn serving(wants: &[Want], grants: &GuestOptions) -> GuestOptions {
    let wanted = |is: &dyn Fn(&What) -> bool| wants.iter().any(|want| is(&want.what));
    grants.only(
        |it| wanted(&|what| matches!(what, What::Pipe { name, .. } if name == it)),
        |it| wanted(&|what| matches!(what, What::Variable(name) if name == it)),
        |it| wanted(&|what| matches!(what, What::Folder { guest, .. } if is_in(guest, it))),
        |it| wanted(&|what| matches!(what, What::Child(name) if name == it)),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(wants: &str) -> Result<Vec<Want>, String> {
        read(format!(r#"{{"version":1,"wants":[{wants}]}}"#).as_bytes())
    }

    fn name(text: &str) -> PipeName {
        text.parse().unwrap()
    }

    #[test]
    fn a_declaration_in_full() {
        let wants = of(r#"{"reader":"in","why":"lines"},{"writer":"out"},{"dir":"/data"},
            {"dir":"/cache","mode":"rw"},{"env":"LANG","why":" "},{"child":"sort"},
            {"writer":"in","why":"later"},{"dir":"/data","mode":"rw"},{"env":"LANG","why":"words"}"#)
        .unwrap();
        let want = |what, why: Option<&str>| Want { what, why: why.map(str::to_owned) };
        let folder = |guest: &str| What::Folder { guest: guest.into(), read_only: false };
        let both = Directions::BOTH;
        assert_eq!(
            wants,
            [
                want(What::Pipe { name: name("in"), directions: both }, Some("lines")),
                want(What::Pipe { name: name("out"), directions: Directions::WRITE }, None),
                want(folder("/data"), None),
                want(folder("/cache"), None),
                want(What::Variable("LANG".into()), Some("words")),
                want(What::Child(name("sort")), None),
            ]
        );
        assert_eq!(read(b"").unwrap(), []);
        let two = br#"{"version":1,"wants":[{"env":"A"}]}
            {"version":1,"wants":[{"env":"B"}]}"#;
        assert_eq!(read(two).unwrap().len(), 2);
    }

    #[test]
    fn mistakes_count_for_nothing() {
        let many = vec![r#"{"env":"A"}"#; MOST_WANTS + 1].join(",");
        let long = format!(r#"{{"env":"A","why":"{}"}}"#, "é".repeat(MOST_CHARS + 1));
        for (wants, part) in [
            ("1", "invalid type"),
            ("{}", "each want has one of"),
            (r#"{"reader":"a","writer":"b"}"#, "each want has one of"),
            (r#"{"reader":"a","mode":"ro"}"#, "the key mode is for dir"),
            (r#"{"dir":"/a","mode":"wo"}"#, "unknown variant"),
            (r#"{"raw-terminal":true}"#, "unknown field"),
            (r#"{"reader":"--isolate"}"#, "a pipe's name has"),
            (r#"{"reader":"a\nb"}"#, "a pipe's name has"),
            (r#"{"writer":"stdout"}"#, "a standard stream"),
            (r#"{"child":"a/b"}"#, "a pipe's name has"),
            (r#"{"env":"--isolate"}"#, "no variable's name"),
            (r#"{"env":"A=B"}"#, "no variable's name"),
            (r#"{"env":""}"#, "no variable's name"),
            (r#"{"dir":""}"#, "no folder"),
            (r#"{"dir":"/a\u001b[2J"}"#, "no folder"),
            (r#"{"dir":"/a::/b"}"#, "no folder"),
            (r#"{"dir":"/a/../b"}"#, "no folder"),
            (&many, "more than 64 things"),
            (&long, "more than 200 characters"),
        ] {
            let error = of(wants).unwrap_err();
            assert!(error.contains(part), "{wants}: {error}");
        }
        for (text, part) in [
            ("{", "it is no JSON"),
            ("\u{0}", "it is no JSON"),
            ("{}", "it has no version"),
            ("[]", "it has no version"),
            (r#"{"version":2,"news":1}"#, "it is of version 2"),
            (r#"{"version":1}"#, "missing field"),
            (r#"{"version":1,"wants":[],"more":1}"#, "unknown field"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(of(&vec![r#"{"env":"A"}"#; MOST_WANTS].join(",")).unwrap().len(), 1);
    }

    #[test]
    fn what_is_granted_is_not_missing() {
        let plan = |text: &[&str]| {
            let words: Vec<_> = text.iter().map(Into::into).collect();
            let options = super::super::super::args::GuestOptions::of(&words).unwrap();
            options.plan(&super::super::super::source::Source::File("a.wasm".into()), &[])
        };
        for (want, option) in [
            (r#"{"reader":"in"}"#, "--fifo=in=/x,r"),
            // As the operator has decided.
            (r#"{"reader":"in"}"#, "--fifo=in=/x,w"),
            (r#"{"writer":"in"}"#, "--fd=in=3"),
            (r#"{"dir":"/data/a"}"#, "--dir=/x::/data"),
            (r#"{"dir":"/data/"}"#, "--dir=/x::data"),
            (r#"{"dir":"/data","mode":"rw"}"#, "--dir=/x::/data,ro"),
            (r#"{"dir":"."}"#, "--dir=/x::/"),
            (r#"{"env":"A"}"#, "--env=A="),
            (r#"{"child":"a"}"#, "--child=a=@cat"),
            (r#"{"child":"a"}"#, "--exec=a=cat"),
        ] {
            let wants = of(want).unwrap();
            assert_eq!(missing(wants.clone(), &plan(&[option]), &[]), [], "{want} {option}");
            assert_eq!(missing(wants.clone(), &plan(&[]), &[]), wants, "{want}");
        }
        let wants = of(r#"{"dir":"/database"}"#).unwrap();
        assert_eq!(missing(wants.clone(), &plan(&["--dir=/x::/data"]), &[]), wants);
        let wants = of(r#"{"reader":"in"}"#).unwrap();
        assert_eq!(missing(wants, &plan(&[]), &[name("in")]), []);
    }

    #[test]
    fn only_what_is_wanted_is_taken() {
        let options = |text: &[&str]| {
            let words: Vec<_> = text.iter().map(Into::into).collect();
            GuestOptions::of(&words).unwrap()
        };
        let all = options(&[
            "--fifo=a=/a,r",
            "--fd=b=3",
            "--fifo=c=/c,r",
            "--dir=/x::/data",
            "--dir=/y::/other",
            "--env=A=1",
            "--env=B=2",
            "--child=s=@cat",
            "--exec=t=cat",
            "--max-memory=1M",
        ]);
        let wants = of(r#"{"reader":"c"},{"dir":"/data/in"},{"env":"B"},{"child":"t"}"#).unwrap();
        let taken = options(&[
            "--fifo=c=/c,r",
            "--dir=/x::/data",
            "--env=B=2",
            "--exec=t=cat",
            "--max-memory=1M",
        ]);
        assert_eq!(serving(&wants, &all), taken);
        assert_eq!(serving(&[], &all), options(&["--max-memory=1M"]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_text_is_taken_or_refused(key in "(reader|writer|dir|env|child|why|mode)", text in any::<String>()) {
            let text = serde_json::to_string(&text).unwrap();
            if let Ok(wants) = of(&format!("{{\"{key}\":{text}}}")) {
                prop_assert!(wants.len() == 1);
            }
        }
    }
}
