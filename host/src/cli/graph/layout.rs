//! Computes where the boxes and lines of a picture are, from left to right. All lengths are in pixels.

use std::fmt::Write;

use super::plan::{Arc, Link, Plan};

/// The room between columns, for curves.
const GAP: i64 = 56;
/// The distance between the lines that lead back, which pass below all boxes.
const LANE: i64 = 14;
/// The radius of their corners.
const CORNER: i64 = 6;
/// The length of an arrow's head.
pub(super) const HEAD: i64 = 8;
/// The margin around the picture.
const MARGIN: i64 = 16;

pub(super) struct Layout {
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) boxes: Vec<Rect>,
    /// One for each arc.
    pub(super) routes: Vec<Route>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

#[derive(Clone, Default)]
pub(super) struct Route {
    /// The data of an SVG path, up to the arrow's head.
    pub(super) path: String,
    /// The middle of its label's lower edge, beside the box where it starts.
    pub(super) label: (i64, i64),
    /// The arrow's tip.
    pub(super) tip: (i64, i64),
}

impl Layout {
    /// Places boxes of these widths.
    pub(super) fn new(widths: &[i64], arcs: &[Arc]) -> Self {
        let plan = Plan::new(widths.len(), arcs);
        let slots = || plan.slots.iter();
        let top = slots().map(|slot| slot.y - slot.height / 2).min().unwrap_or(0) - MARGIN;
        let bottom = slots().map(|slot| slot.y + slot.height / 2).max().unwrap_or(0) - top;

        let lanes = plan.lanes as i64;
        // Lines that lead back take the gaps' room too, up to a limit.
        let gap = GAP + 6 * lanes.min(8);
        let side = if lanes > 0 { MARGIN + gap / 2 } else { MARGIN };
        let mut columns = Vec::new();
        let mut x = side;
        for column in &plan.columns {
            // The labels of a box's lines have room beside it, before any curve.
            let needs = |&slot: &usize| {
                let outs = plan.slots[slot].outs.iter();
                let labels = outs.map(|&link| arcs[plan.links[link].arc].label);
                widths.get(slot).map_or(0, |width| width + labels.max().unwrap_or(0))
            };
            let width = column.iter().map(needs).max().unwrap_or(0);
            columns.push((x, x + width));
            x += width + gap;
        }

        let mut layout = Self {
            width: (x - gap).max(side) + side,
            height: bottom + lanes * LANE + MARGIN,
            boxes: Vec::new(),
            routes: vec![Route::default(); arcs.len()],
        };
        for (slot, &width) in slots().zip(widths) {
            let (x, _) = columns[slot.column];
            let y = slot.y - slot.height / 2 - top;
            layout.boxes.push(Rect { x, y, width, height: slot.height });
        }
        let space = Space { gap, bottom, lanes };
        for link in &plan.links {
            let end = |slot: usize, at: i64| {
                let (left, right) = columns[plan.slots[slot].column];
                End { left, right, y: plan.slots[slot].y + at - top }
            };
            let (from, to) = (end(link.from, link.from_at), end(link.to, link.to_at));
            layout.extend(link, arcs[link.arc].label, from, to, &space);
        }
        layout
    }

    /// Draws a link as the next part of its arc's path.
    fn extend(&mut self, link: &Link, label: i64, from: End, to: End, space: &Space) {
        let Route { path, label: label_at, tip } = &mut self.routes[link.arc];
        if let Some(start) = self.boxes.get(link.from) {
            let right = start.x + start.width;
            *label_at = (right + label / 2, from.y - 4);
            let _ = write!(path, "M{right},{}", from.y);
        }
        let mut to_x = to.left;
        if self.boxes.get(link.to).is_some() {
            *tip = (to.left, to.y);
            to_x -= HEAD;
        }
        let Some(lane) = link.lane else {
            let middle = (from.right + to_x) / 2;
            let curve = format!("C{middle},{} {middle},{} {to_x},{}", from.y, to.y, to.y);
            let _ = write!(path, " H{} {curve}", from.right);
            return;
        };
        // Each line has a lane of its own, and tracks of its own down to it and up from it.
        let lane = lane as i64 + 1;
        let track = |room: i64| CORNER + (room - CORNER) * lane / (space.lanes + 1);
        let down = from.right + track(space.gap / 2);
        let up = to_x - track(space.gap / 2 - HEAD);
        let y = space.bottom + lane * LANE;
        let corner = |x: i64, y: i64, to_x: i64, to_y: i64| format!("Q{x},{y} {to_x},{to_y}");
        let _ = write!(path, " H{} {}", down - CORNER, corner(down, from.y, down, from.y + CORNER));
        let _ = write!(path, " V{} {}", y - CORNER, corner(down, y, down - CORNER, y));
        let _ = write!(path, " H{} {}", up + CORNER, corner(up, y, up, y - CORNER));
        let _ = write!(path, " V{} {}", to.y + CORNER, corner(up, to.y, up + CORNER, to.y));
        let _ = write!(path, " H{to_x}");
    }
}

/// The place where a link meets a column.
struct End {
    left: i64,
    right: i64,
    y: i64,
}

/// The room around the boxes.
struct Space {
    /// Between columns.
    gap: i64,
    /// The lower edge of the lowest box.
    bottom: i64,
    /// How many lines pass below it.
    lanes: i64,
}
