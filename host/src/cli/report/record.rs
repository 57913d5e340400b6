//! What each pipe end has moved, and how long its guest has waited, over time, in bounded memory.

use std::time::Duration;

use super::super::watching::EndSample;
use crate::sys::Direction;

/// How often is looked at first.
const FIRST: Duration = Duration::from_millis(250);

/// How many moments are kept. When they are full, every second is left out, and from then on is looked at half as often:
/// every second for 17 minutes, every two for 34. A moment takes 16 bytes for each end.
const MOST: usize = 1024;

/// What has happened so far. All is counted from the start, so leaving out a moment loses no byte.
#[derive(Debug)]
pub(super) struct Record {
    every: Duration,
    times: Vec<Duration>,
    pub(super) ends: Vec<Series>,
}

/// One end over time.
#[derive(Debug)]
pub(super) struct Series {
    /// The end, as it was at the last moment.
    pub(super) last: EndSample,
    /// For each moment, the bytes moved, and the nanoseconds waited.
    points: Vec<(u64, u64)>,
}

/// What happened between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) bytes: u64,
    pub(super) waited: f64,
}

impl Span {
    /// Returns the bytes in a second.
    pub(super) fn rate(&self) -> f64 {
        self.bytes as f64 / (self.to - self.from).max(0.001)
    }

    /// Returns the share of the time that was waited: 0 to 1.
    pub(super) fn share(&self) -> f64 {
        (self.waited / (self.to - self.from).max(0.001)).clamp(0.0, 1.0)
    }
}

impl Record {
    pub(super) fn new() -> Self {
        Self { every: FIRST, times: vec![Duration::ZERO], ends: Vec::new() }
    }

    /// Takes what is the case `at` this time after the start, unless it is too early for that.
    pub(super) fn look(&mut self, at: Duration, sample: impl FnOnce() -> Vec<EndSample>) {
        let last = self.times.last().copied().unwrap_or_default();
        // A timer may come a little early.
        if at >= last + self.every.mul_f64(0.9) {
            self.add(at, sample());
        }
    }

    /// Takes what is the case at the end.
    pub(super) fn close(&mut self, at: Duration, sample: Vec<EndSample>) {
        let last = self.times.last().copied().unwrap_or_default();
        self.add(at.max(last + Duration::from_millis(1)), sample);
    }

    fn add(&mut self, at: Duration, sample: Vec<EndSample>) {
        for end in sample {
            let nanos = u64::try_from(end.waited.as_nanos()).unwrap_or(u64::MAX);
            let point = (end.bytes, nanos);
            match self.ends.iter_mut().find(|series| series.last.id == end.id) {
                Some(series) => {
                    series.points.push(point);
                    series.last = end;
                }
                None => {
                    let mut points = vec![(0, 0); self.times.len()];
                    points.push(point);
                    self.ends.push(Series { last: end, points });
                }
            }
        }
        self.times.push(at);
        if self.times.len() > MOST {
            // The first moment and the last one stay.
            let kept = |at: usize| at.is_multiple_of(2);
            let mut index = 0;
            self.times.retain(|_| (kept(index), index += 1).0);
            for series in &mut self.ends {
                let mut index = 0;
                series.points.retain(|_| (kept(index), index += 1).0);
            }
            self.every *= 2;
        }
    }

    /// Returns how long all has taken, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.times.last().map_or(0.0, Duration::as_secs_f64)
    }

    /// Returns what an end did, in at most `most` spans without gaps.
    pub(super) fn spans(&self, series: &Series, most: usize) -> Vec<Span> {
        let steps = self.times.len().saturating_sub(1);
        let width = steps.div_ceil(most.max(1)).max(1);
        let edges: Vec<usize> = (0..steps).step_by(width).chain([steps]).collect();
        let span = |edge: &[usize]| {
            let point = |at: usize| series.points.get(at).or(series.points.last()).copied();
            let (before, after) = (point(edge[0])?, point(edge[1])?);
            Some(Span {
                from: self.times[edge[0]].as_secs_f64(),
                to: self.times[edge[1]].as_secs_f64(),
                bytes: after.0.saturating_sub(before.0),
                waited: Duration::from_nanos(after.1.saturating_sub(before.1)).as_secs_f64(),
            })
        };
        edges.windows(2).filter_map(span).collect()
    }
}

impl Series {
    /// Returns what the end does: `reads from cat`.
    pub(super) fn text(&self) -> String {
        let EndSample { direction, peer, .. } = &self.last;
        match direction {
            Direction::Read => format!("reads from {peer}"),
            Direction::Write => format!("writes to {peer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(name: &str, bytes: u64) -> EndSample {
        EndSample {
            id: (0, name.bytes().map(usize::from).sum()),
            name: name.into(),
            direction: Direction::Read,
            peer: "cat".into(),
            bytes,
            waited: Duration::from_millis(bytes),
            waiting: None,
            most: None,
        }
    }

    #[test]
    fn memory_is_bounded_and_no_byte_is_lost() {
        let mut record = Record::new();
        for tick in 1..=40_000_u64 {
            let ends = || match tick {
                // Another end comes later.
                ..100 => vec![end("a", tick)],
                _ => vec![end("a", tick), end("b", tick - 100)],
            };
            record.look(Duration::from_millis(250 * tick), ends);
        }
        record.close(Duration::from_secs(10_000), vec![end("a", 40_000), end("b", 39_900)]);
        assert!(record.times.len() <= MOST && record.every == Duration::from_secs(16));
        assert_eq!(record.seconds(), 10_000.001);
        for series in &record.ends {
            assert_eq!(series.points.len(), record.times.len());
            for most in [1, 7, 120, 5000] {
                let spans = record.spans(series, most);
                assert!(spans.len() <= most);
                assert_eq!(spans.iter().map(|span| span.bytes).sum::<u64>(), series.last.bytes);
                assert!(spans.windows(2).all(|two| two[0].to == two[1].from));
                assert!((spans[0].from, spans[spans.len() - 1].to) == (0.0, 10_000.001));
            }
        }
        let spans = record.spans(&record.ends[0], 100);
        assert!(spans[50].rate() > 3.9 && spans[50].rate() < 4.1, "{:?}", spans[50]);
    }

    #[test]
    fn a_run_of_no_time_has_one_span() {
        let mut record = Record::new();
        record.close(Duration::ZERO, vec![end("a", 5)]);
        let spans = record.spans(&record.ends[0], 100);
        assert_eq!(spans.len(), 1);
        assert!(spans[0].bytes == 5 && spans[0].rate().is_finite() && spans[0].share() == 1.0);
        assert_eq!(record.ends[0].text(), "reads from cat");
    }
}
