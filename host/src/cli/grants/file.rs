//! Reads a file of grants. Its keys are the options of `pipehost run`, and what the guest is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::super::args::GuestOptions;
use super::super::exit::{Failure, Status};
use super::super::keys::{Keys, guest_at};
use super::super::named_files::{folder_of, reached, resolved};
use super::super::source::Source;
use super::{Pin, own_folder, typed};
use crate::launch::{GuestPlan, StreamSpec};

/// The keys that are not options.
pub(super) const OWN_KEYS: [&str; 3] = ["guest", "sha256", "args"];

/// A file of grants.
#[derive(Debug)]
pub(in crate::cli) struct GrantsFile {
    pub(super) path: PathBuf,
    /// Whether it was found beside the guest, and not named.
    pub(super) is_found: bool,
    pub(super) guest: Option<Source>,
    pub(super) pin: Option<Pin>,
    /// The guest's first arguments.
    pub(super) args: Vec<String>,
    pub(super) options: GuestOptions,
    /// The lines of the keys, by the names of their options.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Reads `text`, which the file at `path` holds. The paths in it start from that file's folder. The
/// error names the line, and the key where there is one.
pub(in crate::cli) fn parse(path: &Path, text: &str, is_found: bool) -> Result<GrantsFile, String> {
    let mut keys = Keys::of_text(text)?;
    if let Some(entry) = keys.take("stage").or_else(|| keys.take("pipes")) {
        return entry.wrong("a pipeline's file is run by: pipehost pipe -f FILE");
    }
    let folder = folder_of(path);
    let (mut lines, mut guest, mut pin, mut args) = (BTreeMap::new(), None, None, Vec::new());
    if let Some(entry) = keys.take("guest") {
        lines.insert("guest".to_owned(), entry.line());
        let written = entry.string()?;
        if written.is_empty() {
            return entry.wrong("write a file's path, or @NAME");
        }
        match Source::of(&guest_at(folder, written.as_ref())) {
            Ok(source) => guest = Some(source),
            Err(failure) => return entry.wrong(&format!("{:#}", failure.error)),
        }
    }
    if let Some(entry) = keys.take("sha256") {
        lines.insert("sha256".to_owned(), entry.line());
        pin = Pin::of(&entry.string()?, path.into(), entry.line());
        if pin.is_none() {
            return entry.wrong("write the 64 hexadecimal digits that sha256sum prints");
        }
        if guest.is_none() {
            return entry.wrong("it needs a guest; write guest = \"FILE\"");
        }
    }
    if let Some(entry) = keys.take("args") {
        lines.insert("args".to_owned(), entry.line());
        args = entry.list()?;
    }
    // What is no key is refused first: finding the lines of very many keys would take long.
    let options = keys.options(folder, &OWN_KEYS)?;
    lines.extend(keys.lines());
    Ok(GrantsFile { path: path.into(), is_found, guest, pin, args, options, lines })
}

impl GrantsFile {
    /// Reads `bytes`, which the file at `path` holds.
    pub(super) fn of(path: &Path, bytes: Vec<u8>, is_found: bool) -> Result<Self, Failure> {
        let refused = |why: &str| {
            let error = anyhow!("{}: {why}", path.display());
            Failure { status: Status::Usage, error }
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| refused("is no text, which a file of grants is"))?;
        parse(path, &text, is_found).map_err(|why| refused(&why))
    }

    /// Says what is wrong with the file.
    pub(super) fn refused(&self, status: Status, why: &str) -> Failure {
        Failure { status, error: anyhow!("{}: {why}", self.path.display()) }
    }

    /// Returns the guest that was typed, if the file is for that.
    pub(super) fn is_for(&self, named: Source) -> Result<Source, Failure> {
        match &self.guest {
            Some(own) if !is_same(own, &named) => {
                let (own, named) = (own.display(), named.display());
                let why = format!(
                    "it is for {own}, not for {named}; leave the guest out, or write --grants none"
                );
                Err(self.refused(Status::Usage, &why))
            }
            _ => Ok(named),
        }
    }

    /// Returns the file, if all that it grants is in its own folder.
    ///
    /// # Errors
    /// Fails if it grants anything else, as nobody has asked for that: whoever could put the file
    /// there could put anything there, but need not have any power elsewhere.
    pub(in crate::cli) fn kept_to_its_folder(mut self) -> Result<Self, Failure> {
        match own_folder::kept(self.options.clone(), folder_of(&self.path)) {
            Ok(options) => {
                self.options = options;
                Ok(self)
            }
            Err((option, why)) => {
                let line = self.lines.get(option).copied().unwrap_or(1);
                let key = if option == "exec" { super::super::keys::GRANT_EXEC } else { option };
                let typed = typed(&self.path);
                let why = format!(
                    "line {line}: {key}: {why}, which a file that nobody names does not grant; if you trust \
                     it, type: pipehost run --grants {typed}"
                );
                Err(self.refused(Status::NotPermitted, &why))
            }
        }
    }

