//! Explains a mistake in a command line: one sentence, and one remedy.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as _, Command, CommandFactory as _};
use strsim::normalized_damerau_levenshtein;

use super::args::{Cli, GuestOptions};
use crate::bundled;

/// How similar two words must be for a suggestion: in a word of three letters, one may differ.
const ALIKE: f64 = 0.6;

/// Describes the mistake in the arguments of `command`, which is a subcommand or empty.
pub(super) fn line(error: &clap::Error, command: &str) -> String {
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing; type `pipehost --help` for the commands and examples".into()
        }
        ErrorKind::InvalidSubcommand => no_command(&text(error, ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument => {
            let word = text(error, ContextKind::InvalidArg);
            match word.starts_with('-') {
                true => no_option(&word, command),
                false => too_many(&word, command),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = text(error, ContextKind::InvalidArg);
            let missing = missing.replace(['<', '>', '[', ']'], "");
            format!("{missing} is missing; see `pipehost {command} --help`")
        }
        ErrorKind::InvalidValue => value(error, command),
        ErrorKind::InvalidUtf8 => no_text(),
        // The value's parser says what to write.
        ErrorKind::ValueValidation => first_paragraph(error),
        _ => format!("{}; see `pipehost {command} --help`", first_paragraph(error)),
    }
}

/// Names the argument that is not text.
fn no_text() -> String {
    let words = std::env::args_os().skip(1);
    let odd = words.into_iter().find(|word| word.to_str().is_none()).unwrap_or_default();
    format!(
        "`{}` is not UTF-8, which arguments of guests and the values of most options are; paths may be anything",
        odd.display()
    )
}

/// Returns the subcommand that was typed, or an empty text.
pub(super) fn typed() -> String {
    let known = Cli::command();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let command = words.iter().filter_map(|word| known.find_subcommand(word)).next();
    command.map(|command| command.get_name().to_owned()).unwrap_or_default()
}

/// Returns the one of `known` that is most like `word`, if any is similar enough.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |known: &str| match word.len() >= 3 && known.starts_with(word) {
        true => 1.0,
        false => normalized_damerau_levenshtein(word, known),
    };
    let alike = known.into_iter().map(|known| (alike(known), known));
    let alike = alike.filter(|(alike, _)| *alike > ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

/// Returns whether `word` is spelt like an option of a command. Options that all commands have do not
/// count, as programs often have them too.
pub(super) fn is_option_of(command: &str, word: &str) -> bool {
    let Some(name) = word.strip_prefix("--") else { return false };
    let name = name.split('=').next().unwrap_or(name);
    let of_all = OF_ALL.contains(&name);
    !of_all && options(command).iter().any(|known| known == name)
}

/// The options that every command has.
const OF_ALL: [&str; 5] = ["help", "log-file", "log-format", "verbose", "version"];

/// Returns the long options of a command, without `--`.
fn options(command: &str) -> Vec<String> {
    let known = Cli::command();
    let Some(command) = known.find_subcommand(command) else { return Vec::new() };
    let shown = command.get_arguments().filter(|it| !it.is_hide_set());
    let names = shown
        .filter_map(|it| it.get_long())
        .chain(OF_ALL.into_iter().filter(|it| *it != "version"));
    names.map(str::to_owned).collect()
}

/// The warning about `|`.
pub(super) const JOINED: &str = "`|` is passed on as an argument; stages are joined by `!`";

/// Returns a warning about an argument of a guest in a pipeline, if it may be meant for pipehost.
pub(super) fn misplaced(guest: &str, arg: &str) -> Option<String> {
    match arg {
        "|" => Some(JOINED.into()),
        arg if is_option_of("run", arg) || is_option_of("pipe", arg) => {
            Some(format!("`{arg}` is an argument of the guest {guest} here; {}", place(guest, arg)))
        }
        _ => None,
    }
}

/// Describes the mistake of giving `guest`, which comes with pipehost, an argument that it has no use
/// for. `command` runs the guest.
pub(super) fn useless(guest: &str, arg: &str, command: &str) -> String {
    let hint = match (guest, arg, command) {
        (_, "|", "pipe") => "stages are joined by `!`".to_owned(),
        (_, arg, "pipe") if is_option_of("run", arg) || is_option_of("pipe", arg) => {
            place(guest, arg)
        }
        (_, arg, "run") if is_option_of("run", arg) => {
            let arg = with_value(arg, "run");
            format!("as an option of pipehost's it stands before `--`: pipehost run {guest} {arg}")
        }
        ("@tee", ..) => "its arguments are the names of granted pipes".into(),
        _ => "it takes none, and reads stdin or a granted pipe".into(),
    };
    format!("{guest} has no use for the argument `{arg}`; {hint}")
}

/// Says where an option of pipehost is written in a pipeline.
fn place(guest: &str, arg: &str) -> String {
    let of_stage = GuestOptions::augment_args(Command::new("stage"));
    let name = arg.trim_start_matches("--").split('=').next().unwrap_or_default();
    let is_it = |known: &&clap::Arg| known.get_long() == Some(name);
    let written = with_value(arg, "pipe");
    match of_stage.get_arguments().any(|known| is_it(&known)) {
        true => {
            format!("as an option of pipehost's it stands in front of the guest: {written} {guest}")
        }
        false => format!(
            "as an option of pipehost's it stands in front of the first stage: pipehost pipe {written} ..."
        ),
    }
}

/// Returns an option as it is written. Adds the placeholder of its value if the option takes one and it
/// is missing.
fn with_value(arg: &str, command: &str) -> String {
    let name = arg.trim_start_matches("--");
    let known = Cli::command();
    let command = known.find_subcommand(command);
    let option = command.and_then(|it| it.get_arguments().find(|it| it.get_long() == Some(name)));
    let takes = option.filter(|it| it.get_action().takes_values() && !it.is_require_equals_set());
    match takes.and_then(|option| option.get_value_names()) {
        Some([value, ..]) => format!("{arg} {value}"),
        _ => arg.to_owned(),
    }
}

fn no_command(word: &str) -> String {
    let looks_like_a_guest = word.starts_with('@')
        || word.contains('/')
        || [".wasm", ".wat"].iter().any(|end| word.ends_with(end));
    if looks_like_a_guest {
        return format!(
            "there is no command `{word}`; to run that guest, type `pipehost run {word}`"
        );
    }
    let known = Cli::command();
    match nearest(word, known.get_subcommands().map(Command::get_name)) {
        Some(command) => format!("there is no command `{word}`; did you mean `{command}`?"),
        None if bundled::guest(word).is_some() => {
            format!("there is no command `{word}`; to run that guest, type `pipehost run @{word}`")
        }
        None => format!("there is no command `{word}`; type `pipehost --help` for the commands"),
    }
}

fn no_option(word: &str, command: &str) -> String {
    let name = word.trim_start_matches("--").split('=').next().unwrap_or(word);
    if command.is_empty() {
        let of = ["run", "pipe"].into_iter().find(|command| is_option_of(command, word));
        return match (of, nearest(name, OF_ALL)) {
            (Some(command), _) => {
                let word_and_value = with_value(word, command);
                format!(
                    "`{word}` stands behind a command; type `pipehost {command} {word_and_value} ...`"
                )
            }
            (None, Some(meant)) => {
                format!("there is no option `{word}`; did you mean `--{meant}`?")
            }
            _ => format!("there is no option `{word}`; type `pipehost --help` for the commands"),
        };
    }
    let (known, of) = (options(command), format!("`pipehost {command}` has no option `{word}`"));
    let others = ["run", "pipe", "inspect"].into_iter().filter(|other| *other != command);
    if let Some(other) = { others }.find(|other| is_option_of(other, word)) {
        return format!("{of}; that is one of `pipehost {other}`");
    }
    let meant = nearest(name, known.iter().map(|it| &**it));
    if let Some(meant) = meant.filter(|_| word.starts_with("--")) {
        return format!("{of}; did you mean `--{meant}`?");
    }
    match command {
        "run" => format!("{of}; if it is the guest's, write it behind `--`"),
        "pipe" => format!("{of}; if it is a guest's, write it behind that guest"),
        _ => format!("{of}; see `pipehost {command} --help`"),
    }
}

fn too_many(word: &str, command: &str) -> String {
    match command {
        "run" => format!(
            "`{word}` is an argument too many; the guest's own arguments stand behind `--`: pipehost \
             run GUEST -- {word}"
        ),
        _ => format!("`{word}` is an argument too many; see `pipehost {command} --help`"),
    }
}

/// Describes an option's value that is missing, or not one of the possible values.
fn value(error: &clap::Error, command: &str) -> String {
    let (option, typed) =
        (text(error, ContextKind::InvalidArg), text(error, ContextKind::InvalidValue));
    if typed.is_empty() {
        return format!("the value is missing; write {}", option.replace(['<', '>'], ""));
    }
    let option = option.trim_start_matches('[');
    let option = option.split([' ', '[', ']', '=']).next().unwrap_or_default();
    if let Some(meant) = error.get(ContextKind::SuggestedValue) {
        return format!("{option}: there is no `{typed}`; did you mean `{meant}`?");
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) => {
            format!("{option}: there is no `{typed}`; there are {}", known.join(", "))
        }
        _ => format!("{}; see `pipehost {command} --help`", first_paragraph(error)),
    }
}

/// Returns clap's own message, without its advice.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ");
    let text = text.split("\n\n").next().unwrap_or(text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_the_nearest() {
        let options = ["dir", "fifo", "max-memory", "timeout", "idle-timeout"];
        for (word, meant) in [
            ("dri", Some("dir")),
            ("max-mem", Some("max-memory")),
            ("time", Some("timeout")),
            ("timout", Some("timeout")),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, options), meant, "{word}");
        }
    }

    #[test]
    fn options_of_all_commands_are_nobodys() {
        assert!(is_option_of("pipe", "--stats") && is_option_of("run", "--dir=x"));
        assert!(!is_option_of("run", "--help") && !is_option_of("run", "dir"));
        assert!(!is_option_of("pipe", "--part") && !is_option_of("pipe", "--strict"));
    }
}
