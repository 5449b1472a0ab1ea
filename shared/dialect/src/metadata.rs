//! Statements about the catalogs themselves: SHOW, DESCRIBE, USE. sqlparser rejects many of their
//! forms, so they have a parser of their own over its tokens.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::lexer::{Lexed, failure_at, mismatched, place};
use super::pattern::LikePattern;

/// A name of one to three parts, lower case, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualifiedName {
    /// The parts, catalog first.
    pub parts: Vec<String>,
    /// Where it begins.
    pub location: Option<ErrorLocation>,
}

/// A statement that the coordinator answers from its catalogs alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataStatement {
    /// SHOW CATALOGS.
    ShowCatalogs {
        /// LIKE.
        like: Option<LikePattern>,
    },
    /// SHOW SCHEMAS.
    ShowSchemas {
        /// FROM; else the session's catalog.
        catalog: Option<QualifiedName>,
        /// LIKE.
        like: Option<LikePattern>,
    },
    /// SHOW TABLES.
    ShowTables {
        /// FROM, a schema; else the session's.
        schema: Option<QualifiedName>,
        /// LIKE.
        like: Option<LikePattern>,
    },
    /// SHOW COLUMNS, DESCRIBE, DESC.
    ShowColumns {
        /// The table.
        table: QualifiedName,
        /// LIKE.
        like: Option<LikePattern>,
    },
    /// USE: sets the client's schema, and its catalog if one is named.
    Use {
        /// The schema, with or without its catalog.
        schema: QualifiedName,
    },
}

/// Reads tokens one by one.
pub(super) struct Cursor<'a> {
    tokens: &'a [TokenWithSpan],
    eof: TokenWithSpan,
    end: ErrorLocation,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(lexed: &'a Lexed) -> Self {
        Self { tokens: &lexed.tokens, eof: TokenWithSpan::new_eof(), end: lexed.end, at: 0 }
    }

    pub fn peek(&self) -> &TokenWithSpan {
        self.tokens.get(self.at).unwrap_or(&self.eof)
    }

    fn next(&mut self) -> TokenWithSpan {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// How many tokens have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Takes an unquoted word, whatever its case.
    pub fn take(&mut self, word: &str) -> bool {
        let found = matches!(&self.peek().token, Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word));
        if found {
            self.at += 1;
        }
        found
    }

    pub fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek().token == *token;
        if found {
            self.at += 1;
        }
        found
    }

    fn mismatched(&self, expecting: &str) -> Failure {
        mismatched(self.peek(), self.end, expecting)
    }

    pub fn finish(&self) -> Result<(), Failure> {
        match self.peek().token {
            Token::EOF => Ok(()),
            _ => Err(self.mismatched("<EOF>")),
        }
    }

    fn string(&mut self) -> Result<String, Failure> {
        match self.next().token {
            Token::SingleQuotedString(text) => Ok(text),
            _ => {
                self.at -= 1;
                Err(self.mismatched("<string>"))
            }
        }
    }

    fn name(&mut self, most: usize) -> Result<QualifiedName, Failure> {
        let location = place(self.peek().span.start);
        let mut parts = Vec::new();
        loop {
            match self.next().token {
                Token::Word(word)
                    if word.quote_style.is_some() || word.keyword != Keyword::LIKE =>
                {
                    parts.push(word.value.to_lowercase());
                }
                _ => {
                    self.at -= 1;
                    return Err(self.mismatched("<identifier>"));
                }
            }
            if !self.take_token(&Token::Period) {
                break;
            }
        }
        if parts.len() > most {
            let message = format!("Too many parts in name: {}", parts.join("."));
            return Err(failure_at(location, ErrorCode::SYNTAX_ERROR, message));
        }
        Ok(QualifiedName { parts, location })
    }

    fn optional_from(&mut self, most: usize) -> Result<Option<QualifiedName>, Failure> {
        if self.take("FROM") || self.take("IN") { self.name(most).map(Some) } else { Ok(None) }
    }

    fn optional_like(&mut self) -> Result<Option<LikePattern>, Failure> {
        if !self.take("LIKE") {
            return Ok(None);
        }
        let pattern = self.string()?;
        let escape = if self.take("ESCAPE") { Some(self.string()?) } else { None };
        LikePattern::new(&pattern, escape.as_deref()).map(Some)
    }
}

/// Parses a statement about the catalogs; nothing when it is another one.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(super) fn parse(lexed: &Lexed) -> Result<Option<MetadataStatement>, Failure> {
    let mut cursor = Cursor::new(lexed);
    let statement = if cursor.take("SHOW") {
        if cursor.take("CATALOGS") {
            MetadataStatement::ShowCatalogs { like: cursor.optional_like()? }
        } else if cursor.take("SCHEMAS") {
            let catalog = cursor.optional_from(1)?;
            MetadataStatement::ShowSchemas { catalog, like: cursor.optional_like()? }
        } else if cursor.take("TABLES") {
            let schema = cursor.optional_from(2)?;
            MetadataStatement::ShowTables { schema, like: cursor.optional_like()? }
        } else if cursor.take("COLUMNS") {
            let Some(table) = cursor.optional_from(3)? else {
                return Err(cursor.mismatched("'FROM', 'IN'"));
            };
            MetadataStatement::ShowColumns { table, like: cursor.optional_like()? }
        } else {
            return Ok(None);
        }
    } else if cursor.take("DESCRIBE") || cursor.take("DESC") {
        let describes_prepared = matches!(&cursor.peek().token, Token::Word(word)
            if word.quote_style.is_none()
                && (word.value.eq_ignore_ascii_case("INPUT")
                    || word.value.eq_ignore_ascii_case("OUTPUT")));
        if describes_prepared {
            return Ok(None);
        }
        MetadataStatement::ShowColumns { table: cursor.name(3)?, like: None }
    } else if cursor.take("USE") {
        MetadataStatement::Use { schema: cursor.name(2)? }
    } else {
        return Ok(None);
    };
    cursor.finish()?;
    Ok(Some(statement))
}