    /// Checks that the guest cannot write to the file, which could then grant it anything.
    pub(super) fn check_out_of_reach(&self, plan: &GuestPlan) -> Result<(), Failure> {
        if self.path.canonicalize().is_err() {
            return Ok(());
        }
        match within_reach(&self.path, plan) {
            None => Ok(()),
            Some(why) => Err(Failure { status: Status::NotPermitted, error: anyhow!(why) }),
        }
    }
}

/// Returns how a guest of this plan could write to `file`, or put another in its place, if it could.
pub(in crate::cli) fn within_reach(file: &Path, plan: &GuestPlan) -> Option<String> {
    let shown = file.display();
    let whole = |path: &Path| resolved(path).unwrap_or_else(|| path.into());
    for (key, stream) in [("stdout", &plan.stdout), ("stderr", &plan.stderr)] {
        if let Some(StreamSpec::File(path) | StreamSpec::Append(path)) = stream
            && whole(path) == whole(file)
        {
            return Some(format!(
                "{shown}: the guest would write to it, by {key}; name another file there"
            ));
        }
    }
    let how = reached(file, plan.writable_folders())?;
    Some(format!("{shown}: the guest could write to it, {how}"))
}

/// Returns whether two names mean one guest.
pub(super) fn is_same(one: &Source, other: &Source) -> bool {
    match (one, other) {
        (Source::File(one), Source::File(other)) => {
            match (one.canonicalize(), other.canonicalize()) {
                (Ok(one), Ok(other)) => one == other,
                _ => one == other,
            }
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<GrantsFile, String> {
        parse(Path::new("/folder/pipehost.toml"), text, false)
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn a_file_in_full() {
        let file = read(
            r#"
            guest = "./plugin.wasm"
            sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            args = ["--strict"]
            fifo = ["in=a,r", "out=/tmp/b,w"]
            stdin = "null"
            max-memory = 1024
            raw-terminal = true
            grant-exec = ["sort=./sort -u"]
            dir = "data::/data,ro"

            [env]
            LANG = "C"
            "#,
        )
        .unwrap();
        assert_eq!(file.guest, Some(Source::File("/folder/plugin.wasm".into())));
        assert!(file.pin.is_some());
        assert_eq!(file.args, ["--strict"]);
        assert_eq!(file.options.fifo[0].path.as_deref(), Some(Path::new("/folder/a")));
        assert_eq!(file.options.fifo[1].path.as_deref(), Some(Path::new("/tmp/b")));
        assert_eq!(file.options.limits.max_memory, Some(1024));
        assert_eq!(file.options.exec[0].program, "/folder/sort");
        assert_eq!(file.options.dir[0].host, Path::new("/folder/data"));
        assert_eq!(file.options.env, [("LANG".to_owned(), "C".to_owned())]);
        assert_eq!(file.lines["fifo"], 5);
        assert_eq!(file.lines["exec"], 9);
        assert_eq!(file.lines["env"], 12);
    }

    #[test]
    fn mistakes_are_named_with_their_lines() {
        for (text, part) in [
            ("guest = 1", "line 1: guest: write a string"),
            ("guest = \"\"", "line 1: guest: write a file's path"),
            ("\nguest = \"@nope\"", "line 2: guest: no guest @nope"),
            ("guest = \"x\"\nsha256 = \"abc\"", "line 2: sha256: write the 64 hexadecimal digits"),
            ("args = \"x\"", "line 1: args: write a list of strings"),
            ("args = [1]", "line 1: args: write a list of strings"),
            ("timeout = \"x\"", "line 1: timeout: `x` is not a length of time"),
            ("timeout = 1.5", "line 1: timeout: write a string or a number"),
            ("max_memroy = 1", "line 1: unknown key `max_memroy`; did you mean `max-memory`?"),
            ("\n\nname = \"x\"", "line 3: unknown key `name`; there are guest, sha256, args, fifo"),
            ("exec = [\"sort\"]", "line 1: exec: write grant-exec = [\"NAME=COMMAND\"]"),
            ("grant-exec = [\"sort\"]", "line 1: grant-exec: write NAME=COMMAND"),
            ("env = { A = 1 }", "line 1: env: write a string for `A`"),
            ("fifo = [\"in=\", \"in:x\"]", "line 1: fifo: `:` stands for nothing here"),
            ("raw-terminal = 1", "line 1: raw-terminal: write true or false"),
            ("[[stage]]\nguest = \"@cat\"", "line 1: stage: a pipeline's file"),
            (r#"stdout = "a\u0000b""#, "line 1: stdout: it holds a NUL (\\u0000)"),
            (r#"args = ["a", "\u0000"]"#, "line 1: args: it holds a NUL"),
            (r#"env = { A = "\u0000" }"#, "line 1: env: it holds a NUL"),
            (r#"guest = "\u0000""#, "line 1: guest: it holds a NUL"),
            ("a = 1\na = 2", "line 2"),
            ("a = ", "line 1"),
            ("max-pipes = 99999999999999999999", "line 1: this number is too large"),
            ("sandbox = \"off\"", "line 1: unknown key `sandbox`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// Writes a string as TOML has it: as JSON, but for DEL.
    fn quoted(text: &str) -> String {
        serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
    }

    /// A TOML value, of any kind.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            any::<String>().prop_map(|text| quoted(&text)),
            "[a-z=:,/. 0-9MK@]{0,12}".prop_map(|text| quoted(&text)),
            proptest::collection::vec("[a-z=:,/. 0-9MK@]{0,12}", 0..3)
                .prop_map(|texts| serde_json::to_string(&texts).unwrap()),
            Just("{ a = 1 }".to_owned()),
            Just("{ a = \"b\" }".to_owned()),
            Just("1979-05-27".to_owned()),
            Just("nan".to_owned()),
            Just("[[]]".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in any::<String>()) {
            if let Err(error) = read(&text) {
                prop_assert!(error.starts_with("line "), "{}", error);
            }
        }

        #[test]
        fn any_value_is_taken_or_refused_by_its_line_and_key(
            value in value(),
            key in 0usize..GuestOptions::known().len() + OWN_KEYS.len(),
        ) {
            let known = GuestOptions::known();
            let key = known.iter().map(|it| it.key()).chain(OWN_KEYS).nth(key).unwrap();
            if let Err(error) = read(&format!("# a remark\n{key} = {value}")) {
                prop_assert!(error.starts_with(&format!("line 2: {key}: ")), "{}", error);
            }
        }
    }
}
