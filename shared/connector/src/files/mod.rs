//! Parquet, CSV and JSON files in a folder of this machine: `<files.location>/<schema>/<table>/**`.
//!
//! Names in SQL are only ever compared with names that a folder lists, so no name leads out of
//! the location. Hidden files and folders (`.` or `_` first) are skipped.

mod folders;
mod format;
mod guard;
mod json;
mod location;
mod pieces;
mod provider;
mod quotes;
mod sample;
mod stored;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use guard::guarded;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use datafusion::{execution::context::SessionState, prelude::SessionContext};

use crate::{
    connector::{Connector, ConnectorError, ConnectorTable},
    properties::Properties,
};

const LOCATION: &str = "files.location";

/// The connector `files`.
#[derive(Debug)]
pub struct FilesConnector {
    location: PathBuf,
    /// Reads footers and samples when a table is opened.
    state: Arc<SessionState>,
}

impl FilesConnector {
    pub(crate) fn create(mut properties: Properties<'_>) -> Result<Self, Vec<String>> {
        let location = match properties.take(LOCATION) {
            None | Some("") => Err(format!(
                "{LOCATION} is missing: the absolute path of a folder, or a file:// URI"
            )),
            Some(text) => location::parse(text)
                .and_then(|path| folders::list(&path).map(|_| path).map_err(|e| e.to_string()))
                .map_err(|reason| format!("{LOCATION}={text}: {reason}")),
        };
        let location = location.unwrap_or_else(|problem| {
            properties.problem(problem);
            PathBuf::new()
        });
        properties.finish(&[LOCATION])?;
        Ok(Self { location, state: Arc::new(SessionContext::new().state()) })
    }

    async fn schema_folder(&self, schema: &str) -> Result<PathBuf, ConnectorError> {
        folders::find(self.location.clone(), schema)
            .await?
            .ok_or_else(|| ConnectorError::SchemaNotFound { schema: schema.to_owned() })
    }
}

#[async_trait]
impl Connector for FilesConnector {
    fn name(&self) -> &'static str {
        "files"
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        folders::names(self.location.clone()).await
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        folders::names(self.schema_folder(schema).await?).await
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        let schema = self.schema_folder(schema).await?;
        match folders::find(schema, table).await? {
            None => Ok(None),
            Some(folder) => {
                let table = table::FilesTable::open(folder, Arc::clone(&self.state)).await?;
                Ok(Some(Arc::new(table)))
            }
        }
    }
}
