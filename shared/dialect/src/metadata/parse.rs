//! From tokens to a statement about the catalogs.

use datafusion::sql::sqlparser::tokenizer::Token;
use waterbear_protocol::Failure;

use super::{CreateKind, Cursor, MetadataStatement};
use crate::lexer::Lexed;

/// Parses a statement about the catalogs; nothing when it is another one.
///
/// # Errors
/// SYNTAX_ERROR with its place.
pub(crate) fn parse(lexed: &Lexed) -> Result<Option<MetadataStatement>, Failure> {
    let mut cursor = Cursor::new(lexed);
    let statement = if cursor.take("SHOW") {
        show(&mut cursor)?
    } else if cursor.take("DESCRIBE") || cursor.take("DESC") {
        let describes_prepared = is_word(&cursor, "INPUT") || is_word(&cursor, "OUTPUT");
        if describes_prepared {
            return Ok(None);
        }
        Some(MetadataStatement::ShowColumns { table: cursor.name(3)?, like: None })
    } else if cursor.take("USE") {
        Some(MetadataStatement::Use { schema: cursor.name(2)? })
    } else {
        None
    };
    if statement.is_some() {
        cursor.finish()?;
    }
    Ok(statement)
}

fn is_word(cursor: &Cursor<'_>, word: &str) -> bool {
    matches!(&cursor.peek().token, Token::Word(found)
        if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// What follows SHOW.
fn show(cursor: &mut Cursor<'_>) -> Result<Option<MetadataStatement>, Failure> {
    Ok(Some(if cursor.take("CATALOGS") {
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
    } else if cursor.take("CREATE") {
        show_create(cursor)?
    } else if cursor.take("FUNCTIONS") {
        let schema = cursor.optional_from(2)?;
        MetadataStatement::ShowFunctions { schema, like: cursor.optional_like()? }
    } else if cursor.take("ROLES") {
        roles(cursor, "Role")?
    } else if cursor.take("CURRENT") {
        if !cursor.take("ROLES") {
            return Err(cursor.mismatched("'ROLES'"));
        }
        roles(cursor, "Role")?
    } else if cursor.take("ROLE") {
        if !cursor.take("GRANTS") {
            return Err(cursor.mismatched("'GRANTS'"));
        }
        roles(cursor, "Role Grants")?
    } else if cursor.take("GRANTS") {
        let table = if cursor.take("ON") {
            cursor.take("TABLE");
            Some(cursor.name(3)?)
        } else {
            None
        };
        MetadataStatement::ShowGrants { table }
    } else {
        return Ok(None);
    }))
}

fn roles(cursor: &mut Cursor<'_>, heading: &'static str) -> Result<MetadataStatement, Failure> {
    Ok(MetadataStatement::ShowRoles { heading, catalog: cursor.optional_from(1)? })
}

fn show_create(cursor: &mut Cursor<'_>) -> Result<MetadataStatement, Failure> {
    let kind = if cursor.take("TABLE") {
        CreateKind::Table
    } else if cursor.take("SCHEMA") {
        CreateKind::Schema
    } else if cursor.take("VIEW") {
        CreateKind::View
    } else if cursor.take("FUNCTION") {
        CreateKind::Function
    } else if cursor.take("MATERIALIZED") {
        if !cursor.take("VIEW") {
            return Err(cursor.mismatched("'VIEW'"));
        }
        CreateKind::MaterializedView
    } else {
        return Err(cursor.mismatched("'FUNCTION', 'MATERIALIZED', 'SCHEMA', 'TABLE', 'VIEW'"));
    };
    let most = if kind == CreateKind::Schema { 2 } else { 3 };
    Ok(MetadataStatement::ShowCreate { kind, name: cursor.name(most)? })
}
