//! Computes the column of each box of a picture, its order there, and its height.
//!
//! A box stands in the first column that is right of all boxes that lead to it. A line that crosses a
//! column has a slot of its own there, so no line runs through a box. All numbers are whole pixels, so
//! distances are kept exactly.

use std::collections::VecDeque;

/// The distance between the slots of a column.
const SPACE: i64 = 26;
/// The distance between the lines at one side of a box.
const PORT: i64 = 18;
/// The height of a box with few lines.
const HEIGHT: i64 = 46;
/// How often order and heights are improved. More rounds change little.
const ROUNDS: usize = 12;

/// A line to be drawn between two boxes.
pub(super) struct Arc {
    /// Indices of boxes.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether it leads back. The other lines form no cycle.
    pub(super) back: bool,
    /// The room that its label takes.
    pub(super) label: i64,
}

/// A box, or the place in a column where a line passes.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) column: usize,
    /// How many slots are above it.
    place: i64,
    /// The height of its middle. It may be negative.
    pub(super) y: i64,
    /// Zero if a line passes.
    pub(super) height: i64,
    /// The links that end here and those that begin here, from the top.
    ins: Vec<usize>,
    pub(super) outs: Vec<usize>,
}

/// A line that leads back, or the part of another line from one column to the next.
pub(super) struct Link {
    /// The index of the line.
    pub(super) arc: usize,
    /// Indices of slots.
    pub(super) from: usize,
    pub(super) to: usize,
    /// For a line that leads back: how many lanes are between it and the boxes.
    pub(super) lane: Option<usize>,
    /// Where it begins and ends, relative to the middle of its slots; positive is below.
    pub(super) from_at: i64,
    pub(super) to_at: i64,
}

pub(super) struct Plan {
    /// The slots of the boxes come first.
    pub(super) slots: Vec<Slot>,
    /// The links of one line are in order.
    pub(super) links: Vec<Link>,
    /// The slots of each column, from the top.
    pub(super) columns: Vec<Vec<usize>>,
    /// How many lines lead back.
    pub(super) lanes: usize,
}

impl Plan {
    pub(super) fn new(boxes: usize, arcs: &[Arc]) -> Self {
        let mut plan = Self::unordered(&layers(boxes, arcs), arcs);
        plan.set_places();
        plan.set_ports();
        plan.set_heights();
        plan
    }

    fn unordered(layers: &[usize], arcs: &[Arc]) -> Self {
        let slot = |&column| Slot { column, height: HEIGHT, ..Slot::default() };
        let mut plan = Self {
            slots: layers.iter().map(slot).collect(),
            links: Vec::new(),
            columns: vec![Vec::new(); layers.iter().max().map_or(0, |last| last + 1)],
            lanes: 0,
        };
        let mut backs = Vec::new();
        for (index, arc) in arcs.iter().enumerate() {
            if arc.back {
                backs.push(index);
                continue;
            }
            let mut from = arc.from;
            for column in layers[arc.from] + 1..layers[arc.to] {
                let passing = plan.slots.len();
                plan.slots.push(Slot { column, ..Slot::default() });
                plan.link(index, from, passing, None);
                from = passing;
            }
            plan.link(index, from, arc.to, None);
        }
        // The line with the shortest way back is the innermost.
        backs.sort_by_key(|&arc| layers[arcs[arc].from].abs_diff(layers[arcs[arc].to]));
        plan.lanes = backs.len();
        for (lane, arc) in backs.into_iter().enumerate() {
            plan.link(arc, arcs[arc].from, arcs[arc].to, Some(lane));
        }
        for (index, slot) in plan.slots.iter_mut().enumerate() {
            let column = &mut plan.columns[slot.column];
            slot.place = column.len() as i64;
            column.push(index);
        }
        plan
    }

    fn link(&mut self, arc: usize, from: usize, to: usize, lane: Option<usize>) {
        self.slots[from].outs.push(self.links.len());
        self.slots[to].ins.push(self.links.len());
        self.links.push(Link { arc, from, to, lane, from_at: 0, to_at: 0 });
    }

    /// Returns the columns from left to right in even rounds, and from right to left in odd ones.
    fn sweep(&self, round: usize) -> Vec<usize> {
        let columns = 0..self.columns.len();
        if round.is_multiple_of(2) { columns.collect() } else { columns.rev().collect() }
    }

    /// Returns the mean of a value of the links on the side of a slot from which a sweep comes.
    fn mean(&self, slot: usize, round: usize, value: impl Fn(&Link) -> i64) -> Option<i64> {
        let slot = &self.slots[slot];
        let side = if round.is_multiple_of(2) { &slot.ins } else { &slot.outs };
        let links = side.iter().map(|&link| &self.links[link]).filter(|link| link.lane.is_none());
        let (sum, count) = links.fold((0, 0), |(sum, count), link| (sum + value(link), count + 1));
        (count > 0).then(|| i64::div_euclid(sum, count))
    }

