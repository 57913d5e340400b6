//! The plan of a pipeline: its stages, and the pipes that join them. Nothing is opened here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::anyhow;

use super::super::args::TotalsArgs;
use super::super::exit::{Failure, OrStatus, Status};
use super::job::{EndKind, Job};
use crate::launch::{GuestPlan, StreamSpec};
use crate::limits::{
    DEFAULT_MAX_CHILDREN, DEFAULT_MAX_TOTAL_CHILDREN, DEFAULT_MAX_TOTAL_MEMORY,
    DEFAULT_MAX_TOTAL_PIPES, GuestLimits, Totals,
};
use crate::pipe::{Label, PipeName};

/// A pipeline.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Stage>,
    /// Every pipe between two stages.
    pub(crate) pipes: Vec<Pipe>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// The name in messages and pipes: letters, digits, `_` and `-`.
    pub(crate) name: String,
    pub(crate) job: Job,
}

/// A pipe from one stage's end to another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pipe {
    pub(crate) name: Option<String>,
    pub(crate) from: EndRef,
    pub(crate) to: EndRef,
    pub(crate) capacity: Option<u64>,
}

/// A stage, by its position, and one of its ends: `stdin`, `stdout`, `stderr`, or a granted name, which
/// is `fdN` for a native command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndRef {
    pub(crate) stage: usize,
    pub(crate) end: String,
}

impl EndRef {
    pub(crate) fn new(stage: usize, end: &str) -> Self {
        Self { stage, end: end.into() }
    }

    /// Returns the end's label in messages and counts. In a plan, no pipe has the name of a standard
    /// stream.
    pub(crate) fn label(&self) -> Label {
        Label::of_standard(&self.end).unwrap_or_else(|| Label::Pipe(self.end.as_str().into()))
    }
}

impl Stage {
    /// Describes what the stage runs in few words.
    pub(crate) fn runs(&self) -> String {
        self.job.kind().text()
    }

    /// Returns the guest's plan, if the stage is a guest.
    pub(crate) fn guest(&self) -> Option<&GuestPlan> {
        self.job.kind().guest().map(|guest| &*guest.plan)
    }

    /// Returns the guest's plan, to be changed, if the stage is a guest.
    pub(super) fn guest_mut(&mut self) -> Option<&mut GuestPlan> {
        match &mut self.job {
            Job::Guest(guest) => Some(&mut guest.plan),
            Job::Native(_) => None,
        }
    }

    /// Returns whether the stage is a native command.
    pub(super) fn is_native(&self) -> bool {
        self.job.kind().native().is_some()
    }

    /// Returns the kind of `end`, if the stage has such an end.
    pub(crate) fn end_kind<'a>(&self, end: &'a str) -> Option<EndKind<'a>> {
        match end {
            "stdin" => Some(EndKind::Standard(0)),
            "stdout" => Some(EndKind::Standard(1)),
            "stderr" => Some(EndKind::Standard(2)),
            name => self.job.kind().end_kind(name),
        }
    }

    /// Returns the target of one of the standard streams, to be set.
    pub(super) fn redirection_mut(&mut self, number: i32) -> &mut Option<StreamSpec> {
        let [stdin, stdout, stderr] = self.job.kind_mut().streams_mut();
        match number {
            0 => stdin,
            1 => stdout,
            _ => stderr,
        }
    }

    /// Returns the target of one of the standard streams, if it was set.
    pub(super) fn redirection(&self, number: i32) -> Option<&StreamSpec> {
        let [stdin, stdout, stderr] = self.job.kind().streams();
        match number {
            0 => stdin.as_ref(),
            1 => stdout.as_ref(),
            _ => stderr.as_ref(),
        }
    }

    /// Returns whether the stage has FIFOs, by name or as a standard stream.
    pub(super) fn has_fifos(&self) -> bool {
        let is_fifo = |number| matches!(self.redirection(number), Some(StreamSpec::Fifo(..)));
        (0..3).any(is_fifo) || self.guest().is_some_and(GuestPlan::has_fifos)
    }
}

