//! The rows of the table, by theme: what is done, by whom, and the bar.

mod copying;
mod frames;
mod lines;
mod memory;
mod pipelines;
mod pipes;
mod real;
mod round_trip;
mod sandbox;
mod start;

use std::process::Command;

use crate::Effort;
use crate::figures::{Bar, Figure, Pairs, Unit};
use crate::flow::{Flow, Pipes};
use crate::programs::{Peer, Programs};

/// Rows that belong together.
pub(crate) struct Theme {
    pub title: &'static str,
    /// What a reader of the table should know.
    pub about: &'static str,
    pub rows: Vec<Row>,
    /// What is not measured here, and why.
    pub left_out: Vec<String>,
}

pub(crate) type Measure = Box<dyn Fn(&Programs, Effort) -> Figure>;

pub(crate) struct Row {
    pub name: String,
    pub against: &'static str,
    pub needs: Peer,
    pub unit: Unit,
    pub bar: Option<Bar>,
    ours: Measure,
    theirs: Measure,
}

pub(crate) fn all(programs: &Programs) -> Vec<Theme> {
    vec![
        lines::theme(),
        copying::theme(),
        frames::theme(),
        pipes::theme(),
        pipelines::theme(),
        sandbox::theme(),
        round_trip::theme(),
        start::theme(),
        memory::theme(),
        real::theme(programs),
    ]
}

impl Theme {
    fn new(title: &'static str, about: &'static str, rows: Vec<Row>) -> Self {
        Self { title, about, rows, left_out: Vec::new() }
    }
}

impl Row {
    /// A row without a bar, against a program of this benchmark's own.
    fn new<O: Into<Figure>, T: Into<Figure>>(
        name: impl Into<String>,
        unit: Unit,
        ours: impl Fn(&Programs, Effort) -> O + 'static,
        theirs: impl Fn(&Programs, Effort) -> T + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            against: "native",
            needs: Peer::Native,
            unit,
            bar: None,
            ours: Box::new(move |it, effort| ours(it, effort).into()),
            theirs: Box::new(move |it, effort| theirs(it, effort).into()),
        }
    }

    /// What goes through two programs.
    fn flow(
        name: impl Into<String>,
        of: impl Fn(Effort) -> Flow + Copy + 'static,
        ours: impl Fn(&Programs) -> Command + 'static,
        theirs: impl Fn(&Programs) -> Command + 'static,
    ) -> Self {
        Self::new(
            name,
            Unit::BytesPerSecond,
            move |it, effort| of(effort).rate(&mut ours(it)),
            move |it, effort| of(effort).rate(&mut theirs(it)),
        )
    }

    /// A figure that must not be greater than `most`, which is `words`.
    fn within<O: Into<Figure>>(
        name: impl Into<String>,
        unit: Unit,
        (words, most): (&'static str, f64),
        ours: impl Fn(&Programs, Effort) -> O + 'static,
    ) -> Self {
        Self::new(name, unit, ours, move |_, _| most).against(words, Peer::Native).at_most(1.0)
    }

    fn against(self, against: &'static str, needs: Peer) -> Self {
        Self { against, needs, ..self }
    }

    fn at_least(self, ratio: f64) -> Self {
        Self { bar: Some(Bar::AtLeast(ratio)), ..self }
    }

    fn at_most(self, ratio: f64) -> Self {
        Self { bar: Some(Bar::AtMost(ratio)), ..self }
    }

    fn shown_in(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// Our figures and the peer's, taken in turns; `None` where the peer is missing.
    pub(crate) fn measure(&self, programs: &Programs, effort: Effort) -> Option<Pairs> {
        if !programs.has(self.needs) {
            return None;
        }
        // Once each before: the caches fill.
        (self.ours)(programs, crate::WARM);
        (self.theirs)(programs, crate::WARM);
        let pair = |turn: usize| match turn % 2 {
            0 => ((self.ours)(programs, effort), (self.theirs)(programs, effort)),
            _ => {
                let theirs = (self.theirs)(programs, effort);
                ((self.ours)(programs, effort), theirs)
            }
        };
        Some(Pairs((0..effort.pairs).map(pair).collect()))
    }
}

/// The two capacities that pipes begin with here.
type Sized = (&'static str, fn(Effort) -> Flow);

const LARGE: Sized = ("1 MiB pipes", |effort| Flow::new(Pipes::Large, effort.flow));
const DEFAULT: Sized = ("64 KiB pipes", |effort| Flow::new(Pipes::Default, effort.flow));
