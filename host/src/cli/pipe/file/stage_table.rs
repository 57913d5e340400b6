//! Reads a stage in a pipeline's file. Its keys are the options of `pipehost run`, and are read as
//! those are.

use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;

use super::super::super::args::GuestOptions;
use super::super::super::keys::{Keys, Table, command_at, guest_at};
use super::super::super::mistake;
use super::super::super::source::Source;
use super::super::job::{GuestJob, Job, NativeJob, Streams, program_name};

/// The keys that are not options.
const OWN_KEYS: [&str; 4] = ["name", "guest", "args", "exec"];

/// A stage's keys.
#[derive(Debug)]
pub(super) struct StageTable<'a>(Keys<'a>);

impl<'a> StageTable<'a> {
    /// Makes this of a table in `text`.
    pub(super) fn of(table: Spanned<Table>, text: &'a str) -> Self {
        Self(Keys::of(table, text))
    }

    /// Says what is wrong with the stage.
    pub(super) fn refused(&self, why: &str) -> String {
        self.0.refused(why)
    }

    /// Takes the stage's name, if it has one.
    pub(super) fn name(&mut self) -> Result<Option<String>, String> {
        self.0.take("name").map(|entry| entry.string()).transpose()
    }

    /// Takes what the stage runs, and returns it with its program's name.
    pub(super) fn job(
        &mut self,
        folder: &Path,
        common: &GuestOptions,
    ) -> Result<(String, Job), String> {
        let keys = &mut self.0;
        let guest = keys.take("guest").map(|entry| entry.string()).transpose()?;
        let exec = keys.take("exec").map(|entry| entry.list()).transpose()?;
        let args = keys.take("args").map(|entry| entry.list()).transpose()?.unwrap_or_default();
        let own = keys.options(folder, &OWN_KEYS)?;
        let no_streams = GuestOptions { stdin: None, stdout: None, stderr: None, ..own.clone() };
        let only_streams = args.is_empty() && no_streams == GuestOptions::default();
        match (guest, exec) {
            (None, None) => {
                Err("it runs nothing; write guest = \"FILE\" or exec = [\"COMMAND\"]".into())
            }
            (Some(_), Some(_)) => Err("it has guest and exec; write one of the two".into()),
            (None, Some(command)) if command.is_empty() => Err("exec is empty".into()),
            (None, Some(_)) if !only_streams => Err(
                "a native command has no keys but name, exec, stdin, stdout and stderr: the rest is \
                 for guests"
                    .into(),
            ),
            (None, Some(command)) => {
                let mut command: Vec<_> = command.iter().map(OsString::from).collect();
                command[0] = command_at(folder, &command[0]);
                let GuestOptions { stdin, stdout, stderr, .. } = own;
                let (stdout, own_stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
                if stdout.frame.is_some() || own_stderr.shed.is_some() {
                    return Err("the keys frame, drop and max are for guests: the host does not see what \
                                a native command writes"
                        .into());
                }
                let stdout = stdout.to;
                let common = || common.stderr.as_ref().and_then(|it| it.to.clone());
                let stderr = own_stderr.to.or_else(common);
                let streams = Streams { stdin, stdout, stderr };
                Ok((program_name(&command), Job::Native(NativeJob { command, streams })))
            }
            (Some(guest), None) => {
                let source = guest_at(folder, guest.as_ref());
                let source =
                    Source::of(&source).map_err(|failure| format!("{:#}", failure.error))?;
                if let Some(arg) = source.useless(&args) {
                    return Err(mistake::useless(&source.display(), arg, "file"));
                }
                let plan = Box::new(common.with_own(&own).plan(&source, &args));
                Ok((source.program(), Job::Guest(GuestJob { source, plan })))
            }
        }
    }
}