    /// Orders each column by where its lines come from, so that few of them cross.
    fn set_places(&mut self) {
        // A mean is in fractions of a place.
        let fine = |slot: &Slot| slot.place * 1024;
        for round in 0..ROUNDS {
            for column in self.sweep(round) {
                let mut slots = std::mem::take(&mut self.columns[column]);
                slots.sort_by_cached_key(|&slot| {
                    let other = |link: &Link| if link.to == slot { link.from } else { link.to };
                    let mean = self.mean(slot, round, |link| fine(&self.slots[other(link)]));
                    mean.unwrap_or(fine(&self.slots[slot]))
                });
                for (place, &slot) in slots.iter().enumerate() {
                    self.slots[slot].place = place as i64;
                }
                self.columns[column] = slots;
            }
        }
    }

    /// Spreads the lines at each side of each box in the order of their other ends, with lines that
    /// lead back lowest, and makes the boxes high enough.
    fn set_ports(&mut self) {
        let key = |link: &Link, other: usize| match link.lane {
            None => (0, self.slots[other].place),
            Some(lane) => (1, -(lane as i64)),
        };
        let from_keys: Vec<_> = self.links.iter().map(|link| key(link, link.to)).collect();
        let to_keys: Vec<_> = self.links.iter().map(|link| key(link, link.from)).collect();
        for slot in &mut self.slots {
            slot.outs.sort_by_key(|&link| from_keys[link]);
            slot.ins.sort_by_key(|&link| to_keys[link]);
            for (&link, at) in slot.outs.iter().zip(ports(slot.outs.len())) {
                self.links[link].from_at = at;
            }
            for (&link, at) in slot.ins.iter().zip(ports(slot.ins.len())) {
                self.links[link].to_at = at;
            }
            if slot.height > 0 {
                let lines = slot.outs.len().max(slot.ins.len()) as i64;
                slot.height = HEIGHT.max(PORT * lines + 10);
            }
        }
    }

    /// Moves each slot to where its lines are straight, as far as the others of its column permit.
    fn set_heights(&mut self) {
        for column in 0..self.columns.len() {
            self.separate(column, &vec![0; self.columns[column].len()]);
        }
        for round in 0..ROUNDS {
            for column in self.sweep(round) {
                let wanted = |&slot: &usize| {
                    let straight = |link: &Link| match link.to == slot {
                        true => self.slots[link.from].y + link.from_at - link.to_at,
                        false => self.slots[link.to].y + link.to_at - link.from_at,
                    };
                    self.mean(slot, round, straight).unwrap_or(self.slots[slot].y)
                };
                let wanted: Vec<_> = self.columns[column].iter().map(wanted).collect();
                self.separate(column, &wanted);
            }
        }
    }

    /// Puts the slots of a column near the heights that they want, and apart. One way to keep them
    /// apart pushes down, and another pushes up. Half way between the two, the slots are no closer than
    /// in either.
    fn separate(&mut self, column: usize, wanted: &[i64]) {
        let slots = &self.columns[column];
        let apart = |a: usize, b: usize| {
            (self.slots[slots[a]].height + self.slots[slots[b]].height) / 2 + SPACE
        };
        let (mut down, mut up) = (wanted.to_vec(), wanted.to_vec());
        for at in 1..slots.len() {
            down[at] = down[at].max(down[at - 1] + apart(at - 1, at));
        }
        for at in (1..slots.len()).rev() {
            up[at - 1] = up[at - 1].min(up[at] - apart(at - 1, at));
        }
        for (at, &slot) in slots.iter().enumerate() {
            self.slots[slot].y = (down[at] + up[at]).div_euclid(2);
        }
    }
}

/// Returns the column of each box.
fn layers(boxes: usize, arcs: &[Arc]) -> Vec<usize> {
    let mut layers = vec![0; boxes];
    let mut waits = vec![0; boxes];
    let mut outs = vec![Vec::new(); boxes];
    for arc in arcs.iter().filter(|arc| !arc.back) {
        outs[arc.from].push(arc.to);
        waits[arc.to] += 1;
    }
    let sources: Vec<_> = (0..boxes).filter(|&at| waits[at] == 0).collect();
    let mut ready = VecDeque::from(sources.clone());
    while let Some(at) = ready.pop_front() {
        for &to in &outs[at] {
            layers[to] = layers[to].max(layers[at] + 1);
            waits[to] -= 1;
            if waits[to] == 0 {
                ready.push_back(to);
            }
        }
    }
    // A box without incoming lines stands beside the boxes that it leads to.
    for at in sources {
        layers[at] = outs[at].iter().map(|&to| layers[to] - 1).min().unwrap_or(0);
    }
    layers
}

/// Returns where `count` lines are at a side of a box, relative to its middle; positive is below.
fn ports(count: usize) -> impl Iterator<Item = i64> {
    let count = count as i64;
    (0..count).map(move |port| (2 * port - (count - 1)) * PORT / 2)
}
