//! Puts into words what a guest wants, and what to type for it. What comes from the guest is escaped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::declared::{Want, What};
use crate::names::PipeName;
use crate::pipe::{Directions, quoted_name};
use crate::sys;

/// How many wants one line names.
const MOST_NAMED: usize = 4;

impl What {
    /// Says what is wanted: "to read the pipe orders".
    pub(super) fn text(&self) -> String {
        match self {
            Self::Pipe { name, directions } => {
                let doing = match (directions.read, directions.write) {
                    (true, true) => "read and to write",
                    (true, false) => "read",
                    _ => "write",
                };
                format!("to {doing} the pipe {name}")
            }
            Self::Folder { guest, read_only } => {
                let doing = if *read_only { "read" } else { "read and to write" };
                format!("to {doing} a folder that it sees as {}", in_quotes(guest))
            }
            Self::Variable(name) => format!("to see the variable {name}"),
            Self::Child(name) => format!("to start a guest under the name {name}"),
        }
    }

    /// Returns the option that grants it, with its value for a shell. What only the operator can know is written in capitals.
    pub(super) fn typed(&self) -> String {
        match self {
            Self::Pipe { name, directions } => {
                let place = place_for(name);
                let place = place.as_deref().unwrap_or(Path::new("PATH"));
                let value = format!("{name}={}{}", place.display(), ways(*directions));
                format!("--fifo {}", word(&value))
            }
            Self::Folder { guest, read_only } => {
                format!("--dir {}", word(&format!("HOST{}", folder(guest, *read_only))))
            }
            // A line may be kept where others read it, and a value is often a secret.
            Self::Variable(name) => match std::env::var_os(name) {
                Some(_) => format!("--env {name}=\"${name}\""),
                None => format!("--env {name}=VALUE"),
            },
            Self::Child(name) => format!("--child {name}=GUEST"),
        }
    }

    /// Returns it in few words, by which declarations are compared.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Pipe { name, directions } => match (directions.read, directions.write) {
                (true, true) => format!("reader and writer {name}"),
                (true, false) => format!("reader {name}"),
                _ => format!("writer {name}"),
            },
            Self::Folder { guest, read_only } => {
                format!("dir {guest}{}", if *read_only { "" } else { ", to write" })
            }
            Self::Variable(name) => format!("env {name}"),
            Self::Child(name) => format!("child {name}"),
        }
    }
}

impl Want {
    /// Says what is wanted, and why, in one line.
    pub(in crate::cli) fn text(&self) -> String {
        self.with_why(&self.what.text())
    }

    /// See [`What::key`].
    pub(super) fn key(&self) -> String {
        self.what.key()
    }

    /// Returns it in few words, with the reason.
    pub(in crate::cli) fn brief(&self) -> String {
        self.with_why(&on_one_line(&self.what.key()))
    }

    fn with_why(&self, what: &str) -> String {
        match &self.why {
            Some(why) => format!("{what}: {}", in_quotes(&in_words(why))),
            None => what.to_owned(),
        }
    }

    /// Returns it in the form of a declaration.
    pub(in crate::cli) fn json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |key: &str, value: &str| {
            json.insert(key.to_owned(), value.into());
        };
        match &self.what {
            What::Pipe { name, directions } => {
                if directions.read {
                    put("reader", name.as_str());
                }
                if directions.write {
                    put("writer", name.as_str());
                }
            }
            What::Folder { guest, read_only } => {
                put("dir", guest);
                put("mode", if *read_only { "ro" } else { "rw" });
            }
            What::Variable(name) => put("env", name),
            What::Child(name) => put("child", name.as_str()),
        }
        if let Some(why) = &self.why {
            put("why", why);
        }
        json.into()
    }

    /// See [`What::typed`].
    pub(in crate::cli) fn typed(&self) -> String {
        self.what.typed()
    }
}

