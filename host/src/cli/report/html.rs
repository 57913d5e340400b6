//! Text within HTML. All that comes from outside goes through here.

use crate::pipe::quoted_in_line;

/// Escapes a text for an element or an attribute in quotes. What would act on its reader, and what XML cannot hold, is
/// shown as `\x1b`.
pub(super) fn escaped(text: &str) -> String {
    let shown = quoted_in_line(text);
    let mut escaped = String::with_capacity(shown.len());
    for c in shown.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table. Its cells are text, and are escaped.
pub(super) struct Table {
    html: String,
    /// The first column in which numbers are.
    numbers_from: usize,
}

impl Table {
    pub(super) fn new(caption: &str, numbers_from: usize, head: &[&str]) -> Self {
        let mut html = format!("<table>\n<caption>{}</caption>\n<thead><tr>", escaped(caption));
        for (at, cell) in head.iter().enumerate() {
            let class = if at > 0 && at >= numbers_from { " class=\"n\"" } else { "" };
            html += &format!("<th scope=\"col\"{class}>{}</th>", escaped(cell));
        }
        html += "</tr></thead>\n<tbody>\n";
        Self { html, numbers_from }
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        self.html += "<tr>";
        for (at, cell) in cells.iter().enumerate() {
            let cell = escaped(cell);
            self.html += &match at {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ if at >= self.numbers_from => format!("<td class=\"n\">{cell}</td>"),
                _ => format!("<td>{cell}</td>"),
            };
        }
        self.html += "</tr>\n";
    }

    pub(super) fn html(self) -> String {
        self.html + "</tbody>\n</table>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let hostile = "<script>alert('x')</script>\" onload=\"x\u{1b}[2J\u{202e}\u{ffff}&amp;\n";
        let seen = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;x\\x1b[2J\\u{202e}\
                    \\u{ffff}&amp;amp; ";
        assert_eq!(escaped(hostile), seen);
        let mut table = Table::new("<b>", 1, &["<i>"]);
        table.row(&["<u>".into(), "1".into()]);
        let html = table.html();
        assert!(!["<b>", "<i>", "<u>"].iter().any(|tag| html.contains(tag)), "{html}");
        assert!(html.contains("<td class=\"n\">1</td>"));
    }
}
