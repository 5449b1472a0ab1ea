//! ALTER and COMMENT.

use waterbear_protocol::Failure;

use super::{
    ColumnChange, Name, RelationKind, WriteAction, create, expect, if_exists, if_not_exists, name,
    unsupported,
};
use crate::metadata::{Cursor, QualifiedName};

/// What stands behind ALTER; nothing for what is no schema, table or view.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Option<WriteAction>, Failure> {
    let action = if cursor.take("SCHEMA") {
        let schema = cursor.name(2)?;
        if !cursor.take("RENAME") {
            return Err(unsupported(cursor, "This form of ALTER SCHEMA"));
        }
        expect(cursor, "TO")?;
        WriteAction::RenameSchema { schema, to: name(cursor)? }
    } else if cursor.take("TABLE") {
        let if_exists = if_exists(cursor)?;
        let table = cursor.name(3)?;
        alter_table(cursor, table, if_exists)?
    } else if cursor.take("VIEW") {
        let view = cursor.name(3)?;
        if !cursor.take("RENAME") {
            return Err(unsupported(cursor, "This form of ALTER VIEW"));
        }
        expect(cursor, "TO")?;
        let to = cursor.name(3)?;
        WriteAction::Rename { kind: RelationKind::View, name: view, to, if_exists: false }
    } else {
        return Ok(None);
    };
    cursor.finish()?;
    Ok(Some(action))
}

fn alter_table(
    cursor: &mut Cursor<'_>,
    table: QualifiedName,
    table_if_exists: bool,
) -> Result<WriteAction, Failure> {
    let change = if cursor.take("RENAME") {
        if cursor.take("TO") {
            let (kind, to) = (RelationKind::Table, cursor.name(3)?);
            return Ok(WriteAction::Rename { kind, name: table, to, if_exists: table_if_exists });
        }
        expect(cursor, "COLUMN")?;
        let if_exists = if_exists(cursor)?;
        let column = name(cursor)?;
        expect(cursor, "TO")?;
        ColumnChange::Rename { column, to: name(cursor)?, if_exists }
    } else if cursor.take("ADD") {
        expect(cursor, "COLUMN")?;
        let if_not_exists = if_not_exists(cursor)?;
        let column = create::column(cursor)?;
        if cursor.take("FIRST") || cursor.take("AFTER") {
            return Err(unsupported(cursor, "The place of a column"));
        }
        ColumnChange::Add { column, if_not_exists }
    } else if cursor.take("DROP") {
        expect(cursor, "COLUMN")?;
        let if_exists = if_exists(cursor)?;
        ColumnChange::Drop { column: name(cursor)?, if_exists }
    } else if cursor.take("ALTER") {
        expect(cursor, "COLUMN")?;
        let column = name(cursor)?;
        let drops_not_null = cursor.take("DROP") && cursor.take("NOT") && cursor.take("NULL");
        if !drops_not_null {
            return Err(unsupported(cursor, "This form of ALTER COLUMN"));
        }
        ColumnChange::DropNotNull { column }
    } else {
        return Err(unsupported(cursor, "This form of ALTER TABLE"));
    };
    Ok(WriteAction::AlterColumn { table, if_exists: table_if_exists, change })
}

/// What stands behind COMMENT.
pub(super) fn comment(cursor: &mut Cursor<'_>) -> Result<WriteAction, Failure> {
    expect(cursor, "ON")?;
    let kind = if cursor.take("TABLE") {
        Some(RelationKind::Table)
    } else if cursor.take("VIEW") {
        Some(RelationKind::View)
    } else if cursor.take("COLUMN") {
        None
    } else {
        return Err(cursor.mismatched("'COLUMN', 'TABLE', 'VIEW'"));
    };
    let mut name = cursor.name(if kind.is_some() { 3 } else { 4 })?;
    expect(cursor, "IS")?;
    let comment = if cursor.take("NULL") { None } else { Some(cursor.string()?) };
    cursor.finish()?;
    Ok(match kind {
        Some(kind) => WriteAction::Comment { kind, name, comment },
        None => {
            let text = name.parts.pop().unwrap_or_default();
            let column = Name { text, location: name.location };
            WriteAction::CommentColumn { table: name, column, comment }
        }
    })
}