impl Plan {
    /// Joins stages that follow each other, and checks the plan. `pipes` are the pipes that the user
    /// wrote.
    ///
    /// 1. Each of `pipes` joins two ends.
    /// 2. A stage's stdout goes into the next one's stdin, unless one of the two is joined already, or
    ///    was sent elsewhere.
    /// 3. All other standard streams are the pipeline's own: the first stage reads its stdin, the
    ///    others read nothing, and all write to its stdout and stderr.
    pub(crate) fn new(stages: Vec<Stage>, mut pipes: Vec<Pipe>) -> Result<Self, Failure> {
        for (at, pipe) in pipes.iter().enumerate() {
            check(&stages, pipe)?;
            if pipes[..at].iter().any(|other| other.from == pipe.from) {
                return usage(format!(
                    "{} is the start of two pipes, and a byte goes into one; let @tee, or a guest of \
                     yours, write to both",
                    end_name(&stages, &pipe.from)
                ));
            }
        }
        for pipe in &pipes {
            if stages[pipe.to.stage].is_native() && pipes.iter().any(|other| other.from == pipe.to)
            {
                return usage(format!(
                    "{} is the end of one pipe and the start of another; give one of them another number",
                    end_name(&stages, &pipe.to)
                ));
            }
        }
        let taken = |pipes: &[Pipe], end: &EndRef| {
            pipes.iter().any(|pipe| pipe.from == *end || pipe.to == *end)
        };
        for at in 1..stages.len() {
            let (from, to) = (EndRef::new(at - 1, "stdout"), EndRef::new(at, "stdin"));
            let elsewhere =
                stages[at - 1].redirection(1).is_some() || stages[at].redirection(0).is_some();
            if !elsewhere && !taken(&pipes, &from) && !taken(&pipes, &to) {
                pipes.push(Pipe { name: None, from, to, capacity: None });
            }
        }
        for stage in &stages {
            if stage.is_native()
                && let Some(path) = (0..3).find_map(|number| match stage.redirection(number) {
                    Some(StreamSpec::Fifo(spec)) => Some(spec.path.display()),
                    _ => None,
                })
            {
                return usage(format!(
                    "stage {}: a native command opens FIFOs by itself: exec sh -c 'COMMAND < {path}'",
                    stage.name
                ));
            }
        }
        for pipe in &pipes {
            for (end, number) in [(&pipe.from, 1), (&pipe.from, 2), (&pipe.to, 0)] {
                let stage = &stages[end.stage];
                if stage.end_kind(&end.end) == Some(EndKind::Standard(number))
                    && stage.redirection(number).is_some()
                {
                    let name = end_name(&stages, end);
                    return usage(format!(
                        "{name} is joined by a pipe and sent elsewhere; drop one of the two"
                    ));
                }
            }
        }
        Ok(Self { stages, pipes })
    }

    /// Returns the name STAGE.END.
    pub(crate) fn end_name(&self, end: &EndRef) -> String {
        end_name(&self.stages, end)
    }

    /// Groups the pipes by their reading ends: pipes with the same reading end are one pipe with
    /// several writers.
    pub(crate) fn by_reader(&self) -> BTreeMap<&EndRef, Vec<&Pipe>> {
        let mut readers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pipe in &self.pipes {
            readers.entry(&pipe.to).or_default().push(pipe);
        }
        readers
    }
}

impl Plan {
    /// Lists the ends of one stage, each once.
    fn ends(&self, at: usize) -> Vec<&str> {
        let ends = self.pipes.iter().flat_map(|pipe| [&pipe.from, &pipe.to]);
        let mut ends: Vec<_> =
            ends.filter(|end| end.stage == at).map(|end| end.end.as_str()).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Lists the names by which a guest opens its pipes to other stages.
    pub(super) fn names(&self, at: usize) -> Vec<PipeName> {
        let stage = &self.stages[at];
        let named = |end: &&str| matches!(stage.end_kind(end), Some(EndKind::Named(_)));
        self.ends(at).into_iter().filter(named).filter_map(|end| end.parse().ok()).collect()
    }

    /// Lists the descriptors that are a native command's pipes to other stages.
    pub(super) fn numbers(&self, at: usize) -> Vec<(String, i32)> {
        let number = |end: &str| match self.stages[at].end_kind(end) {
            Some(EndKind::Number(number)) => Some((end.to_owned(), number)),
            _ => None,
        };
        self.ends(at).into_iter().filter_map(number).collect()
    }

    /// Returns the plans of all guests.
    pub(super) fn guests(&self) -> impl Iterator<Item = &GuestPlan> + Clone {
        self.stages.iter().filter_map(Stage::guest)
    }

    /// Returns what all guests may use together: the options, or the defaults. A default is raised to
    /// the highest limit of a single guest.
    pub(super) fn totals(&self, args: &TotalsArgs) -> Totals {
        let most = |of: fn(&GuestLimits) -> Option<usize>| {
            self.guests().filter_map(|guest| of(&guest.limits)).max()
        };
        let memory = self.guests().filter_map(|guest| guest.limits.max_memory).max();
        let pipes = most(|limits| limits.max_pipes).unwrap_or(0);
        let children = most(|limits| limits.max_children).unwrap_or(DEFAULT_MAX_CHILDREN);
        Totals::new(
            args.max_total_memory.unwrap_or(DEFAULT_MAX_TOTAL_MEMORY.max(memory.unwrap_or(0))),
            args.max_total_pipes.unwrap_or(DEFAULT_MAX_TOTAL_PIPES.max(pipes)),
            args.max_total_children.unwrap_or(DEFAULT_MAX_TOTAL_CHILDREN.max(children)),
        )
    }

    /// Returns the folders that guests may use.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.guests().flat_map(|guest| &guest.folders).map(|folder| &*folder.host)
    }

