//! From names in a statement to connectors and what they have.

use std::sync::Arc;

use waterbear_connector::{Connector, ConnectorTable, TableName};
use waterbear_dialect::{QualifiedName, RelationKind, full_name};
use waterbear_protocol::{ErrorCode, Failure};

use super::Change;

/// A schema, and the connector that has it or could have it.
pub(super) struct SchemaPlace<'a> {
    pub connector: &'a Arc<dyn Connector>,
    pub catalog: String,
    pub schema: String,
}

/// A table or view, and the connector that has it or could have it.
pub(super) struct TablePlace<'a> {
    pub connector: &'a Arc<dyn Connector>,
    pub catalog: String,
    pub name: TableName,
}

impl TablePlace<'_> {
    /// The whole name, as messages have it.
    pub fn full(&self) -> String {
        format!("{}.{}.{}", self.catalog, self.name.schema, self.name.table)
    }
}

/// What of the two a table is.
pub(super) fn kind_of(table: &dyn ConnectorTable) -> RelationKind {
    if table.view_definition().is_some() { RelationKind::View } else { RelationKind::Table }
}

impl<'a> Change<'a> {
    fn connector(&self, catalog: &str) -> Result<&'a Arc<dyn Connector>, Failure> {
        let found = self.catalogs.connector(catalog).ok_or_else(|| {
            self.failure(ErrorCode::CATALOG_NOT_FOUND, format!("Catalog '{catalog}' not found"))
        })?;
        // No connector can undo yet what a transaction that is rolled back has written.
        self.transactions.check_write(self.context, catalog, true)?;
        Ok(found)
    }

    /// The place of a schema's name.
    pub(super) fn schema_place(&self, name: &QualifiedName) -> Result<SchemaPlace<'a>, Failure> {
        let (catalog, schema) = match name.parts.as_slice() {
            [catalog, schema] => (catalog.clone(), schema.clone()),
            parts => {
                let missing = "Catalog must be specified when session catalog is not set";
                let catalog = self.context.catalog.clone();
                let catalog = catalog
                    .ok_or_else(|| self.failure(ErrorCode::MISSING_CATALOG_NAME, missing))?;
                (catalog, parts.first().cloned().unwrap_or_default())
            }
        };
        Ok(SchemaPlace { connector: self.connector(&catalog)?, catalog, schema })
    }

    /// The place of a table's name, in the session.
    pub(super) fn table_place(&self, name: &QualifiedName) -> Result<TablePlace<'a>, Failure> {
        let (catalog, schema, table) = full_name(&name.parts, self.context)
            .map_err(|(code, text)| self.failure(code, text))?;
        let connector = self.connector(&catalog)?;
        Ok(TablePlace { connector, catalog, name: TableName { schema, table } })
    }

    /// What has this name now.
    pub(super) async fn find(
        &self,
        place: &TablePlace<'_>,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, Failure> {
        let TableName { schema, table } = &place.name;
        place.connector.table(schema, table).await.map_err(|error| self.located(error))
    }

    /// Fails, unless there is a table with rows of its own; a view is refused in these words.
    pub(super) async fn require_rows(
        &self,
        place: &TablePlace<'_>,
        refusal: &str,
    ) -> Result<Arc<dyn ConnectorTable>, Failure> {
        let Some(found) = self.find(place).await? else {
            let message = format!("Table '{}' does not exist", place.full());
            return Err(self.failure(ErrorCode::TABLE_NOT_FOUND, message));
        };
        match kind_of(found.as_ref()) {
            RelationKind::View => Err(self.failure(ErrorCode::NOT_SUPPORTED, refusal)),
            RelationKind::Table => Ok(found),
        }
    }

    /// Fails, unless there is a table or view of this kind and name; true when there is.
    pub(super) async fn require(
        &self,
        place: &TablePlace<'_>,
        kind: RelationKind,
        if_exists: bool,
    ) -> Result<bool, Failure> {
        let missing_schema =
            |failure: &Failure| if_exists && failure.code == ErrorCode::SCHEMA_NOT_FOUND;
        let found = match self.find(place).await {
            Err(failure) if missing_schema(&failure) => None,
            found => found?,
        };
        let full = place.full();
        let (what, other, verb) = match kind {
            RelationKind::Table => ("Table", "view", "VIEW"),
            RelationKind::View => ("View", "table", "TABLE"),
        };
        let message = match found.as_deref().map(kind_of) {
            Some(found) if found == kind => return Ok(true),
            Some(_) => format!(
                "{what} '{full}' does not exist, but a {other} with that name exists. Did you \
                 mean the same of a {verb}?"
            ),
            None if if_exists => return Ok(false),
            None => format!("{what} '{full}' does not exist"),
        };
        Err(self.failure(ErrorCode::TABLE_NOT_FOUND, message))
    }
}
