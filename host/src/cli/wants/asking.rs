//! Asks the operator, on a terminal, about what a guest wants. Nothing is opened, and no guest runs meanwhile.

use std::error::Error as _;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::super::args::GuestOptions;
use super::super::shown::values;
use super::super::source::Source;
use super::allowed::Entry;
use super::declared::{Want, What};
use super::words::{can_be_pipe, folder, in_quotes, on_one_line, place_for, ways};
use crate::pipe::{quoted, quoted_name};
use crate::sys::{self, Prompter};

/// How often the same is asked if the answer is none.
const MOST_ATTEMPTS: usize = 3;

/// How many names of a list are shown.
const MOST_SHOWN: usize = 12;

/// How many characters of a value are shown.
const MOST_CHARS: usize = 300;

/// What the operator has answered.
#[derive(Debug)]
pub(super) enum Answer {
    No,
    Once(GuestOptions),
    Always(GuestOptions),
}

/// The guest that is asked about.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// As it was typed.
    pub(super) guest: &'a str,
    pub(super) missing: &'a [Want],
    /// All that it declares, in few words.
    pub(super) wants: &'a [String],
    pub(super) imports: &'a [String],
    /// What was allowed before at the same path, to another guest.
    pub(super) before: Option<&'a Entry>,
}

/// Asks once about all that is missing.
///
/// # Errors
/// Those of the terminal. Nothing is allowed then.
pub(super) fn ask(prompter: &mut Prompter, asked: &Asked<'_>) -> io::Result<Answer> {
    prompter.say(&quoted(&asked.introduction()))?;
    let mut words = Vec::new();
    for want in asked.missing {
        match value(prompter, &want.what)? {
            Some(value) => words.push(value),
            None => return Ok(Answer::No),
        }
    }
    let options = match GuestOptions::of(&words) {
        Ok(options) => options,
        Err(error) => return Err(io::Error::other(error.to_string())),
    };
    prompter.say(&quoted(&offer(&options)))?;
    // Whatever else is shown, so many lines are above.
    let grants = match words.len() {
        1 => "1 grant".to_owned(),
        many => format!("{many} grants"),
    };
    let question = format!("{grants}. Allow it once, always, or not? [o/a/N] ");
    for _ in 0..MOST_ATTEMPTS {
        let Some(answer) = prompter.ask(&question)? else {
            prompter.say("\n")?;
            return Ok(Answer::No);
        };
        match answer.trim().to_ascii_lowercase().as_str() {
            "o" | "once" | "y" | "yes" => return Ok(Answer::Once(options)),
            "a" | "always" => return Ok(Answer::Always(options)),
            "" | "n" | "no" => return Ok(Answer::No),
            _ => prompter.say("Type o, a or n.\n")?,
        }
    }
    Ok(Answer::No)
}

impl Asked<'_> {
    fn introduction(&self) -> String {
        let guest = quoted_name(self.guest);
        let mut text = format!("pipehost: {guest} says what it wants. It is not granted yet:\n");
        for want in self.missing {
            text += &format!("  {}\n", want.text());
        }
        let Some(before) = self.before else { return text };
        let at = quoted_name(&before.path);
        text += &format!("It is another guest than the one that you have allowed at {at}.\n");
        let imports = changes(&before.imports, self.imports);
        match imports.is_empty() {
            true => text += "It imports the same as before.\n",
            false => text += &format!("What it imports has changed:\n{imports}"),
        }
        let wants = changes(&before.wants, self.wants);
        if !wants.is_empty() {
            text += &format!("What it wants has changed:\n{wants}");
        }
        text
    }
}

/// Lists what differs between two lists, a line each.
fn changes(before: &[String], now: &[String]) -> String {
    let mut lines = Vec::new();
    for (sign, these, those) in [("+", now, before), ("-", before, now)] {
        let new = these.iter().filter(|it| !those.contains(it));
        lines.extend(new.map(|it| format!("  {sign} {}\n", on_one_line(it))));
    }
    if lines.len() > MOST_SHOWN {
        let more = lines.len() - MOST_SHOWN;
        lines.truncate(MOST_SHOWN);
        lines.push(format!("  and {more} more\n"));
    }
    lines.concat()
}

/// Lists what the guest would get.
fn offer(options: &GuestOptions) -> String {
    let mut text = "It would get:\n".to_owned();
    for option in ["fifo", "dir", "env", "child"] {
        for value in values(options, option).unwrap_or_default() {
            let cut: String = value.chars().take(MOST_CHARS).collect();
            let more = if cut.len() < value.len() { "..." } else { "" };
            text += &format!("  --{option} {}{more}\n", on_one_line(&cut));
        }
    }
    text
}