/// Quotes a text of the guest's. It cannot end its own quotation.
pub(super) fn in_quotes(text: &str) -> String {
    format!("\"{}\"", on_one_line(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Escapes a text that may be the guest's, and all blanks but single spaces: many of them would push what follows to where a new line
/// begins on a terminal.
pub(super) fn on_one_line(text: &str) -> String {
    let (mut shown, mut after_blank) = (String::new(), false);
    for c in text.chars() {
        match c {
            ' ' if !after_blank => shown.push(c),
            c if is_blank(c) && !c.is_control() => shown += &format!("\\u{{{:x}}}", u32::from(c)),
            c => shown.push(c),
        }
        after_blank = is_blank(c);
    }
    quoted_name(&shown).into_owned()
}

/// Puts one space in the place of all blanks that stand together.
fn in_words(text: &str) -> String {
    text.split(is_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns whether a character shows nothing, and takes room.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// Lists the first of what is wanted, in one line.
pub(super) fn list(wants: &[Want]) -> String {
    let named: Vec<_> = wants.iter().take(MOST_NAMED).map(Want::text).collect();
    match wants.len() - named.len() {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

/// Returns the keys of these directions, as `--fifo` takes them.
pub(super) fn ways(directions: Directions) -> &'static str {
    match (directions.read, directions.write) {
        (true, true) => "",
        (true, false) => ",r",
        _ => ",w",
    }
}

/// Returns what follows the host's folder in the value of `--dir`.
pub(super) fn folder(guest: &str, read_only: bool) -> String {
    format!("::{}{}", guest.replace(',', ",,"), if read_only { ",ro" } else { "" })
}

/// Returns a place for a pipe of that name: in this folder, unless something else is there.
pub(super) fn place_for(name: &PipeName) -> Option<PathBuf> {
    if !sys::PIPES_ARE_FILES {
        return Some(PathBuf::from(format!(r"\\.\pipe\{name}")));
    }
    let path = Path::new(".").join(name.as_str());
    can_be_pipe(&path).then_some(path)
}

/// Returns whether a pipe can be at `path`: nothing is there, or perhaps one. What is there is looked at closely when it is opened.
pub(super) fn can_be_pipe(path: &Path) -> bool {
    match path.metadata() {
        Ok(found) => !found.is_file() && !found.is_dir(),
        Err(_) => path.symlink_metadata().is_err(),
    }
}

/// Returns the command line of this process with these options added, for a shell. The values of variables are left out. `own` is the number
/// of the guest's own arguments.
pub(super) fn line(more: &[String], own: usize) -> String {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    with_options(&typed, more, own)
}

fn with_options(typed: &[OsString], more: &[String], own: usize) -> String {
    let at = match (own, typed.last().is_some_and(|last| last == "--")) {
        (0, true) => typed.len() - 1,
        (0, false) => typed.len(),
        // Behind `--`.
        (own, _) => typed.len().saturating_sub(own + 1),
    };
    let (before, behind) = typed.split_at(at);
    let mut words = vec!["pipehost".to_owned()];
    let mut is_env = false;
    for arg in before {
        let arg = arg.to_string_lossy();
        words.push(match arg.strip_prefix("--env=") {
            _ if is_env => variable(&arg),
            Some(value) => format!("--env={}", variable(value)),
            None => word(&arg),
        });
        is_env = !is_env && arg == "--env";
    }
    words.extend_from_slice(more);
    words.extend(behind.iter().map(|arg| word(&arg.to_string_lossy())));
    words.join(" ")
}

/// Returns a variable as `--env` takes it, for a shell. Its value is often a secret, as in [`What::typed`].
fn variable(typed: &str) -> String {
    match typed.split_once('=') {
        None | Some((_, "")) => word(typed),
        // This is a name that a shell knows, too.
        Some((name, value))
            if std::env::var_os(name).is_some_and(|known| known == value)
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') =>
        {
            format!("{name}=\"${name}\"")
        }
        Some((name, _)) => word(&format!("{name}=VALUE")),
    }
}

/// Quotes a word for a shell, if it needs that.
fn word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-./:@_=,%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => super::super::shell::shell_quoted(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(what: What, why: &str) -> Want {
        Want { what, why: Some(why.into()) }
    }

    #[test]
    fn what_a_guest_says_is_shown_and_not_obeyed() {
        let hostile = "a\x1b[2J\r\nb\u{202e}\"; type: x";
        let folder = What::Folder { guest: format!("/{hostile}"), read_only: true };
        let wants = vec![want(folder, hostile); 6];
        for text in [list(&wants), wants[0].brief()] {
            assert!(!text.contains(['\x1b', '\r', '\n', '\u{202e}']), "{text:?}");
        }
        assert!(wants[0].text().ends_with(r#"b\u{202e}\"; type: x""#), "{}", wants[0].text());
        assert!(list(&wants).ends_with(", and 2 more"));
        let why = "a \u{a0}\u{3000}\u{2800}\t\r\n   It would get: nothing ";
        let pipe = What::Pipe { name: "in".parse().unwrap(), directions: Directions::READ };
        let text = "to read the pipe in: \"a It would get: nothing\"";
        assert_eq!(want(pipe, why).text(), text);
        assert_eq!(in_quotes(r#"/a; "b\"#), r#""/a; \"b\\""#);
        assert_eq!(in_quotes("a b  c\u{3000}\u{2800}d"), r#""a b \u{20}c\u{3000}\u{2800}d""#);
        let pipe = What::Pipe { name: "in".parse().unwrap(), directions: Directions::READ };
        assert_eq!(want(pipe, "lines").text(), "to read the pipe in: \"lines\"");
    }

    #[test]
    fn options_stand_before_the_guests_own_arguments() {
        let line = |typed: &[&str], own: usize| {
            let typed: Vec<OsString> = typed.iter().map(Into::into).collect();
            with_options(&typed, &["--env A=\"$A\"".into()], own)
        };
        assert_eq!(line(&["run", "a b.wasm"], 0), "pipehost run 'a b.wasm' --env A=\"$A\"");
        assert_eq!(line(&["run", "a", "--"], 0), "pipehost run a --env A=\"$A\" --");
        assert_eq!(
            line(&["run", "a", "--env", "B=c", "--", "--", "$x"], 2),
            "pipehost run a --env B=VALUE --env A=\"$A\" -- -- '$x'"
        );
    }

    #[test]
    fn values_are_left_out() {
        let line = |typed: &[&str], own: usize| {
            let typed: Vec<OsString> = typed.iter().map(Into::into).collect();
            with_options(&typed, &[], own)
        };
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert_eq!(
            line(&["run", "--env", &path, "--env=A=s3cret", "--env", "B=", "a"], 0),
            "pipehost run --env PATH=\"$PATH\" --env=A=VALUE --env B= a"
        );
        // These are the guest's own.
        assert_eq!(line(&["run", "a", "--", "--env", "A=b"], 2), "pipehost run a -- --env A=b");
    }

    /// As Unix writes paths.
    #[cfg(unix)]
    #[test]
    fn what_to_type_is_what_the_options_take() {
        let pipe = |directions| What::Pipe { name: "no.such".parse().unwrap(), directions };
        for (what, typed) in [
            (pipe(Directions::READ), "--fifo no.such=./no.such,r"),
            (pipe(Directions::WRITE), "--fifo no.such=./no.such,w"),
            (pipe(Directions::BOTH), "--fifo no.such=./no.such"),
            (What::Folder { guest: "/a,b".into(), read_only: true }, "--dir HOST::/a,,b,ro"),
            (What::Folder { guest: "/a b".into(), read_only: false }, "--dir 'HOST::/a b'"),
            (What::Variable("PIPEHOST_NO_SUCH".into()), "--env PIPEHOST_NO_SUCH=VALUE"),
            (What::Variable("PATH".into()), "--env PATH=\"$PATH\""),
            (What::Child("a".parse().unwrap()), "--child a=GUEST"),
        ] {
            assert_eq!(what.typed(), typed);
            let words: Vec<_> =
                shlex::split(typed).unwrap().into_iter().map(OsString::from).collect();
            super::super::super::args::GuestOptions::of(&words).unwrap();
        }
        let taken = What::Pipe { name: "src".parse().unwrap(), directions: Directions::READ };
        assert_eq!(taken.typed(), "--fifo src=PATH,r");
    }
}
