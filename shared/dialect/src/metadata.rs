//! Statements about the catalogs themselves: SHOW, DESCRIBE, USE. sqlparser rejects many of their
//! forms, so they have a parser of their own over its tokens.

mod parse;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::lexer::{Lexed, failure_at, mismatched, place};
use super::pattern::LikePattern;

pub(super) use parse::parse;

/// A name of one to three parts, lower case, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualifiedName {
    /// The parts, catalog first.
    pub parts: Vec<String>,
    /// Where it begins.
    pub location: Option<ErrorLocation>,
}

/// What SHOW CREATE shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateKind {
    /// A schema.
    Schema,
    /// A table.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A function.
    Function,
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
    /// SHOW CREATE.
    ShowCreate {
        /// What kind of thing.
        kind: CreateKind,
        /// Its name.
        name: QualifiedName,
    },
    /// SHOW FUNCTIONS.
    ShowFunctions {
        /// FROM, a schema; functions are global, so it only has to exist.
        schema: Option<QualifiedName>,
        /// LIKE.
        like: Option<LikePattern>,
    },
    /// SHOW ROLES, SHOW CURRENT ROLES, SHOW ROLE GRANTS: empty without an access control.
    ShowRoles {
        /// The heading of the one column.
        heading: &'static str,
        /// FROM, a catalog.
        catalog: Option<QualifiedName>,
    },
    /// SHOW GRANTS: empty without an access control.
    ShowGrants {
        /// ON, a table.
        table: Option<QualifiedName>,
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

    /// A token further on; the end is never passed.
    pub fn peek_at(&self, offset: usize) -> &TokenWithSpan {
        self.tokens.get(self.at + offset).unwrap_or(&self.eof)
    }

    pub fn next(&mut self) -> TokenWithSpan {
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

    pub fn mismatched(&self, expecting: &str) -> Failure {
        mismatched(self.peek(), self.end, expecting)
    }

    pub fn finish(&self) -> Result<(), Failure> {
        match self.peek().token {
            Token::EOF => Ok(()),
            _ => Err(self.mismatched("<EOF>")),
        }
    }

    pub fn string(&mut self) -> Result<String, Failure> {
        match self.next().token {
            Token::SingleQuotedString(text) => Ok(text),
            _ => {
                self.at -= 1;
                Err(self.mismatched("<string>"))
            }
        }
    }

    pub fn name(&mut self, most: usize) -> Result<QualifiedName, Failure> {
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

    pub fn optional_from(&mut self, most: usize) -> Result<Option<QualifiedName>, Failure> {
        if self.take("FROM") || self.take("IN") { self.name(most).map(Some) } else { Ok(None) }
    }

    pub fn optional_like(&mut self) -> Result<Option<LikePattern>, Failure> {
        if !self.take("LIKE") {
            return Ok(None);
        }
        let pattern = self.string()?;
        let escape = if self.take("ESCAPE") { Some(self.string()?) } else { None };
        LikePattern::new(&pattern, escape.as_deref()).map(Some)
    }
}