/// Asks for what only the operator can know, and returns the option that grants it. `None`: it is not granted.
fn value(prompter: &mut Prompter, what: &What) -> io::Result<Option<OsString>> {
    match what {
        What::Pipe { name, directions } => {
            let usual = place_for(name).map(|path| absolute(&path));
            let shown = usual.as_deref().and_then(Path::to_str);
            let question = format!("The FIFO for {name}");
            answered(prompter, &question, shown, |path| {
                let path = place(path)?;
                if sys::PIPES_ARE_FILES && !can_be_pipe(&path) {
                    return Err("there is something else".into());
                }
                Ok(format!("--fifo={name}={}{}", typed(&path)?, ways(*directions)))
            })
        }
        What::Folder { guest, read_only } => {
            let question = format!("The folder that it is to see as {}", in_quotes(guest));
            answered(prompter, &question, None, |path| {
                let path = real(place(path)?);
                if !path.is_dir() {
                    return Err("there is no such folder".into());
                }
                Ok(format!("--dir={}{}", typed(&path)?, folder(guest, *read_only)))
            })
        }
        What::Variable(name) => match std::env::var(name) {
            Ok(value) => Ok(Some(format!("--env={name}={value}").into())),
            Err(_) => {
                let question = format!("The value of {name}, which is not set here");
                answered(prompter, &question, None, |value| Ok(format!("--env={name}={value}")))
            }
        },
        What::Child(name) => {
            let question = format!("The guest to start as {name}, a file or @NAME");
            answered(prompter, &question, None, |guest| {
                let guest = match guest.starts_with('@') {
                    true => PathBuf::from(guest),
                    false => place(guest)?,
                };
                match Source::of(&guest) {
                    Ok(Source::File(path)) if !path.is_file() => {
                        Err("there is no such file".into())
                    }
                    Ok(_) => Ok(format!("--child={name}={}", typed(&guest)?)),
                    Err(failure) => Err(failure.error.to_string()),
                }
            })
        }
    }
}

/// Asks until the answer is fit to be an option, some times at most. An empty answer is the usual one, or, where there is none, no.
fn answered(
    prompter: &mut Prompter,
    question: &str,
    usual: Option<&str>,
    option: impl Fn(&str) -> Result<String, String>,
) -> io::Result<Option<OsString>> {
    let usually = match usual {
        Some(usual) => format!("[{}]", quoted_name(usual)),
        None => "[none]".into(),
    };
    for _ in 0..MOST_ATTEMPTS {
        let Some(answer) = prompter.ask(&quoted(&format!("{question} {usually}: ")))? else {
            prompter.say("\n")?;
            return Ok(None);
        };
        let answer = match (answer.trim(), usual) {
            ("", None) => return Ok(None),
            ("", Some(usual)) => usual,
            (answer, _) => answer,
        };
        match option(answer).and_then(fit) {
            Ok(option) => return Ok(Some(option)),
            Err(why) => prompter.say(&quoted(&format!("{}: {why}\n", quoted_name(answer))))?,
        }
    }
    Ok(None)
}

/// Returns the option, if it is one.
fn fit(option: String) -> Result<OsString, String> {
    let option = OsString::from(option);
    match GuestOptions::of(std::slice::from_ref(&option)) {
        Ok(_) => Ok(option),
        Err(error) => {
            Err(error.source().map_or("this cannot be granted".into(), ToString::to_string))
        }
    }
}

/// Returns the path that was typed, from the root. `~/` is the home folder, as no shell sees it.
fn place(answer: &str) -> Result<PathBuf, String> {
    match answer.strip_prefix("~/") {
        None => Ok(absolute(Path::new(answer))),
        Some(rest) => match std::env::home_dir() {
            Some(home) => Ok(home.join(rest)),
            None => Err("there is no home folder".into()),
        },
    }
}

/// Returns a path from the root: what is remembered is to mean the same in every folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// Returns where a path leads, which is what is shown and remembered: a link may lead elsewhere the next time. On Windows such a path
/// has a form that is no option's.
fn real(path: PathBuf) -> PathBuf {
    match cfg!(unix) {
        true => path.canonicalize().unwrap_or(path),
        false => path,
    }
}

/// Returns the path as an option takes it.
fn typed(path: &Path) -> Result<String, String> {
    match path.to_str() {
        Some(path) if path.contains("::") => Err("no path with :: can be granted".into()),
        Some(path) if path.chars().any(char::is_control) => {
            Err("it has a control character".into())
        }
        Some(path) => Ok(path.replace(',', ",,")),
        None => Err("it is no text; name another".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_has_changed_is_listed() {
        let (before, now) = (list(&["a", "b\x1b[2J"]), list(&["a", "c\nd"]));
        assert_eq!(changes(&before, &before), "");
        assert_eq!(changes(&before, &now), "  + c\\nd\n  - b\\x1b[2J\n");
        let many: Vec<_> = (0..40).map(|n| n.to_string()).collect();
        let text = changes(&[], &many);
        assert_eq!(text.lines().count(), MOST_SHOWN + 1);
        assert!(text.ends_with("  and 28 more\n"), "{text}");
    }

    #[test]
    fn what_it_would_get_is_shown_and_not_obeyed() {
        let value = format!("--env=A=\x1b[2J\n{}", "x".repeat(500));
        let text = offer(&GuestOptions::of(&[value.into(), "--child=a=@cat".into()]).unwrap());
        assert!(text.starts_with("It would get:\n  --env A=\\x1b[2J\\nxxx"), "{text}");
        assert!(text.ends_with("x...\n  --child a=@cat\n"), "{text}");
        let text = offer(&GuestOptions::of(&["--env=A=it is   --env B=c".into()]).unwrap());
        assert_eq!(text, "It would get:\n  --env A=it is \\u{20}\\u{20}--env B=c\n");
    }

    #[test]
    fn a_path_that_no_option_can_have_is_refused() {
        assert_eq!(typed(Path::new("/a,b")).unwrap(), "/a,,b");
        for path in ["/a::b", "/a\nb"] {
            assert!(typed(Path::new(path)).is_err(), "{path}");
        }
    }
}
