//! Reads a pipeline as it is typed: stages with `!` between them.

use std::ffi::{OsStr, OsString};

use super::super::args::{GuestOptions, StageArgs};
use super::super::exit::{Failure, OrStatus, Status};
use super::super::mistake;
use super::super::source::Source;
use super::super::values::Output;
use super::job::{GuestJob, Job, NativeJob, Streams, program_name};
use super::plan::{Plan, Stage, stage_name, usage};

/// Makes the plan of these words. `common` holds for every guest.
pub(crate) fn plan(words: &[OsString], common: &GuestOptions) -> Result<Plan, Failure> {
    let mut stages: Vec<Stage> = Vec::new();
    for (at, words) in words.split(|word| word == "!").enumerate() {
        let words: Vec<_> = words.iter().map(|word| unescaped(word)).collect();
        let (name, job) = match words.first() {
            None => {
                return usage(format!(
                    "stage {} is empty; write a guest, or exec COMMAND, between two `!`",
                    at + 1
                ));
            }
            Some(first) if first == "exec" => {
                let command = words[1..].to_vec();
                if command.iter().any(|word| word == "|") {
                    tracing::warn!("stage {}: {}", at + 1, mistake::JOINED);
                }
                if command.is_empty() {
                    return usage("the command after exec is missing; write exec COMMAND".into());
                }
                let streams = Streams {
                    stderr: common.stderr.as_ref().and_then(|it| it.to.clone()),
                    ..Streams::default()
                };
                (program_name(&command), Job::Native(NativeJob { command, streams }))
            }
            Some(_) => guest(at, &words, common)?,
        };
        let name = stage_name(&name, &stages);
        stages.push(Stage { name, job });
    }
    Plan::new(outer_streams(stages, common)?, Vec::new())
}

fn guest(at: usize, words: &[OsString], common: &GuestOptions) -> Result<(String, Job), Failure> {
    let stage = match StageArgs::of(words) {
        Ok(stage) => stage,
        Err(error) => return usage(format!("stage {}: {}", at + 1, mistake::line(&error, "pipe"))),
    };
    let mut words = stage.words.into_iter();
    let guest = words.next().unwrap_or_default();
    if guest == "exec" {
        return usage("no options can stand before exec; a file of that name is ./exec".into());
    }
    let source = Source::of(guest.as_ref())?;
    let args: Vec<_> = words.collect();
    look_at_arguments(at, &source, &args)?;
    let plan = Box::new(common.with_own(&stage.options).plan(&source, &args));
    Ok((source.program(), Job::Guest(GuestJob { source, plan })))
}

/// Looks for arguments after a guest that may be meant for pipehost.
fn look_at_arguments(at: usize, source: &Source, args: &[String]) -> Result<(), Failure> {
    let (stage, guest) = (at + 1, source.display());
    if let Some(arg) = source.useless(args) {
        let text = mistake::useless(&guest, arg, "pipe");
        return usage(format!("stage {stage}: {text}"));
    }
    for arg in args {
        if let Some(text) = mistake::misplaced(&guest, arg) {
            tracing::warn!("stage {stage}: {text}");
        }
    }
    Ok(())
}

/// Gives the first stage the pipeline's stdin, and the last one its stdout.
pub(crate) fn outer_streams(
    mut stages: Vec<Stage>,
    common: &GuestOptions,
) -> Result<Vec<Stage>, Failure> {
    if let (Some(stdin), Some(first)) = (&common.stdin, stages.first_mut()) {
        first.redirection_mut(0).get_or_insert(stdin.clone());
    }
    if let (Some(stdout), Some(last)) = (&common.stdout, stages.last_mut()) {
        if let Some(to) = &stdout.to {
            last.redirection_mut(1).get_or_insert(to.clone());
        }
        if let Some(frame) = stdout.frame {
            match last.guest_mut() {
                Some(guest) => _ = guest.frame.get_or_insert(frame),
                None => {
                    return usage(format!(
                        "--stdout: a frame is for what a guest writes, and the last stage is the command \
                         {}; add a guest behind it: ! @cat",
                        last.name
                    ));
                }
            }
        }
    }
    if let Some(Output { to, shed: Some(_), .. }) = &common.stderr
        && let Some(native) =
            stages.iter().find(|it| it.is_native() && it.redirection(2) == to.as_ref())
    {
        return usage(format!(
            "--stderr: the keys drop and max are for what a guest writes, and the stage {} is a command; \
             give --stderr to the guests only: in front of each, behind `!` or `--`, or as its key",
            native.name
        ));
    }
    let guests = stages.iter().filter_map(Stage::guest).count();
    if guests > 1 && !common.fd.is_empty() {
        return Err(anyhow::anyhow!(
            "--fd can be given to one guest only; write it in front of that one, behind `!` or `--`"
        ))
        .or_status(Status::Usage);
    }
    Ok(stages)
}

/// Removes one escape: `\!` stands for `!`, `\\!` for `\!`, and so on.
fn unescaped(word: &OsStr) -> OsString {
    let escaped = word.to_str().and_then(|text| {
        let before = text.strip_suffix('!')?;
        let rest = before.strip_prefix('\\')?;
        rest.bytes().all(|byte| byte == b'\\').then(|| format!("{rest}!"))
    });
    escaped.map_or_else(|| word.to_owned(), OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GuestLimits;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn runs(line: &str) -> Vec<String> {
        let plan = plan(&words(line), &GuestOptions::default()).unwrap();
        plan.stages.iter().map(Stage::runs).collect()
    }

    #[test]
    fn stages_stand_between_bangs() {
        assert_eq!(runs("@cat"), ["@cat"]);
        assert_eq!(
            runs("@lines ! exec grep -v DEBUG ! ./redact.wasm --strict ! @upper"),
            ["@lines", "exec grep -v DEBUG", "./redact.wasm --strict", "@upper"]
        );
        assert_eq!(runs(r"exec find . \! -name x ! @cat"), ["exec find . ! -name x", "@cat"]);
        assert_eq!(runs(r"exec echo \\! \x! ! @cat"), [r"exec echo \! \x!", "@cat"]);
    }

    #[test]
    fn options_of_a_stage_stand_in_front_of_its_guest() {
        let common = GuestLimits { max_pipes: Some(7), ..GuestLimits::default() };
        let common = GuestOptions { limits: common, ..GuestOptions::default() };
        let line = "--max-memory 1M --env A=1 ./a.wasm --max-memory 2M ! @cat";
        let plan = plan(&words(line), &common).unwrap();
        let options = |at: usize| {
            let plan = plan.stages[at].guest().expect("a guest");
            (plan.clone(), plan.args.clone())
        };
        let (own, args) = options(0);
        assert_eq!((own.limits.max_memory, own.limits.max_pipes), (Some(1 << 20), Some(7)));
        assert_eq!(args, ["--max-memory", "2M"]);
        let (other, _) = options(1);
        assert_eq!((other.limits.max_memory, other.limits.max_pipes), (None, Some(7)));
        assert!(other.env.is_empty());
    }

    #[test]
    fn mistakes_are_answered() {
        for bad in
            ["@cat ! ! @cat", "! @cat", "@cat !", "exec", "--env A=1 exec x", "--nope a.wasm"]
        {
            let failure = plan(&words(bad), &GuestOptions::default()).unwrap_err();
            assert_eq!(failure.status, Status::Usage, "{bad}");
        }
    }
}
