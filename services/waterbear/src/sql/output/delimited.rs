//! A row on a line, its values divided by a character.

/// What divides values, and how they are kept from looking like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// Commas; every value in quotes.
    QuotedComma,
    /// Commas; quotes where a value needs them.
    Comma,
    /// Tabs; backslashes before what would break a line.
    Tab,
}

impl Delimiter {
    /// The line of these values, without its end.
    pub fn line<S: AsRef<str>>(self, values: impl Iterator<Item = S>) -> String {
        let mut line = String::new();
        for (number, value) in values.enumerate() {
            if number > 0 {
                line.push(if self == Self::Tab { '\t' } else { ',' });
            }
            self.push(&mut line, value.as_ref());
        }
        line
    }

    fn push(self, line: &mut String, value: &str) {
        match self {
            Self::Tab => {
                for c in value.chars() {
                    match c {
                        '\n' => line.push_str("\\n"),
                        '\t' => line.push_str("\\t"),
                        '\r' => line.push_str("\\r"),
                        '\\' => line.push_str("\\\\"),
                        other => line.push(other),
                    }
                }
            }
            Self::Comma if !value.contains(['"', ',', '\n', '\r']) => line.push_str(value),
            Self::QuotedComma | Self::Comma => {
                line.push('"');
                line.push_str(&value.replace('"', "\"\""));
                line.push('"');
            }
        }
    }
}
