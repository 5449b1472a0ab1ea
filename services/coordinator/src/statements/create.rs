//! SHOW CREATE: the statement that would make a schema, a table or a view.

use waterbear_connector::{Column, ConnectorTable, ViewDefinition};
use waterbear_dialect::{CreateKind, QualifiedName, failure_at};
use waterbear_protocol::{ErrorCode, ErrorLocation, Failure};

use super::show::{existing_schema, find_table, schema_name, text_rows};
use crate::catalogs::Catalogs;
use crate::query::{ClientContext, Output};

/// Answers SHOW CREATE.
pub(super) async fn show_create(
    kind: CreateKind,
    name: &QualifiedName,
    catalogs: &Catalogs,
    context: &ClientContext,
) -> Result<Output, Failure> {
    let at = name.location;
    let row = |heading: &str, text: String| text_rows(&[heading], vec![vec![text]]);
    match kind {
        CreateKind::Schema => {
            let (catalog, schema, at) = schema_name(Some(name), context)?;
            existing_schema(&catalog, &schema, at, catalogs).await?;
            let name = qualified(&[&catalog, &schema]);
            row("Create Schema", format!("CREATE SCHEMA {name}"))
        }
        CreateKind::Table => {
            let (full, table) = find_table(name, "Table", catalogs, context).await?;
            if table.view_definition().is_some() {
                return Err(another_kind(&full, "view", "table", at));
            }
            row("Create Table", create_table(&full, table.as_ref()))
        }
        CreateKind::View => {
            let (full, table) = find_table(name, "View", catalogs, context).await?;
            match table.view_definition() {
                Some(view) => row("Create View", create_view(&full, view)),
                None => Err(another_kind(&full, "table", "view", at)),
            }
        }
        CreateKind::MaterializedView => {
            let (full, _) = find_table(name, "Materialized view", catalogs, context).await?;
            Err(another_kind(&full, "table", "materialized view", at))
        }
        CreateKind::Function => Err(failure_at(at, ErrorCode::NOT_FOUND, "Function not found")),
    }
}

fn another_kind(
    name: &[String; 3],
    found: &str,
    wanted: &str,
    at: Option<ErrorLocation>,
) -> Failure {
    let message = format!("Relation '{}' is a {found}, not a {wanted}", name.join("."));
    failure_at(at, ErrorCode::NOT_SUPPORTED, message)
}

fn create_view([catalog, schema, view]: &[String; 3], definition: &ViewDefinition) -> String {
    let mut text = format!("CREATE VIEW {}", qualified(&[catalog, schema, view]));
    if let Some(comment) = &definition.comment {
        text.push_str(&format!(" COMMENT {}", literal(comment)));
    }
    let security = if definition.owner.is_some() { "DEFINER" } else { "INVOKER" };
    format!("{text} SECURITY {security} AS\n{}", definition.sql)
}

fn create_table(name: &[String; 3], table: &dyn ConnectorTable) -> String {
    let [catalog, schema, table_name] = name;
    let shown = table.columns().iter().filter(|column| !column.hidden);
    let columns: Vec<String> = shown.map(column_definition).collect();
    let name = qualified(&[catalog, schema, table_name]);
    let mut text = format!("CREATE TABLE {name} (\n{}\n)", columns.join(",\n"));
    if let Some(comment) = table.comment() {
        text.push_str(&format!("\nCOMMENT {}", literal(comment)));
    }
    text
}

fn column_definition(column: &Column) -> String {
    let mut text = format!("   {} {}", identifier(&column.name), column.trino_type);
    if !column.nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(comment) = &column.comment {
        text.push_str(&format!(" COMMENT {}", literal(comment)));
    }
    text
}

fn qualified(parts: &[&str]) -> String {
    parts.iter().map(|part| identifier(part)).collect::<Vec<_>>().join(".")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as it must be written to mean this name.
pub(super) fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && RESERVED.binary_search(&name).is_err() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Words that are no names unless they are quoted, in order.
const RESERVED: [&str; 82] = [
    "alter",
    "and",
    "as",
    "between",
    "by",
    "case",
    "cast",
    "constraint",
    "create",
    "cross",
    "cube",
    "current_catalog",
    "current_date",
    "current_path",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "deallocate",
    "delete",
    "describe",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "execute",
    "exists",
    "extract",
    "false",
    "for",
    "from",
    "full",
    "group",
    "grouping",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "json_array",
    "json_exists",
    "json_object",
    "json_query",
    "json_table",
    "json_value",
    "left",
    "like",
    "listagg",
    "localtime",
    "localtimestamp",
    "natural",
    "normalize",
    "not",
    "null",
    "on",
    "or",
    "order",
    "outer",
    "prepare",
    "recursive",
    "right",
    "rollup",
    "select",
    "skip",
    "table",
    "then",
    "trim",
    "true",
    "uescape",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert!(RESERVED.is_sorted());
        for (name, written) in [
            ("a_1", "a_1"),
            ("order", "\"order\""),
            ("1a", "\"1a\""),
            ("a b", "\"a b\""),
            ("$path", "\"$path\""),
            ("a\"b", "\"a\"\"b\""),
            ("comment", "comment"),
        ] {
            assert_eq!(identifier(name), written);
        }
        assert_eq!(literal("it's"), "'it''s'");
    }
}
