//! What a line says.

/// A pipeline: its children's words, and the pipes that it begins and ends with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) stages: Vec<Vec<String>>,
    pub(crate) input: Option<String>,
    pub(crate) output: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
}

impl Line {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut line = Self::default();
        let mut stage = Vec::new();
        let mut tokens = tokens(text)?.into_iter();
        let mut begun = false;
        while let Some(token) = tokens.next() {
            begun = true;
            match token {
                Token::Word(word) => stage.push(word),
                Token::Sign('|') if line.output.is_some() => {
                    return Err("`>` belongs to the last child".into());
                }
                Token::Sign('|') if stage.is_empty() => return Err("a child is missing".into()),
                Token::Sign('|') => line.stages.push(std::mem::take(&mut stage)),
                Token::Sign(sign) => {
                    let Some(Token::Word(name)) = tokens.next() else {
                        return Err(format!("a pipe's name is missing behind `{sign}`"));
                    };
                    match sign {
                        '<' if !line.stages.is_empty() => {
                            return Err("`<` belongs to the first child".into());
                        }
                        '<' => line.input = Some(name),
                        _ => line.output = Some(name),
                    }
                }
            }
        }
        match (stage.is_empty(), begun) {
            (false, _) => line.stages.push(stage),
            (true, true) => return Err("a child is missing".into()),
            (true, false) => {}
        }
        Ok(line)
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some(inside) => word.push(inside),
                        None => return Err(format!("the quote {c} is not closed")),
                    }
                }
            }
            ' ' | '\t' => tokens.extend(word.take().map(Token::Word)),
            '|' | '<' | '>' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Sign(c));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.take().map(Token::Word));
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_full() {
        let line = Line::parse("sort -k '2 3' <in|upper \"\"  > out").unwrap();
        assert_eq!(line.stages, [vec!["sort", "-k", "2 3"], vec!["upper", ""]]);
        assert_eq!((line.input.as_deref(), line.output.as_deref()), (Some("in"), Some("out")));
        assert_eq!(Line::parse("  ").unwrap(), Line::default());
    }

    #[test]
    fn mistakes_are_named() {
        for bad in
            ["a |", "| a", "a || b", "a 'b", "a >", "a > | b", "a > x | b", "a | b < x", "<x"]
        {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }
}
