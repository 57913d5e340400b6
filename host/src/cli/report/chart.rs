//! The lines of one pipe end over time, as a picture.

use std::fmt::Write as _;

use super::super::stats::bytes;
use super::html::escaped;
use super::record::Span;

/// The drawing area, in pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 90.0;
/// The area for waiting, below.
const WAIT_HEIGHT: f64 = 28.0;
const GAP: f64 = 26.0;
const LEFT: f64 = 84.0;
const TOP: f64 = 14.0;

/// Draws what an end moved, and below how much of the time its guest waited for it. `id` is unique in the document.
pub(super) fn chart(id: usize, name: &str, spans: &[Span]) -> String {
    let seconds = spans.last().map_or(0.0, |span| span.to).max(0.001);
    let most = spans.iter().map(Span::rate).fold(0.0, f64::max);
    let (width, height) = (LEFT + WIDTH + 16.0, TOP + HEIGHT + GAP + WAIT_HEIGHT + 24.0);
    let x = |at: f64| LEFT + WIDTH * at / seconds;
    let below = TOP + HEIGHT;
    let wait_below = below + GAP + WAIT_HEIGHT;
    let rate = |rate: f64| below - if most > 0.0 { HEIGHT * rate / most } else { 0.0 };
    let wait = |share: f64| wait_below - WAIT_HEIGHT * share;
    let most_text = format!("{}/s", bytes(Some(most as u64)));
    let waited: f64 = spans.iter().map(|span| span.waited).sum();

    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"t{id} d{id}\">\n\
         <title id=\"t{id}\">{}: bytes a second, and waiting, over time</title>\n\
         <desc id=\"d{id}\">At most {most_text} in {seconds:.1} seconds, of which its guest waited {waited:.1}. The \
         table below has the same numbers.</desc>\n",
        escaped(name)
    );
    // The frame, and what its edges mean.
    for (top, bottom) in [(TOP, below), (wait_below - WAIT_HEIGHT, wait_below)] {
        let right = LEFT + WIDTH;
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT},{top} H{right} M{LEFT},{bottom} H{right}\"/>"
        );
    }
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>");
    };
    text(LEFT - 8.0, TOP + 4.0, "end", &most_text);
    text(LEFT - 8.0, below + 4.0, "end", "0");
    text(LEFT - 8.0, wait_below - WAIT_HEIGHT / 2.0 + 4.0, "end", "waits");
    text(LEFT, wait_below + 16.0, "start", "0 s");
    text(LEFT + WIDTH, wait_below + 16.0, "end", &format!("{seconds:.1} s"));

    let line = |of: &dyn Fn(&Span) -> f64| {
        // A step for each span: what is between two moments is a mean.
        let step = |span: &Span| format!("{:.1},{:.1} H{:.1}", x(span.from), of(span), x(span.to));
        spans.iter().map(step).collect::<Vec<_>>().join(" L")
    };
    let waits = line(&|span| wait(span.share()));
    let moves = line(&|span| rate(span.rate()));
    if !spans.is_empty() {
        let (first, last) = (x(0.0), x(seconds));
        let _ = writeln!(
            svg,
            "<path class=\"waits\" d=\"M{first:.1},{wait_below:.1} L{waits} L{last:.1},{wait_below:.1} Z\"/>\n\
             <path class=\"moves\" d=\"M{moves}\"/>"
        );
    }
    svg + "</svg>\n"
}
