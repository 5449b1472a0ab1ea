//! Splits a text into statements at each `;` that is not within quotes or a comment.

/// One statement, trimmed and without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    /// What the server is sent.
    pub text: String,
    /// Whether it ended with `\G`: its rows are wanted with a value on each line.
    pub vertical: bool,
}

/// Takes text piece by piece and gives whole statements. What holds only comments and blanks is no
/// statement.
#[derive(Debug, Default)]
pub struct Splitter {
    text: String,
    within: Within,
    /// True once the statement has more than comments and blanks.
    begun: bool,
    /// Whether `\G` ends statements too.
    at_prompt: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Code,
    /// Up to the same quote; a doubled one ends it and begins it anew, which is the same.
    Quotes(char),
    LineComment,
    BlockComment,
}

impl Splitter {
    /// A splitter of what is typed, where `\G` ends statements too.
    pub fn at_prompt() -> Self {
        Self { at_prompt: true, ..Self::default() }
    }

    /// The statements that end in `piece`. A piece must not end between the two characters of a
    /// comment's begin or end: lines do not.
    pub fn push(&mut self, piece: &str) -> Vec<Statement> {
        let mut statements = Vec::new();
        let mut characters = piece.chars().peekable();
        while let Some(c) = characters.next() {
            let next = characters.peek().copied();
            if self.within == Within::Code && c == ';' {
                statements.extend(self.rest());
                continue;
            }
            if self.within == Within::Code && self.at_prompt && (c, next) == ('\\', Some('G')) {
                characters.next();
                statements.extend(self.rest().map(|s| Statement { vertical: true, ..s }));
                continue;
            }
            self.text.push(c);
            if let Some(second) = self.step(c, next) {
                self.text.push(second);
                characters.next();
            }
        }
        statements
    }

    /// What is left as the last statement.
    pub fn rest(&mut self) -> Option<Statement> {
        let text = std::mem::take(&mut self.text);
        self.within = Within::Code;
        let begun = std::mem::take(&mut self.begun);
        begun.then(|| Statement { text: text.trim().to_owned(), vertical: false })
    }

    /// Moves over `c`; gives the second character where the two are one token.
    fn step(&mut self, c: char, next: Option<char>) -> Option<char> {
        match (self.within, c, next) {
            (Within::Code, '-', Some('-')) => {
                self.within = Within::LineComment;
                return next;
            }
            (Within::Code, '/', Some('*')) => {
                self.within = Within::BlockComment;
                return next;
            }
            (Within::BlockComment, '*', Some('/')) => {
                self.within = Within::Code;
                return next;
            }
            (Within::LineComment, '\n', _) => self.within = Within::Code,
            (Within::Quotes(quote), c, _) if c == quote => self.within = Within::Code,
            (Within::Code, '\'' | '"', _) => {
                self.begun = true;
                self.within = Within::Quotes(c);
            }
            (Within::Code, c, _) => self.begun |= !c.is_whitespace(),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(statements: Vec<Statement>) -> Vec<String> {
        statements.into_iter().map(|statement| statement.text).collect()
    }

    fn split(text: &str) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut statements = splitter.push(text);
        statements.extend(splitter.rest());
        texts(statements)
    }

    #[test]
    fn at_the_prompt_statements_may_end_for_vertical_output() {
        let text = "select '\\G' \\G select 2;\n";
        assert_eq!(split(text), ["select '\\G' \\G select 2"]);
        let statements = Splitter::at_prompt().push(text);
        let vertical: Vec<bool> = statements.iter().map(|s| s.vertical).collect();
        assert_eq!(vertical, [true, false]);
        assert_eq!(texts(statements), ["select '\\G'", "select 2"]);
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        assert_eq!(split("select 1; select 2"), ["select 1", "select 2"]);
        assert_eq!(split("select ';', \"a;b\"; x"), ["select ';', \"a;b\"", "x"]);
        assert_eq!(split("select 'it''s; one'"), ["select 'it''s; one'"]);
        assert_eq!(split("select 1 -- not; here\n, 2"), ["select 1 -- not; here\n, 2"]);
        assert_eq!(split("select /* not; 'here */ 1; x"), ["select /* not; 'here */ 1", "x"]);
    }

    #[test]
    fn comments_and_blanks_alone_are_no_statement() {
        assert!(split(" ;; \n -- nothing;\n /* ; */ ;").is_empty());
    }

    #[test]
    fn statement_may_span_pieces() {
        let mut splitter = Splitter::default();
        assert!(splitter.push("select 'a\n").is_empty());
        assert!(splitter.push("b;c'\n").is_empty());
        assert_eq!(texts(splitter.push(" from t;\n")), ["select 'a\nb;c'\n from t"]);
        assert_eq!(splitter.rest(), None);
    }
}
