//! The lines that `--progress` shows.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::super::stats::bytes;
use super::super::watching::{EndId, EndSample, LEAST_WAIT, clock, waits};
use crate::pipe::quoted_in_line;
use crate::sys::Direction;

/// Rates are means over this time.
const RATE_OVER: Duration = Duration::from_secs(1);

/// How many ends a line of text names at most.
const MOST_IN_TEXT: usize = 6;

/// What moves, as it is shown.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    now: Instant,
    ends: Vec<EndSample>,
    /// What had moved at earlier moments of the last second, the earliest first.
    past: VecDeque<(Instant, HashMap<EndId, u64>)>,
}

impl Progress {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, now: started, ends: Vec::new(), past: VecDeque::new() }
    }

    /// Takes what is the case now.
    pub(super) fn update(&mut self, now: Instant, ends: Vec<EndSample>) {
        let bytes = self.ends.iter().map(|end| (end.id, end.bytes)).collect();
        self.past.push_back((self.now, bytes));
        // The one before the span begins is its beginning.
        while self.past.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE_OVER) {
            self.past.pop_front();
        }
        (self.now, self.ends) = (now, ends);
    }

    /// Returns the lines for a terminal of this size: one for each end, or one for all if those have no room. None is
    /// longer than the terminal is wide.
    pub(super) fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = match self.ends.len() {
            // A row is left for what is above.
            count if count < rows => self.table(),
            _ => vec![self.sum()],
        };
        for line in &mut lines {
            // The last column is left free: some terminals go on in the next line there.
            if let Some((end, _)) = line.char_indices().nth(columns.saturating_sub(1)) {
                line.truncate(end);
            }
        }
        lines
    }

    /// Returns everything in one line of text.
    pub(super) fn text(&self) -> Option<String> {
        let end = |end: &EndSample| {
            let mut parts =
                vec![bytes(Some(end.bytes)), format!("{}/s", bytes(Some(self.rate(end))))];
            parts.extend(share(end));
            parts.extend(wait(end));
            format!("{} {}", quoted_in_line(&end.name), parts.join(", "))
        };
        match self.ends.len() {
            0 => None,
            count if count <= MOST_IN_TEXT => {
                let ends: Vec<_> = self.ends.iter().map(end).collect();
                Some(format!("{}: {}", self.elapsed(), ends.join("; ")))
            }
            _ => Some(self.sum()),
        }
    }

    /// Returns a line for each end. Columns stand below each other.
    fn table(&self) -> Vec<String> {
        let rows: Vec<[String; 4]> = self
            .ends
            .iter()
            .map(|end| {
                let rate = format!("{}/s", bytes(Some(self.rate(end))));
                let share = share(end).unwrap_or_default();
                [quoted_in_line(&end.name).into_owned(), bytes(Some(end.bytes)), rate, share]
            })
            .collect();
        let width = |at: usize, least: usize| {
            let widths = rows.iter().map(|row| row[at].chars().count());
            widths.max().unwrap_or(0).max(least)
        };
        // Numbers have room to grow, so that little moves.
        let widths = [width(0, 0), width(1, 8), width(2, 10), width(3, 0)];
        let line = |(row, end): (&[String; 4], &EndSample)| {
            let [name, moved, rate, share] = row;
            let [for_name, for_moved, for_rate, for_share] = widths;
            let elapsed = self.elapsed();
            let line = format!(
                "{name:<for_name$}  {moved:>for_moved$}  {rate:>for_rate$}  {elapsed}  {share:>for_share$}  {}",
                wait(end).unwrap_or_default()
            );
            line.trim_end().to_owned()
        };
        rows.iter().zip(&self.ends).map(line).collect()
    }

    /// Returns the line for all ends.
    fn sum(&self) -> String {
        let sum = |way, of: &dyn Fn(&EndSample) -> u64| {
            let ends = self.ends.iter().filter(|end| end.direction == way);
            bytes(Some(ends.map(of).fold(0, u64::saturating_add)))
        };
        let moved = |way| {
            let rate = sum(way, &|end| self.rate(end));
            format!("{} at {rate}/s", sum(way, &|end| end.bytes))
        };
        let (read, written) = (moved(Direction::Read), moved(Direction::Write));
        let (elapsed, count) = (self.elapsed(), self.ends.len());
        let line = format!("{elapsed}: {count} pipe ends, read {read}, wrote {written}");
        let waiting = || self.ends.iter().filter(|end| wait(end).is_some());
        match waiting().max_by_key(|end| end.waiting) {
            Some(end) => {
                let (count, name) = (waiting().count(), quoted_in_line(&end.name));
                format!("{line}; {count} wait, {name} {}", wait(end).unwrap_or_default())
            }
            None => line,
        }
    }

    /// Returns how many bytes an end moves in a second.
    fn rate(&self, end: &EndSample) -> u64 {
        let Some((since, before)) = self.past.front() else { return 0 };
        let moved = end.bytes.saturating_sub(before.get(&end.id).copied().unwrap_or(0));
        let nanos = self.now.duration_since(*since).as_nanos().max(1);
        u64::try_from(u128::from(moved) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> String {
        clock(self.now.duration_since(self.started))
    }
}

/// Returns the share of what can pass in all.
fn share(end: &EndSample) -> Option<String> {
    let most = end.most.filter(|most| *most > 0)?;
    // A file may have grown.
    Some(format!("{}%", (u128::from(end.bytes) * 100 / u128::from(most)).min(100)))
}

/// Says for whom an end's guest waits.
fn wait(end: &EndSample) -> Option<String> {
    let waiting = end.waiting.filter(|waiting| *waiting >= LEAST_WAIT)?;
    Some(waits(waiting, &end.peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(name: &str, bytes: u64, waiting: u64) -> EndSample {
        let waiting = Duration::from_millis(waiting);
        EndSample {
            id: (0, name.bytes().map(usize::from).sum()),
            name: name.into(),
            direction: Direction::Read,
            peer: "its writer".into(),
            bytes,
            waited: waiting,
            waiting: (!waiting.is_zero()).then_some(waiting),
            most: None,
        }
    }

    fn after(seconds: f64, ends: Vec<EndSample>) -> Progress {
        let started = Instant::now();
        let mut progress = Progress::new(started);
        progress.update(started + Duration::from_secs_f64(seconds), ends);
        progress
    }

    #[test]
    fn a_line_for_each_end() {
        let half = EndSample { most: Some(4 << 20), ..end("in", 2 << 20, 0) };
        let progress = after(2.0, vec![half, end("a.stdin", 0, 3200)]);
        let lines = progress.lines(80, 24);
        let seen = [
            "in       2.00 MiB  1.00 MiB/s  0:02  50%",
            "a.stdin       0 B       0 B/s  0:02       waits 3.2 s for its writer",
        ];
        assert_eq!(lines, seen);
        let seen =
            "0:02: in 2.00 MiB, 1.00 MiB/s, 50%; a.stdin 0 B, 0 B/s, waits 3.2 s for its writer";
        assert_eq!(progress.text().unwrap(), seen);
    }

    #[test]
    fn one_line_for_all_if_they_have_no_room() {
        let ends: Vec<_> = (0..50).map(|n| end(&format!("p{n}"), 1 << 20, n * 100)).collect();
        let progress = after(3700.0, ends);
        assert_eq!(progress.lines(200, 51).len(), 50);
        let seen = "1:01:40: 50 pipe ends, read 50.0 MiB at 13.8 KiB/s, wrote 0 B at 0 B/s; 48 wait, p49 waits \
                    4.9 s for its writer";
        assert_eq!(progress.lines(200, 50), [seen]);
        assert_eq!(progress.lines(10, 24), ["1:01:40: "]);
        assert_eq!(progress.lines(0, 0), [""]);
        assert_eq!(progress.text().unwrap(), seen);
    }

    #[test]
    fn names_do_not_act() {
        let hostile = EndSample { peer: "\u{1b}[2J".into(), ..end("\u{1b}]0;x\u{7}\n", 1, 900) };
        let progress = after(1.0, vec![hostile]);
        for line in progress.lines(200, 24).into_iter().chain(progress.text()) {
            assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }

    #[test]
    fn a_rate_is_that_of_the_last_second() {
        let started = Instant::now();
        let mut progress = Progress::new(started);
        for tick in 1..=20_u64 {
            let at = started + Duration::from_millis(200 * tick);
            // A MiB in each tick, until it stops.
            progress.update(at, vec![end("in", tick.min(10) << 20, 0)]);
            let rate = progress.rate(&progress.ends[0]) as f64 / f64::from(1 << 20);
            let expected = match tick {
                1..=10 => 5.0,
                11..=15 => 5.0 - (tick - 10) as f64,
                _ => 0.0,
            };
            assert!((rate - expected).abs() < 0.01, "{tick}: {rate}");
        }
        assert!(progress.past.len() < 10);
        assert!(after(1.0, Vec::new()).text().is_none());
    }
}
