//! Statements that change a catalog: CREATE, DROP, ALTER, COMMENT, INSERT, DELETE, TRUNCATE.
//! sqlparser rejects several of Trino's forms, so they have a parser of their own over its tokens;
//! the queries inside of them are parsed as all queries are.

mod alter;
mod create;
mod types;

use datafusion::sql::sqlparser::ast::{SetExpr, Spanned};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};
use waterbear_types::TrinoType;

use super::lexer::{Lexed, failure_at, place};
use super::metadata::{Cursor, QualifiedName};
use super::{ParsedQuery, parse_query};

/// A column's or property's name, lower case, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub location: Option<ErrorLocation>,
}

/// A column of CREATE TABLE or ADD COLUMN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub trino_type: TrinoType,
    /// False with NOT NULL.
    pub nullable: bool,
    /// COMMENT.
    pub comment: Option<String>,
}

/// The kinds of things that have a name in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// A table.
    Table,
    /// A view.
    View,
}

/// A statement that changes a catalog.
#[derive(Debug, Clone)]
pub struct WriteStatement {
    /// Where the statement begins.
    pub location: Option<ErrorLocation>,
    /// What it does.
    pub action: WriteAction,
}

/// What a statement changes.
#[derive(Debug, Clone)]
pub enum WriteAction {
    /// CREATE SCHEMA.
    CreateSchema {
        /// The schema, with or without its catalog.
        schema: QualifiedName,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// DROP SCHEMA.
    DropSchema {
        /// The schema, with or without its catalog.
        schema: QualifiedName,
        /// IF EXISTS.
        if_exists: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// ALTER SCHEMA … RENAME TO.
    RenameSchema {
        /// The schema, with or without its catalog.
        schema: QualifiedName,
        /// Its new name.
        to: Name,
    },
    /// CREATE TABLE with columns.
    CreateTable {
        /// The table.
        table: QualifiedName,
        /// Its columns.
        columns: Vec<ColumnDefinition>,
        /// COMMENT.
        comment: Option<String>,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// CREATE TABLE AS.
    CreateTableAs {
        /// The table.
        table: QualifiedName,
        /// Names for the query's columns.
        aliases: Option<Vec<Name>>,
        /// COMMENT.
        comment: Option<String>,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// The query.
        query: Box<ParsedQuery>,
        /// False for WITH NO DATA.
        with_data: bool,
    },
    /// INSERT INTO.
    Insert {
        /// The table.
        table: QualifiedName,
        /// The columns that the query gives, if they are named.
        columns: Option<Vec<Name>>,
        /// The query.
        query: Box<ParsedQuery>,
    },
    /// DELETE of all rows.
    Delete {
        /// The table.
        table: QualifiedName,
    },
    /// TRUNCATE TABLE.
    Truncate {
        /// The table.
        table: QualifiedName,
    },
    /// DROP TABLE, DROP VIEW.
    Drop {
        /// Which of the two.
        kind: RelationKind,
        /// Its name.
        name: QualifiedName,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// ALTER TABLE or VIEW … RENAME TO.
    Rename {
        /// Which of the two.
        kind: RelationKind,
        /// Its name.
        name: QualifiedName,
        /// Its new name.
        to: QualifiedName,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// ALTER TABLE, about a column.
    AlterColumn {
        /// The table.
        table: QualifiedName,
        /// IF EXISTS, of the table.
        if_exists: bool,
        /// What is done to it.
        change: ColumnChange,
    },
    /// COMMENT ON TABLE or VIEW.
    Comment {
        /// Which of the two.
        kind: RelationKind,
        /// Its name.
        name: QualifiedName,
        /// The text, or NULL.
        comment: Option<String>,
    },
    /// COMMENT ON COLUMN.
    CommentColumn {
        /// The table or view.
        table: QualifiedName,
        /// The column.
        column: Name,
        /// The text, or NULL.
        comment: Option<String>,
    },
    /// CREATE VIEW.
    CreateView {
        /// The view.
        view: QualifiedName,
        /// OR REPLACE.
        replace: bool,
        /// COMMENT.
        comment: Option<String>,
        /// SECURITY INVOKER.
        invoker: bool,
        /// The query.
        query: Box<ParsedQuery>,
        /// The query's text.
        sql: String,
    },
}

/// What ALTER TABLE does to a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnChange {
    /// ADD COLUMN.
    Add {
        /// The column.
        column: ColumnDefinition,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// DROP COLUMN.
    Drop {
        /// The column.
        column: Name,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// RENAME COLUMN.
    Rename {
        /// The column.
        column: Name,
        /// Its new name.
        to: Name,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// ALTER COLUMN … DROP NOT NULL.
    DropNotNull {
        /// The column.
        column: Name,
    },
}

/// Parses a statement that changes a catalog; nothing when it is another one.
///
/// # Errors
/// SYNTAX_ERROR with its place; NOT_SUPPORTED for forms that Trino has and Waterbear has not.
pub(super) fn parse(lexed: &Lexed) -> Result<Option<WriteStatement>, Failure> {
    let mut cursor = Cursor::new(lexed);
    let location = place(cursor.peek().span.start);
    let action = if cursor.take("CREATE") {
        create::create(&mut cursor, lexed)?
    } else if cursor.take("DROP") {
        create::drop(&mut cursor)?
    } else if cursor.take("ALTER") {
        alter::alter(&mut cursor)?
    } else if cursor.take("COMMENT") {
        Some(alter::comment(&mut cursor)?)
    } else if cursor.take("INSERT") {
        Some(insert(&mut cursor, lexed)?)
    } else if cursor.take("DELETE") {
        Some(delete(&mut cursor)?)
    } else if cursor.take("TRUNCATE") {
        expect(&mut cursor, "TABLE")?;
        let table = cursor.name(3)?;
        cursor.finish()?;
        Some(WriteAction::Truncate { table })
    } else {
        None
    };
    Ok(action.map(|action| WriteStatement { location, action }))
}

fn insert(cursor: &mut Cursor<'_>, lexed: &Lexed) -> Result<WriteAction, Failure> {
    expect(cursor, "INTO")?;
    let table = cursor.name(3)?;
    let columns = match opens_names(cursor, lexed) {
        true => Some(names(cursor)?),
        false => None,
    };
    let query = Box::new(query_from(cursor, lexed, lexed.tokens.len())?);
    Ok(WriteAction::Insert { table, columns, query })
}

fn delete(cursor: &mut Cursor<'_>) -> Result<WriteAction, Failure> {
    expect(cursor, "FROM")?;
    let table = cursor.name(3)?;
    if cursor.take("WHERE") {
        // Which rows a filter means is for the planner; no connector can take them out yet.
        let message = "This connector does not support modifying table rows";
        return Err(failure_at(table.location, ErrorCode::NOT_SUPPORTED, message));
    }
    cursor.finish()?;
    Ok(WriteAction::Delete { table })
}

// --- what the statements are made of

fn expect(cursor: &mut Cursor<'_>, word: &str) -> Result<(), Failure> {
    if cursor.take(word) { Ok(()) } else { Err(cursor.mismatched(&format!("'{word}'"))) }
}

fn expect_token(cursor: &mut Cursor<'_>, token: &Token) -> Result<(), Failure> {
    if cursor.take_token(token) { Ok(()) } else { Err(cursor.mismatched(&format!("'{token}'"))) }
}

fn if_exists(cursor: &mut Cursor<'_>) -> Result<bool, Failure> {
    let there = cursor.take("IF");
    if there {
        expect(cursor, "EXISTS")?;
    }
    Ok(there)
}

fn if_not_exists(cursor: &mut Cursor<'_>) -> Result<bool, Failure> {
    let there = cursor.take("IF");
    if there {
        expect(cursor, "NOT")?;
        expect(cursor, "EXISTS")?;
    }
    Ok(there)
}

fn unsupported(cursor: &Cursor<'_>, what: &str) -> Failure {
    let at = place(cursor.peek().span.start);
    failure_at(at, ErrorCode::NOT_SUPPORTED, format!("{what} is not supported"))
}

/// One name without a qualifier.
fn name(cursor: &mut Cursor<'_>) -> Result<Name, Failure> {
    let QualifiedName { mut parts, location } = cursor.name(1)?;
    Ok(Name { text: parts.pop().unwrap_or_default(), location })
}

/// `(a, b, …)`
fn names(cursor: &mut Cursor<'_>) -> Result<Vec<Name>, Failure> {
    expect_token(cursor, &Token::LParen)?;
    let mut names = vec![name(cursor)?];
    while cursor.take_token(&Token::Comma) {
        names.push(name(cursor)?);
    }
    expect_token(cursor, &Token::RParen)?;
    Ok(names)
}

/// Whether the bracket that comes next holds names, and not a query.
fn opens_names(cursor: &Cursor<'_>, lexed: &Lexed) -> bool {
    let at = |offset: usize| lexed.tokens.get(cursor.position() + offset).map(|t| &t.token);
    let is_name = |token: Option<&Token>| match token {
        Some(Token::Word(word)) => {
            word.quote_style.is_some()
                || !matches!(
                    word.keyword,
                    Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE
                )
        }
        _ => false,
    };
    at(0) == Some(&Token::LParen) && is_name(at(1))
}

fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>, Failure> {
    if cursor.take("COMMENT") { cursor.string().map(Some) } else { Ok(None) }
}

/// The query from here to the token before `end`.
fn query_from(cursor: &Cursor<'_>, lexed: &Lexed, end: usize) -> Result<ParsedQuery, Failure> {
    let tokens = lexed.tokens.get(cursor.position()..end).unwrap_or_default().to_vec();
    let parsed = parse_query(Lexed { tokens, ..lexed.clone() })?;
    match parsed.query.body.as_ref() {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            let at = place(parsed.query.span().start);
            Err(failure_at(at, ErrorCode::SYNTAX_ERROR, "a query is expected here"))
        }
        _ => Ok(parsed),
    }
}

/// The text of some tokens, which means the same when it is read again.
fn text_of(tokens: &[TokenWithSpan], lexed: &Lexed) -> String {
    let mut text = String::new();
    let mut end = None;
    for token in tokens {
        match end {
            None => {}
            Some(end) if end == token.span.start => {}
            Some(_) => text.push(' '),
        }
        end = Some(token.span.end);
        match &token.token {
            Token::SingleQuotedString(value) => {
                text.push_str(&format!("'{}'", value.replace('\'', "''")));
            }
            Token::Word(word) if word.quote_style.is_some() => {
                let written = lexed.written.get(&token.span.start).unwrap_or(&word.value);
                text.push_str(&format!("\"{}\"", written.replace('"', "\"\"")));
            }
            other => text.push_str(&other.to_string()),
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
