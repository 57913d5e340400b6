//! What is measured, and what the ratios of pairs amount to.

use std::ops::Sub;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    BytesPerSecond,
    /// Bytes per second, shown as lines of so many bytes.
    LinesPerSecond(usize),
    Seconds,
    Bytes,
}

/// What the ratio, ours by the peer's, should be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// One measurement.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// By the wall clock, in the row's unit.
    pub value: f64,
    pub per_cpu: Option<PerCpu>,
}

/// Bytes per second of processor time, user's and system's.
#[derive(Clone, Copy)]
pub(crate) struct PerCpu {
    /// Of the program that is measured, with all that it started and waited for.
    pub program: f64,
    /// Of that program and of this one, which feeds it and reads from it.
    pub all: f64,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, per_cpu: None }
    }
}

impl Sub for Figure {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        (self.value - other.value).into()
    }
}

/// Seconds of processor time.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    program: f64,
    own: f64,
}

impl Cpu {
    /// What this process and the children that it has waited for have used so far.
    pub(crate) fn now() -> Self {
        Self { program: used(libc::RUSAGE_CHILDREN), own: used(libc::RUSAGE_SELF) }
    }

    /// What `bytes` came to since then. All children of that time must have been waited for.
    pub(crate) fn since(self, bytes: u64) -> PerCpu {
        let now = Self::now();
        let program = now.program - self.program;
        let per = |seconds: f64| bytes as f64 / seconds.max(1e-6);
        PerCpu { program: per(program), all: per(program + now.own - self.own) }
    }
}

#[allow(unsafe_code, reason = "getrusage(2), for which neither std nor rustix has a function")]
fn used(who: libc::c_int) -> f64 {
    let mut usage = std::mem::MaybeUninit::zeroed();
    // SAFETY: the pointer is to an rusage that the call may write to; all zeros are one, too.
    let usage: libc::rusage = unsafe {
        assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Our figures and the peer's, as they took turns.
pub(crate) struct Pairs(pub Vec<(Figure, Figure)>);

/// Figures in order: the least, the middle one and the greatest matter.
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn least(&self) -> f64 {
        self.0[0]
    }

    pub(crate) fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

impl Pairs {
    pub(crate) fn ours(&self) -> Spread {
        Spread::of(self.0.iter().map(|(ours, _)| ours.value))
    }

    pub(crate) fn theirs(&self) -> Spread {
        Spread::of(self.0.iter().map(|(_, theirs)| theirs.value))
    }

    pub(crate) fn ratios(&self) -> Spread {
        Spread::of(self.0.iter().map(|(ours, theirs)| ours.value / theirs.value))
    }

    /// Ratios of what a second of processor time gives; `None` where that was not measured.
    pub(crate) fn cpu_ratios(&self, of: fn(PerCpu) -> f64) -> Option<Spread> {
        let ratio =
            |(ours, theirs): &(Figure, Figure)| Some(of(ours.per_cpu?) / of(theirs.per_cpu?));
        self.0.iter().map(ratio).collect::<Option<Vec<_>>>().map(Spread::of)
    }
}

impl Bar {
    /// `met` if the median meets the bar, `near` if a pair does, `MISSED` if none does.
    pub(crate) fn verdict(self, ratios: &Spread) -> &'static str {
        let (best, meets): (f64, fn(f64, f64) -> bool) = match self {
            Self::AtLeast(_) => (ratios.most(), |ratio, bar| ratio >= bar),
            Self::AtMost(_) => (ratios.least(), |ratio, bar| ratio <= bar),
        };
        let (Self::AtLeast(bar) | Self::AtMost(bar)) = self;
        match () {
            () if meets(ratios.median(), bar) => "met",
            () if meets(best, bar) => "near",
            () => "MISSED",
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, "≥ {bar}"),
            Self::AtMost(bar) => write!(f, "≤ {bar}"),
        }
    }
}
