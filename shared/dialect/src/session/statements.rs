//! Statements about the client's session: SET, RESET, SHOW SESSION, transactions.

use datafusion::sql::sqlparser::ast::{Expr, Value};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use crate::lexer::{Lexed, TrinoDialect, failure_at, place};
use crate::metadata::Cursor;
use crate::parameters::{bind, check_constant};
use crate::{
    LikePattern, MAX_NESTING, ParsedQuery, QualifiedName, Statement, mismatched, parse_query,
    syntax_error,
};

/// A statement that reads or changes nothing but the client's session.
#[derive(Debug, Clone)]
pub enum SessionStatement {
    /// PREPARE.
    Prepare {
        /// The name, as it is written.
        name: String,
        /// The statement's text.
        sql: String,
    },
    /// DEALLOCATE PREPARE.
    Deallocate {
        /// The name of a prepared statement.
        name: String,
    },
    /// DESCRIBE INPUT.
    DescribeInput {
        /// How many parameters it has.
        parameters: usize,
        /// The statement, with `$1`, `$2`, … for its parameters.
        statement: Box<Statement>,
        /// The statement, with NULL for its parameters.
        with_nulls: Box<Statement>,
    },
    /// DESCRIBE OUTPUT.
    DescribeOutput {
        /// The statement, with NULL for its parameters.
        statement: Box<Statement>,
    },
    /// START TRANSACTION.
    StartTransaction {
        /// ISOLATION LEVEL.
        isolation: IsolationLevel,
        /// READ ONLY.
        read_only: bool,
    },
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SET SESSION.
    SetSession {
        /// The property: `name` or `catalog.name`.
        name: QualifiedName,
        /// A query of one row and column: the value.
        value: Box<ParsedQuery>,
    },
    /// RESET SESSION.
    ResetSession {
        /// The property: `name` or `catalog.name`.
        name: QualifiedName,
    },
    /// SHOW SESSION.
    ShowSession {
        /// LIKE.
        like: Option<LikePattern>,
    },
    /// SET TIME ZONE.
    SetTimeZone {
        /// A query of one row and column; none for LOCAL.
        value: Option<Box<ParsedQuery>>,
    },
    /// SET PATH.
    SetPath {
        /// The path, its items in quotes where they need them.
        path: String,
        /// The catalogs that it names, and where.
        catalogs: Vec<(String, Option<ErrorLocation>)>,
    },
    /// SET ROLE.
    SetRole {
        /// The role.
        role: Role,
        /// IN: the catalog that the role is of.
        catalog: Option<QualifiedName>,
    },
    /// SET SESSION AUTHORIZATION.
    SetAuthorization {
        /// The user.
        user: String,
    },
    /// RESET SESSION AUTHORIZATION.
    ResetAuthorization,
}

/// What SET ROLE names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// NONE.
    None,
    /// ALL.
    All,
    /// A role.
    Named {
        /// Its name, lower case.
        name: String,
        /// Where it stands.
        location: Option<ErrorLocation>,
    },
}

/// How much of other transactions one sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// READ UNCOMMITTED, the default.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

impl IsolationLevel {
    /// The level as SQL writes it.
    pub const fn name(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "READ UNCOMMITTED",
            IsolationLevel::ReadCommitted => "READ COMMITTED",
            IsolationLevel::RepeatableRead => "REPEATABLE READ",
            IsolationLevel::Serializable => "SERIALIZABLE",
        }
    }
}

/// Parses a statement about the session; nothing when it is another one.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(crate) fn parse(lexed: &Lexed) -> Result<Option<SessionStatement>, Failure> {
    let mut cursor = Cursor::new(lexed);
    let statement = if cursor.take("SET") {
        return set(&mut cursor, lexed);
    } else if cursor.take("RESET") && cursor.take("SESSION") {
        if cursor.take("AUTHORIZATION") {
            SessionStatement::ResetAuthorization
        } else {
            SessionStatement::ResetSession { name: cursor.name(2)? }
        }
    } else if cursor.take("SHOW") && cursor.take("SESSION") {
        SessionStatement::ShowSession { like: cursor.optional_like()? }
    } else if cursor.take("START") {
        if !cursor.take("TRANSACTION") {
            return Err(cursor.mismatched("'TRANSACTION'"));
        }
        start_transaction(&mut cursor)?
    } else if cursor.take("COMMIT") {
        cursor.take("WORK");
        SessionStatement::Commit
    } else if cursor.take("ROLLBACK") {
        cursor.take("WORK");
        SessionStatement::Rollback
    } else {
        return Ok(None);
    };
    cursor.finish()?;
    Ok(Some(statement))
}

fn set(cursor: &mut Cursor<'_>, lexed: &Lexed) -> Result<Option<SessionStatement>, Failure> {
    let statement = if cursor.take("SESSION") {
        if cursor.take("AUTHORIZATION") {
            SessionStatement::SetAuthorization { user: user(cursor)? }
        } else {
            let name = cursor.name(2)?;
            if !cursor.take_token(&Token::Eq) {
                return Err(cursor.mismatched("'='"));
            }
            let value = constant(lexed, cursor.position())?;
            return Ok(Some(SessionStatement::SetSession { name, value }));
        }
    } else if cursor.take("TIME") {
        if !cursor.take("ZONE") {
            return Err(cursor.mismatched("'ZONE'"));
        }
        if !cursor.take("LOCAL") {
            let value = Some(constant(lexed, cursor.position())?);
            return Ok(Some(SessionStatement::SetTimeZone { value }));
        }
        SessionStatement::SetTimeZone { value: None }
    } else if cursor.take("PATH") {
        path(cursor)?
    } else if cursor.take("ROLE") {
        let role = if cursor.take("NONE") {
            Role::None
        } else if cursor.take("ALL") {
            Role::All
        } else {
            let QualifiedName { mut parts, location } = cursor.name(1)?;
            Role::Named { name: parts.swap_remove(0), location }
        };
        let catalog = if cursor.take("IN") { Some(cursor.name(1)?) } else { None };
        SessionStatement::SetRole { role, catalog }
    } else {
        return Ok(None);
    };
    cursor.finish()?;
    Ok(Some(statement))
}

