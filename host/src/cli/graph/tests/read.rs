//! Reads drawings back, for the tests.

/// Returns points along a route's path, a few pixels apart.
pub(super) fn points(path: &str) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    let mut curve: Vec<(f64, f64)> = Vec::new();
    let mut degree = 0;
    for word in path.split_whitespace() {
        let (command, place) = word.split_at(usize::from(word.starts_with(char::is_alphabetic)));
        let pair = |(x, y): (&str, &str)| (x.parse().unwrap(), y.parse().unwrap());
        let at: (f64, f64) = points.last().copied().unwrap_or_default();
        let (wanted, next) = match command {
            "M" => (0, pair(place.split_once(',').unwrap())),
            "H" => (1, (place.parse().unwrap(), at.1)),
            "V" => (1, (at.0, place.parse().unwrap())),
            "Q" => (2, pair(place.split_once(',').unwrap())),
            "C" => (3, pair(place.split_once(',').unwrap())),
            "" => (degree, pair(place.split_once(',').unwrap())),
            _ => panic!("{word} in {path}"),
        };
        if !command.is_empty() {
            curve = if command == "M" { Vec::new() } else { vec![at] };
            degree = wanted;
        }
        curve.push(next);
        if curve.len() == degree + 1 {
            let length: f64 = curve.windows(2).map(|way| distance(way[0], way[1])).sum();
            let steps = (length / 4.0).ceil().max(1.0);
            points.extend((0..=steps as usize).map(|step| on_curve(&curve, step as f64 / steps)));
        }
    }
    points
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Returns the point of a Bézier curve that is `t` of the way along.
fn on_curve(curve: &[(f64, f64)], t: f64) -> (f64, f64) {
    match curve {
        [point] => *point,
        [from @ .., _] => {
            let (a, b) = (on_curve(from, t), on_curve(&curve[1..], t));
            (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t)
        }
        [] => panic!("a curve has points"),
    }
}

/// Returns the texts of a document, unchanged, or an error that says what is wrong with it.
pub(super) fn texts_of_xml(xml: &str) -> Result<Vec<String>, String> {
    let allowed =
        |c: char| !matches!(c, '\0'..='\u{9}' | '\u{b}'..='\u{1f}' | '\u{fffe}'..='\u{ffff}');
    if let Some(c) = xml.chars().find(|&c| !allowed(c)) {
        return Err(format!("{c:?} in {xml}"));
    }
    let mut open = Vec::new();
    let mut texts = Vec::new();
    let mut rest = xml;
    while let Some(after) = rest.strip_prefix('<') {
        let (tag, after) = after.split_once('>').ok_or("a tag has no end")?;
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let attributes = attributes.strip_suffix('/').unwrap_or(attributes);
        let values: Vec<_> = attributes.split('"').collect();
        let names_are_right = values.iter().step_by(2).all(|name| {
            name.is_empty()
                || name.starts_with(|c: char| c == ' ' || c.is_alphabetic()) && name.ends_with('=')
        });
        if values.len() % 2 == 0 || !names_are_right || attributes.contains(['<', '&']) {
            return Err(format!("the attributes of {tag}"));
        }
        if let Some(name) = name.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> ends nothing"));
            }
        } else if !tag.ends_with('/') {
            if open.is_empty() && !texts.is_empty() {
                return Err("more than one root".into());
            }
            open.push(name);
        }
        let (text, _) = after.split_at(after.find('<').unwrap_or(after.len()));
        rest = &after[text.len()..];
        let known = ["amp;", "lt;", "gt;", "quot;", "apos;"];
        if !text.split('&').skip(1).all(|it| known.iter().any(|entity| it.starts_with(entity))) {
            return Err(format!("an entity in {text}"));
        }
        if text.contains('>') || open.is_empty() && text != "\n" {
            return Err(format!("{text} after {tag}"));
        }
        if text != "\n" && !text.is_empty() {
            texts.push(text.to_owned());
        }
    }
    if open.is_empty() && rest.is_empty() { Ok(texts) } else { Err(format!("{open:?}, {rest}")) }
}

/// Returns the text outside of quotes.
pub(super) fn unquoted(dot: &str) -> String {
    let mut quoted = false;
    let mut escaped = false;
    let mut outside = String::new();
    for c in dot.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            c if !quoted => outside.push(c),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    outside
}

#[test]
fn what_is_wrong_with_a_document_is_found() {
    assert_eq!(texts_of_xml("<a b=\"1\"><c d=\"\"/>x &amp; y</a>\n"), Ok(vec!["x &amp; y".into()]));
    for bad in [
        "<a>",
        "<a></b>",
        "</a>",
        "<a>x & y</a>",
        "<a>x < y</a>",
        "<a>x > y</a>",
        "<a>\u{1}</a>",
        "<a>\u{ffff}</a>",
        "<a b=\"c></a>",
        "<a b=\"c\"d\"></a>",
        "<a b=\"<\"></a>",
        "<a></a>x",
        "<a>x</a><b></b>",
        "<a></a><b></b>",
    ] {
        assert!(texts_of_xml(bad).is_err(), "{bad:?}");
    }
}
