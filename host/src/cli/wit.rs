//! `pipehost wit`: prints the WIT package, for authors of guests.

use super::args::{WitArgs, WitVersion};
use super::exit::{Failure, Status};
use super::output::print;

const V0_2: &str = include_str!("../../wit/p2/pipes.wit");
const V0_3: &str = include_str!("../../wit/p3/pipes.wit");
const IO: &str = include_str!("../../wit/p2/deps/wasi-io.wit");

pub(crate) fn main(args: &WitArgs) -> Result<Status, Failure> {
    print(&text(args.version))
}

/// Returns one package, or several in the nested form that a single text can hold.
fn text(version: Option<WitVersion>) -> String {
    match version {
        Some(WitVersion::V0_3) => V0_3.to_owned(),
        Some(WitVersion::V0_2) => format!("{V0_2}\n{}", nested(IO)),
        None => format!("{V0_3}\n{}\n{}", nested(V0_2), nested(IO)),
    }
}

/// Turns `package NAME;` and the text after it into `package NAME { ... }`.
fn nested(package: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for line in package.lines() {
        if line.is_empty() {
            text += "\n";
        } else if let Some(name) = line.strip_prefix("package ").filter(|_| !inside) {
            inside = true;
            text += &format!("package {} {{\n", name.trim_end_matches(';'));
        } else {
            let indent = if inside { "  " } else { "" };
            text += &format!("{indent}{line}\n");
        }
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use wit_parser::UnresolvedPackageGroup;

    #[test]
    fn what_is_printed_is_wit() {
        let packages = |version| {
            let group = UnresolvedPackageGroup::parse("stdout.wit", &text(version));
            let group = group.map_err(|(_, error)| error).unwrap();
            let mut resolve = wit_parser::Resolve::default();
            let all: Vec<_> =
                group.nested.iter().chain([&group.main]).map(|p| p.name.to_string()).collect();
            let _ = &mut resolve;
            all
        };
        assert_eq!(packages(Some(WitVersion::V0_3)), ["pipehost:pipes@0.3.0"]);
        assert_eq!(packages(Some(WitVersion::V0_2)), ["wasi:io@0.2.0", "pipehost:pipes@0.2.0"]);
        let both = packages(None);
        assert!(both.contains(&"pipehost:pipes@0.2.0".into()), "{both:?}");
        assert!(both.contains(&"pipehost:pipes@0.3.0".into()), "{both:?}");
    }
}
