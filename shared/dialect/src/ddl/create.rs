//! CREATE and DROP.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use waterbear_protocol::{ErrorCode, Failure};

use super::{
    ColumnDefinition, RelationKind, WriteAction, comment, expect, expect_token, if_exists,
    if_not_exists, name, names, opens_names, query_from, text_of, types, unsupported,
};
use crate::lexer::{Lexed, failure_at, place};
use crate::metadata::Cursor;

/// What stands behind CREATE; nothing for what is no schema, table or view.
pub(super) fn create(
    cursor: &mut Cursor<'_>,
    lexed: &Lexed,
) -> Result<Option<WriteAction>, Failure> {
    let replace = cursor.take("OR");
    if replace {
        expect(cursor, "REPLACE")?;
    }
    if cursor.take("VIEW") {
        return create_view(cursor, lexed, replace).map(Some);
    }
    if cursor.take("TABLE") {
        if replace {
            let message = "This connector does not support replacing tables";
            let at = place(cursor.peek().span.start);
            return Err(failure_at(at, ErrorCode::NOT_SUPPORTED, message));
        }
        return create_table(cursor, lexed).map(Some);
    }
    if !replace && cursor.take("SCHEMA") {
        let if_not_exists = if_not_exists(cursor)?;
        let schema = cursor.name(2)?;
        no_properties(cursor, PropertyOf::Schema)?;
        if cursor.take("AUTHORIZATION") {
            return Err(unsupported(cursor, "AUTHORIZATION"));
        }
        cursor.finish()?;
        return Ok(Some(WriteAction::CreateSchema { schema, if_not_exists }));
    }
    Ok(None)
}

/// What WITH (…) can be of.
#[derive(Clone, Copy)]
enum PropertyOf {
    Schema,
    Table,
    Column,
    View,
}

/// WITH (…): no connector that can be written to has properties of its own.
fn no_properties(cursor: &mut Cursor<'_>, of: PropertyOf) -> Result<(), Failure> {
    if !cursor.take("WITH") {
        return Ok(());
    }
    expect_token(cursor, &Token::LParen)?;
    let property = name(cursor)?;
    let (what, code) = match of {
        PropertyOf::Schema => ("Schema", ErrorCode::INVALID_SCHEMA_PROPERTY),
        PropertyOf::Table => ("Table", ErrorCode::INVALID_TABLE_PROPERTY),
        PropertyOf::Column => ("Column", ErrorCode::INVALID_COLUMN_PROPERTY),
        PropertyOf::View => ("View", ErrorCode::INVALID_VIEW_PROPERTY),
    };
    let message = format!("{what} property '{}' does not exist", property.text);
    Err(failure_at(property.location, code, message))
}

fn create_table(cursor: &mut Cursor<'_>, lexed: &Lexed) -> Result<WriteAction, Failure> {
    let if_not_exists = if_not_exists(cursor)?;
    let table = cursor.name(3)?;
    if opens_columns(cursor, lexed) {
        expect_token(cursor, &Token::LParen)?;
        let mut columns = vec![column(cursor)?];
        while cursor.take_token(&Token::Comma) {
            columns.push(column(cursor)?);
        }
        expect_token(cursor, &Token::RParen)?;
        let comment = comment(cursor)?;
        no_properties(cursor, PropertyOf::Table)?;
        cursor.finish()?;
        return Ok(WriteAction::CreateTable { table, columns, comment, if_not_exists });
    }
    let aliases = match cursor.peek().token == Token::LParen {
        true => Some(names(cursor)?),
        false => None,
    };
    let comment = comment(cursor)?;
    no_properties(cursor, PropertyOf::Table)?;
    expect(cursor, "AS")?;
    let (end, with_data) = data_clause(&lexed.tokens);
    let query = Box::new(query_from(cursor, lexed, end)?);
    Ok(WriteAction::CreateTableAs { table, aliases, comment, if_not_exists, query, with_data })
}

/// Whether what comes next is a list of columns with types, and not of names alone.
fn opens_columns(cursor: &Cursor<'_>, lexed: &Lexed) -> bool {
    let third = lexed.tokens.get(cursor.position() + 2).map(|token| &token.token);
    opens_names(cursor, lexed) && !matches!(third, Some(Token::Comma | Token::RParen) | None)
}

/// Where the query of CREATE TABLE AS ends, and whether its rows are wanted.
fn data_clause(tokens: &[TokenWithSpan]) -> (usize, bool) {
    let is = |token: Option<&TokenWithSpan>, wanted: &str| {
        matches!(token.map(|token| &token.token), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    };
    let from_end = |back: usize| tokens.len().checked_sub(back).and_then(|at| tokens.get(at));
    if is(from_end(1), "DATA") && is(from_end(2), "WITH") {
        return (tokens.len() - 2, true);
    }
    if is(from_end(1), "DATA") && is(from_end(2), "NO") && is(from_end(3), "WITH") {
        return (tokens.len() - 3, false);
    }
    (tokens.len(), true)
}

/// A column with its type.
pub(super) fn column(cursor: &mut Cursor<'_>) -> Result<ColumnDefinition, Failure> {
    if matches!(&cursor.peek().token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("LIKE"))
    {
        return Err(unsupported(cursor, "LIKE in CREATE TABLE"));
    }
    let name = name(cursor)?;
    let trino_type = types::parse(cursor)?;
    if cursor.take("DEFAULT") {
        return Err(unsupported(cursor, "DEFAULT of a column"));
    }
    let nullable = !cursor.take("NOT");
    if !nullable {
        expect(cursor, "NULL")?;
    }
    let comment = comment(cursor)?;
    no_properties(cursor, PropertyOf::Column)?;
    Ok(ColumnDefinition { name, trino_type, nullable, comment })
}

fn create_view(
    cursor: &mut Cursor<'_>,
    lexed: &Lexed,
    replace: bool,
) -> Result<WriteAction, Failure> {
    let view = cursor.name(3)?;
    let comment = comment(cursor)?;
    let mut invoker = false;
    if cursor.take("SECURITY") {
        invoker = cursor.take("INVOKER");
        if !invoker && !cursor.take("DEFINER") {
            return Err(cursor.mismatched("'DEFINER', 'INVOKER'"));
        }
    }
    no_properties(cursor, PropertyOf::View)?;
    expect(cursor, "AS")?;
    let query = Box::new(query_from(cursor, lexed, lexed.tokens.len())?);
    let sql = text_of(lexed.tokens.get(cursor.position()..).unwrap_or_default(), lexed);
    Ok(WriteAction::CreateView { view, replace, comment, invoker, query, sql })
}

/// What stands behind DROP; nothing for what is no schema, table or view.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Option<WriteAction>, Failure> {
    let action = if cursor.take("SCHEMA") {
        let if_exists = if_exists(cursor)?;
        let schema = cursor.name(2)?;
        let cascade = cursor.take("CASCADE");
        if !cascade {
            cursor.take("RESTRICT");
        }
        WriteAction::DropSchema { schema, if_exists, cascade }
    } else if cursor.take("TABLE") {
        let if_exists = if_exists(cursor)?;
        WriteAction::Drop { kind: RelationKind::Table, name: cursor.name(3)?, if_exists }
    } else if cursor.take("VIEW") {
        let if_exists = if_exists(cursor)?;
        WriteAction::Drop { kind: RelationKind::View, name: cursor.name(3)?, if_exists }
    } else {
        return Ok(None);
    };
    cursor.finish()?;
    Ok(Some(action))
}