    /// Returns the folders that guests may write to.
    pub(super) fn writable_folders(&self) -> impl Iterator<Item = &Path> {
        self.guests().flat_map(GuestPlan::writable_folders)
    }
}

fn end_name(stages: &[Stage], end: &EndRef) -> String {
    format!("{}.{}", stages[end.stage].name, end.end)
}

/// Checks that both ends of a pipe exist and have the right direction.
fn check(stages: &[Stage], pipe: &Pipe) -> Result<(), Failure> {
    for (end, reads) in [(&pipe.from, false), (&pipe.to, true)] {
        let stage = &stages[end.stage];
        let fits = match stage.end_kind(&end.end) {
            Some(EndKind::Standard(0)) => reads,
            Some(EndKind::Standard(_)) => !reads,
            Some(EndKind::Named(_) | EndKind::Number(_)) => true,
            None => false,
        };
        if !fits {
            let (name, way) = (end_name(stages, end), if reads { "into" } else { "out of" });
            let ends = stage.job.kind().ends(reads);
            return usage(format!("{name}: no pipe can lead {way} that; there are {ends}"));
        }
    }
    Ok(())
}

/// Returns a name that no other stage has: the program's name, with a number if it is taken.
pub(crate) fn stage_name(program: &str, taken: &[Stage]) -> String {
    let stem = program.strip_suffix(".wasm").or(program.strip_suffix(".wat")).unwrap_or(program);
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let name: String = stem.chars().take(40).map(fit).collect();
    let name = match name.trim_start_matches(['-', '_']) {
        "" => "stage".to_owned(),
        name => name.to_owned(),
    };
    let free = |name: &str| !taken.iter().any(|stage| stage.name == name);
    if free(&name) {
        return name;
    }
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    numbered.into_iter().find(|name| free(name)).unwrap_or(name)
}

pub(crate) fn usage<T>(text: String) -> Result<T, Failure> {
    Err(anyhow!(text)).or_status(Status::Usage)
}

#[cfg(test)]
mod tests {
    use super::super::job::NativeJob;
    use super::*;
    use proptest::prelude::*;

    fn native(name: &str) -> Stage {
        let job = Job::Native(NativeJob { command: vec![name.into()], ..NativeJob::default() });
        Stage { name: name.into(), job }
    }

    fn pipe(from: (usize, &str), to: (usize, &str)) -> Pipe {
        let (from, to) = (EndRef::new(from.0, from.1), EndRef::new(to.0, to.1));
        Pipe { name: None, from, to, capacity: None }
    }

    fn joined(plan: &Plan) -> Vec<String> {
        let both =
            |pipe: &Pipe| format!("{}>{}", plan.end_name(&pipe.from), plan.end_name(&pipe.to));
        plan.pipes.iter().map(both).collect()
    }

    #[test]
    fn stages_that_follow_each_other_are_joined() {
        let plan = Plan::new(["a", "b", "c"].map(native).into(), Vec::new()).unwrap();
        assert_eq!(joined(&plan), ["a.stdout>b.stdin", "b.stdout>c.stdin"]);
    }

    #[test]
    fn a_pipe_that_is_asked_for_takes_the_place_of_the_usual_one() {
        let stages = || ["a", "b", "c"].map(native).to_vec();
        let plan = Plan::new(stages(), vec![pipe((0, "stdout"), (2, "stdin"))]).unwrap();
        assert_eq!(joined(&plan), ["a.stdout>c.stdin"]);
        let plan = Plan::new(stages(), vec![pipe((0, "stderr"), (2, "fd3"))]).unwrap();
        assert_eq!(joined(&plan), ["a.stderr>c.fd3", "a.stdout>b.stdin", "b.stdout>c.stdin"]);
        // Two into one.
        let both = vec![pipe((0, "stdout"), (2, "stdin")), pipe((1, "stdout"), (2, "stdin"))];
        let plan = Plan::new(stages(), both).unwrap();
        assert_eq!(plan.by_reader().len(), 1);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let stages = || ["a", "b", "c"].map(native).to_vec();
        for bad in [
            vec![pipe((0, "stdout"), (1, "stdin")), pipe((0, "stdout"), (2, "stdin"))],
            vec![pipe((0, "stdin"), (1, "stdin"))],
            vec![pipe((0, "stdout"), (1, "stdout"))],
            vec![pipe((0, "fd2"), (1, "stdin"))],
            vec![pipe((0, "out"), (1, "stdin"))],
        ] {
            assert_eq!(Plan::new(stages(), bad).unwrap_err().status, Status::Usage);
        }
    }

    proptest! {
        #[test]
        fn names_are_names_and_differ(programs in prop::collection::vec(any::<String>(), 0..6)) {
            let mut stages: Vec<Stage> = Vec::new();
            for program in &programs {
                let name = stage_name(program, &stages);
                prop_assert!(name.parse::<PipeName>().is_ok() && !name.contains('.'), "{name}");
                prop_assert!(stages.iter().all(|stage| stage.name != name));
                stages.push(native(&name));
            }
        }
    }
}
