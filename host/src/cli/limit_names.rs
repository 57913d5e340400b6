//! The names of limits, as an operator types them.

use crate::limits::{Limit, Size};

/// Returns the option that sets `limit`, with its value, or describes the limit if no option sets it.
pub(crate) fn option_of(limit: &Limit) -> String {
    match limit {
        Limit::MaxBytes { label, direction, bytes } => {
            format!("--max-bytes {} of `{label}` ({})", Size(*bytes), direction.doing())
        }
        Limit::MaxMemory(bytes) => format!("--max-memory {}", Size(*bytes)),
        Limit::MaxPipes(count) => format!("--max-pipes {count}"),
        Limit::MaxChildren(count) => format!("--max-children {count}"),
        Limit::Fuel(units) => format!("--fuel {units}"),
        Limit::MaxTotalMemory(bytes) => format!("--max-total-memory {}", Size(*bytes)),
        Limit::MaxTotalPipes(count) => format!("--max-total-pipes {count}"),
        Limit::MaxTotalChildren(count) => format!("--max-total-children {count}"),
        Limit::Descriptors(_) => format!("{limit} (raise `ulimit -n`)"),
        Limit::HeldBytes(_) => limit.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Label;
    use crate::sys::Direction;

    #[test]
    fn limits_are_told_as_they_are_typed() {
        let label = Label::Pipe("out".into());
        let bytes = Limit::MaxBytes { label, direction: Direction::Write, bytes: 3 << 20 };
        assert_eq!(option_of(&bytes), "--max-bytes 3M of `out` (writing)");
        let sizes = [(0, "0"), (1023, "1023"), (1024, "1K"), (1 << 30, "1G"), (5 << 41, "10T")];
        for (size, text) in sizes {
            assert_eq!(option_of(&Limit::MaxMemory(size)), format!("--max-memory {text}"));
        }
    }
}