fn user(cursor: &mut Cursor<'_>) -> Result<String, Failure> {
    match cursor.peek().token {
        Token::SingleQuotedString(_) => cursor.string(),
        _ => Ok(cursor.name(1)?.parts.swap_remove(0)),
    }
}

fn path(cursor: &mut Cursor<'_>) -> Result<SessionStatement, Failure> {
    let (mut items, mut catalogs) = (Vec::new(), Vec::new());
    loop {
        let QualifiedName { parts, location } = cursor.name(2)?;
        let quoted = |part: &String| match plain(part) {
            true => part.clone(),
            false => format!("\"{}\"", part.replace('"', "\"\"")),
        };
        items.push(parts.iter().map(quoted).collect::<Vec<_>>().join("."));
        if let [catalog, _] = parts.as_slice() {
            catalogs.push((catalog.clone(), location));
        }
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    Ok(SessionStatement::SetPath { path: items.join(", "), catalogs })
}

/// True for a name that needs no quotes.
fn plain(name: &str) -> bool {
    let letter = |byte: u8| byte == b'_' || byte.is_ascii_lowercase();
    name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// One expression from this token to the end, as a query of one row.
fn constant(lexed: &Lexed, from: usize) -> Result<Box<ParsedQuery>, Failure> {
    let tokens = lexed.tokens.get(from..).unwrap_or_default();
    let mut parser = Parser::new(&TrinoDialect)
        .with_recursion_limit(MAX_NESTING)
        .with_tokens_with_locations(tokens.to_vec());
    let mut value = parser.parse_expr().map_err(|error| syntax_error(&error, lexed.end))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(mismatched(&next, lexed.end, "<EOF>"));
    }
    bind(&mut value, lexed)?;
    check_constant(&value)?;
    refuse_null(&value)?;
    let select = TokenWithSpan::new(Token::make_keyword("SELECT"), Span::empty());
    let tokens = std::iter::once(select).chain(tokens.iter().cloned()).collect();
    parse_query(Lexed { tokens, ..lexed.clone() }).map(Box::new)
}

fn refuse_null(value: &Expr) -> Result<(), Failure> {
    match value {
        Expr::Value(value) if value.value == Value::Null => {
            let message = "Session property value must not be null";
            let at = place(value.span.start);
            Err(failure_at(at, ErrorCode::INVALID_SESSION_PROPERTY, message))
        }
        _ => Ok(()),
    }
}

fn start_transaction(cursor: &mut Cursor<'_>) -> Result<SessionStatement, Failure> {
    let (mut isolation, mut read_only) = (None, None);
    while cursor.peek().token != Token::EOF {
        if (isolation.is_some() || read_only.is_some()) && !cursor.take_token(&Token::Comma) {
            return Err(cursor.mismatched("',', <EOF>"));
        }
        let at = place(cursor.peek().span.start);
        let twice = |what: &str| {
            let message = format!("Multiple transaction {what} specified");
            Err(failure_at(at, ErrorCode::SYNTAX_ERROR, message))
        };
        if cursor.take("ISOLATION") {
            if !cursor.take("LEVEL") {
                return Err(cursor.mismatched("'LEVEL'"));
            }
            if isolation.replace(isolation_level(cursor)?).is_some() {
                return twice("isolation levels");
            }
        } else if cursor.take("READ") {
            let only = cursor.take("ONLY");
            if !only && !cursor.take("WRITE") {
                return Err(cursor.mismatched("'ONLY', 'WRITE'"));
            }
            if read_only.replace(only).is_some() {
                return twice("read modes");
            }
        } else {
            return Err(cursor.mismatched("'ISOLATION', 'READ'"));
        }
    }
    Ok(SessionStatement::StartTransaction {
        isolation: isolation.unwrap_or(IsolationLevel::ReadUncommitted),
        read_only: read_only.unwrap_or(false),
    })
}

fn isolation_level(cursor: &mut Cursor<'_>) -> Result<IsolationLevel, Failure> {
    if cursor.take("SERIALIZABLE") {
        Ok(IsolationLevel::Serializable)
    } else if cursor.take("REPEATABLE") {
        match cursor.take("READ") {
            true => Ok(IsolationLevel::RepeatableRead),
            false => Err(cursor.mismatched("'READ'")),
        }
    } else if cursor.take("READ") {
        if cursor.take("UNCOMMITTED") {
            Ok(IsolationLevel::ReadUncommitted)
        } else if cursor.take("COMMITTED") {
            Ok(IsolationLevel::ReadCommitted)
        } else {
            Err(cursor.mismatched("'COMMITTED', 'UNCOMMITTED'"))
        }
    } else {
        Err(cursor.mismatched("'READ', 'REPEATABLE', 'SERIALIZABLE'"))
    }
}
