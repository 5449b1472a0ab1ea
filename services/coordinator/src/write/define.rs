//! CREATE, DROP, ALTER, COMMENT, TRUNCATE, and DELETE of all rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use waterbear_connector::{Column, TableDefinition, ViewDefinition};
use waterbear_dialect::{
    ColumnChange, ColumnDefinition, Name, PlannedQuery, QualifiedName, RelationKind, WriteAction,
    failure_at,
};
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::Change;
use super::names::kind_of;
use crate::query::runner::Runner;
use crate::query::{Output, QueryHandle};

/// A column as a connector keeps it.
fn column(definition: &ColumnDefinition) -> Result<Column, Failure> {
    let ColumnDefinition { name, trino_type, nullable, comment } = definition;
    let data_type = trino_type
        .storage()
        .map_err(|failure| failure_at(name.location, failure.code, failure.message))?;
    Ok(Column {
        name: name.text.clone(),
        data_type,
        trino_type: trino_type.listing(),
        nullable: *nullable,
        comment: comment.clone(),
        hidden: false,
    })
}

/// The columns of a query, as a table or view made of it has them. What Arrow has more than one
/// type for is kept in one of them.
pub(super) fn columns_of(
    planned: &PlannedQuery,
    aliases: Option<&[Name]>,
    change: &Change<'_>,
) -> Result<Vec<Column>, Failure> {
    let fields = planned.plan.schema().fields();
    if let Some(aliases) = aliases
        && aliases.len() != fields.len()
    {
        let message = format!(
            "Column alias list has {} entries but relation has {} columns",
            aliases.len(),
            fields.len()
        );
        return Err(change.failure(ErrorCode::MISMATCHED_COLUMN_ALIASES, message));
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::with_capacity(fields.len());
    for (index, (field, written)) in fields.iter().zip(&planned.columns).enumerate() {
        let position = index + 1;
        let name = match aliases {
            Some(aliases) => aliases[index].text.clone(),
            None => written.to_lowercase(),
        };
        if aliases.is_none() && name == format!("_col{index}") {
            let message = format!("Column name not specified at position {position}");
            return Err(change.failure(ErrorCode::MISSING_COLUMN_NAME, message));
        }
        if !seen.insert(name.clone()) {
            let message = format!("Column name '{name}' specified more than once");
            return Err(change.failure(ErrorCode::DUPLICATE_COLUMN_NAME, message));
        }
        let trino_type = planned.column_type(index, field)?;
        if trino_type == TrinoType::Plain("unknown") {
            let message = format!("Column type is unknown at position {position}");
            return Err(change.failure(ErrorCode::COLUMN_TYPE_UNKNOWN, message));
        }
        columns.push(Column {
            name,
            data_type: kept(&trino_type, field.data_type()),
            trino_type: trino_type.listing(),
            nullable: true,
            comment: None,
            hidden: false,
        });
    }
    Ok(columns)
}

/// How values of a type are kept that a query computes in this form. The zone of times is the
/// query's.
fn kept(trino_type: &TrinoType, computed: &DataType) -> DataType {
    let zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    match trino_type.storage() {
        Ok(stored) if !any_type(computed, &zoned) => stored,
        _ => computed.clone(),
    }
}

/// Whether it is true of a type, or of one inside of it.
fn any_type(data_type: &DataType, is: &impl Fn(&DataType) -> bool) -> bool {
    is(data_type)
        || match data_type {
            DataType::List(item) | DataType::Map(item, _) => any_type(item.data_type(), is),
            DataType::Struct(fields) => fields.iter().any(|field| any_type(field.data_type(), is)),
            _ => false,
        }
}

impl Change<'_> {
    // --- schemas

    pub(super) async fn create_schema(
        &self,
        name: &QualifiedName,
        if_not_exists: bool,
    ) -> Result<Output, Failure> {
        let place = self.schema_place(name)?;
        let existing = place.connector.schemas().await.map_err(|error| self.located(error))?;
        if existing.contains(&place.schema) {
            if if_not_exists {
                return Ok(Output::done("CREATE SCHEMA"));
            }
            let message = format!("Schema '{}.{}' already exists", place.catalog, place.schema);
            return Err(self.failure(ErrorCode::SCHEMA_ALREADY_EXISTS, message));
        }
        let created = place.connector.writes().create_schema(&place.schema).await;
        let tolerated = if_not_exists.then_some(ErrorCode::SCHEMA_ALREADY_EXISTS);
        self.done("CREATE SCHEMA", created, tolerated)
    }

    /// Fails, unless there is a schema of this name; true when there is.
    async fn require_schema(
        &self,
        place: &super::names::SchemaPlace<'_>,
        if_exists: bool,
    ) -> Result<bool, Failure> {
        let existing = place.connector.schemas().await.map_err(|error| self.located(error))?;
        if existing.contains(&place.schema) || if_exists {
            return Ok(existing.contains(&place.schema));
        }
        let message = format!("Schema '{}.{}' does not exist", place.catalog, place.schema);
        Err(self.failure(ErrorCode::SCHEMA_NOT_FOUND, message))
    }

    pub(super) async fn drop_schema(
        &self,
        name: &QualifiedName,
        if_exists: bool,
        cascade: bool,
    ) -> Result<Output, Failure> {
        let place = self.schema_place(name)?;
        if !self.require_schema(&place, if_exists).await? {
            return Ok(Output::done("DROP SCHEMA"));
        }
        let dropped = place.connector.writes().drop_schema(&place.schema, cascade).await;
        let tolerated = if_exists.then_some(ErrorCode::SCHEMA_NOT_FOUND);
        self.done("DROP SCHEMA", dropped, tolerated)
    }

    pub(super) async fn rename_schema(
        &self,
        name: &QualifiedName,
        to: &str,
    ) -> Result<Output, Failure> {
        let place = self.schema_place(name)?;
        self.require_schema(&place, false).await?;
        let renamed = place.connector.writes().rename_schema(&place.schema, to).await;
        self.done("RENAME SCHEMA", renamed, None)
    }

    // --- tables and views

    pub(super) async fn create_table(
        &self,
        name: &QualifiedName,
        columns: &[ColumnDefinition],
        comment: Option<String>,
        if_not_exists: bool,
    ) -> Result<Output, Failure> {
        let place = self.table_place(name)?;
        if self.find(&place).await?.is_some() {
            if if_not_exists {
                return Ok(Output::done("CREATE TABLE"));
            }
            let message = format!("Table '{}' already exists", place.full());
            return Err(self.failure(ErrorCode::TABLE_ALREADY_EXISTS, message));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|column| !seen.insert(&column.name.text)) {
            let message = format!("Column name '{}' specified more than once", twice.name.text);
            let at = twice.name.location;
            return Err(failure_at(at, ErrorCode::DUPLICATE_COLUMN_NAME, message));
        }
        let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
        let definition = TableDefinition { columns, comment };
        let created = place.connector.writes().create_table(&place.name, definition).await;
        let tolerated = if_not_exists.then_some(ErrorCode::TABLE_ALREADY_EXISTS);
        self.done("CREATE TABLE", created, tolerated)
    }

    pub(super) async fn create_view(
        &self,
        runner: &Runner,
        query: &Arc<QueryHandle>,
        action: &WriteAction,
    ) -> Result<Output, Failure> {
        let WriteAction::CreateView { view, replace, comment, invoker, query: source, sql } =
            action
        else {
            return Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, "no view"));
        };
        let place = self.table_place(view)?;
        let existing = self.find(&place).await?;
        if let Some(existing) = existing.as_deref().map(kind_of)
            && !(*replace && existing == RelationKind::View)
        {
            let what = if existing == RelationKind::View { "View" } else { "Table" };
            let message = format!("{what} '{}' already exists", place.full());
            return Err(self.failure(ErrorCode::TABLE_ALREADY_EXISTS, message));
        }
        let full = (place.catalog.clone(), place.name.schema.clone(), place.name.table.clone());
        let planned = runner.plan_view(query, source, full).await?;
        let definition = ViewDefinition {
            sql: sql.clone(),
            catalog: self.context.catalog.clone(),
            schema: self.context.schema.clone(),
            columns: columns_of(&planned, None, self)?,
            comment: comment.clone(),
            owner: (!invoker).then(|| self.context.user.clone()),
        };
        let writes = place.connector.writes();
        self.done("CREATE VIEW", writes.create_view(&place.name, definition, *replace).await, None)
    }

    pub(super) async fn drop(
        &self,
        kind: RelationKind,
        name: &QualifiedName,
        if_exists: bool,
    ) -> Result<Output, Failure> {
        let place = self.table_place(name)?;
        let update_type = match kind {
            RelationKind::Table => "DROP TABLE",
            RelationKind::View => "DROP VIEW",
        };
        if !self.require(&place, kind, if_exists).await? {
            return Ok(Output::done(update_type));
        }
        let writes = place.connector.writes();
        let dropped = match kind {
            RelationKind::Table => writes.drop_table(&place.name).await,
            RelationKind::View => writes.drop_view(&place.name).await,
        };
        self.done(update_type, dropped, if_exists.then_some(ErrorCode::TABLE_NOT_FOUND))
    }

    pub(super) async fn rename(
        &self,
        kind: RelationKind,
        name: &QualifiedName,
        to: &QualifiedName,
        if_exists: bool,
    ) -> Result<Output, Failure> {
        let place = self.table_place(name)?;
        let (update_type, what) = match kind {
            RelationKind::Table => ("RENAME TABLE", "Table"),
            RelationKind::View => ("RENAME VIEW", "View"),
        };
        if !self.require(&place, kind, if_exists).await? {
            return Ok(Output::done(update_type));
        }
        // What is left out of the new name is as in the old one.
        let mut parts =
            vec![place.catalog.clone(), place.name.schema.clone(), place.name.table.clone()];
        let given = to.parts.len().min(parts.len());
        parts.splice(3 - given.., to.parts.iter().cloned());
        let target = self.table_place(&QualifiedName { parts, location: to.location })?;
        if target.catalog != place.catalog {
            let message = format!("{what} rename across catalogs is not supported");
            return Err(self.failure(ErrorCode::NOT_SUPPORTED, message));
        }
        if self.find(&target).await?.is_some() {
            let message =
                format!("Target {} '{}' already exists", what.to_lowercase(), target.full());
            return Err(self.failure(ErrorCode::TABLE_ALREADY_EXISTS, message));
        }
        let writes = place.connector.writes();
        let renamed = match kind {
            RelationKind::Table => writes.rename_table(&place.name, &target.name).await,
            RelationKind::View => writes.rename_view(&place.name, &target.name).await,
        };
        self.done(update_type, renamed, None)
    }

    pub(super) async fn truncate(&self, name: &QualifiedName) -> Result<Output, Failure> {
        let place = self.table_place(name)?;
        self.require_rows(&place, "Cannot truncate a view").await?;
        let truncated = place.connector.writes().truncate_table(&place.name).await;
        self.done("TRUNCATE TABLE", truncated, None)
    }

    pub(super) async fn delete(&self, name: &QualifiedName) -> Result<Output, Failure> {
        let place = self.table_place(name)?;
        self.require_rows(&place, "Deleting from views is not supported").await?;
        let deleted = place.connector.writes().delete_all(&place.name).await;
        let rows = deleted.map_err(|error| self.located(error))?;
        Ok(Output::update("DELETE", async move { Ok(rows) }))
    }

    // --- columns and comments

    pub(super) async fn alter_column(
        &self,
        table: &QualifiedName,
        if_exists: bool,
        change: &ColumnChange,
    ) -> Result<Output, Failure> {
        let place = self.table_place(table)?;
        let update_type = match change {
            ColumnChange::Add { .. } => "ADD COLUMN",
            ColumnChange::Drop { .. } => "DROP COLUMN",
            ColumnChange::Rename { .. } => "RENAME COLUMN",
            ColumnChange::DropNotNull { .. } => "DROP NOT NULL CONSTRAINT",
        };
        if !self.require(&place, RelationKind::Table, if_exists).await? {
            return Ok(Output::done(update_type));
        }
        let (writes, name) = (place.connector.writes(), &place.name);
        let missing = |if_exists: bool| if_exists.then_some(ErrorCode::COLUMN_NOT_FOUND);
        let (changed, tolerated) = match change {
            ColumnChange::Add { column: definition, if_not_exists } => {
                let added = writes.add_column(name, column(definition)?).await;
                (added, if_not_exists.then_some(ErrorCode::COLUMN_ALREADY_EXISTS))
            }
            ColumnChange::Drop { column, if_exists } => {
                (writes.drop_column(name, &column.text).await, missing(*if_exists))
            }
            ColumnChange::Rename { column, to, if_exists } => {
                (writes.rename_column(name, &column.text, &to.text).await, missing(*if_exists))
            }
            ColumnChange::DropNotNull { column } => {
                (writes.drop_not_null(name, &column.text).await, None)
            }
        };
        self.done(update_type, changed, tolerated)
    }

    pub(super) async fn comment(
        &self,
        kind: RelationKind,
        name: &QualifiedName,
        comment: Option<String>,
    ) -> Result<Output, Failure> {
        let place = self.table_place(name)?;
        self.require(&place, kind, false).await?;
        let writes = place.connector.writes();
        let commented = match kind {
            RelationKind::Table => writes.comment_table(&place.name, comment).await,
            RelationKind::View => writes.comment_view(&place.name, comment).await,
        };
        self.done("COMMENT", commented, None)
    }

    pub(super) async fn comment_column(
        &self,
        table: &QualifiedName,
        column: &str,
        comment: Option<String>,
    ) -> Result<Output, Failure> {
        let place = self.table_place(table)?;
        if self.find(&place).await?.is_none() {
            let message = format!("Table '{}' does not exist", place.full());
            return Err(self.failure(ErrorCode::TABLE_NOT_FOUND, message));
        }
        let writes = place.connector.writes();
        self.done("COMMENT", writes.comment_column(&place.name, column, comment).await, None)
    }
}
