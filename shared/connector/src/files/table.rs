//! One table: the files of a folder, all of one kind and with the same columns.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionState;
use datafusion::object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use futures::{StreamExt, TryStreamExt, stream};
use waterbear_types::TrinoType;

use super::format::Kind;
use super::provider::{FilesProvider, Made};
use super::{folders, location};
use crate::connector::{Column, ConnectorError, ConnectorTable};

/// Files that are opened at the same time.
const CONCURRENT_OPENS: usize = 16;

/// The type of `$file_modified_time`.
const MODIFIED: TimeUnit = TimeUnit::Millisecond;

#[derive(Debug)]
pub(super) struct FilesTable {
    columns: Vec<Column>,
    provider: Arc<dyn TableProvider>,
}

impl ConnectorTable for FilesTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider)
    }
}

/// A file as it was when the table was opened.
struct Opened {
    path: PathBuf,
    object: ObjectMeta,
}

impl FilesTable {
    /// Looks into all files in `folder`. The table is these files, as they are now: one that is
    /// added later is seen by the next query, one that changes fails this one.
    pub(super) async fn open(
        folder: PathBuf,
        state: Arc<SessionState>,
    ) -> Result<Self, ConnectorError> {
        let listed = folder.clone();
        let files = folders::blocking(move || folders::data_files(&listed)).await?;
        let Some(first) = files.first().cloned() else {
            let wanted = "the table's folder holds no .parquet, .csv or .json file";
            return Err(malformed(&folder, wanted));
        };
        let url = location::url_of(&first)?;
        let store = state.runtime_env().object_store(&url)?;
        let Some(kind) = Kind::of(&first) else {
            return Err(malformed(&first, "no kind of file that is known"));
        };
        if let Some(other) = files.iter().find(|file| Kind::of(file) != Some(kind)) {
            let reason = format!("unlike {}, it is of another kind", first.display());
            return Err(malformed(other, reason));
        }
        if kind.is_compressed() {
            return Err(malformed(&first, "compressed files are not supported yet"));
        }
        let format = kind.format();
        let opened: Vec<(Opened, SchemaRef)> = stream::iter(files)
            .map(|path| {
                let (store, state, format) = (Arc::clone(&store), &state, &format);
                async move {
                    let opened = schema_of(&path, kind, &store, state, format.as_ref()).await;
                    opened
                        .map(|(object, schema)| (Opened { path: path.clone(), object }, schema))
                        .map_err(|error| malformed(&path, error))
                }
            })
            .buffered(CONCURRENT_OPENS)
            .try_collect()
            .await?;
        let (opened, schemas): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        let schema = kind.merge(&schemas).map_err(|(index, reason)| {
            malformed(&opened[index].path, format!("unlike {}, {reason}", first.display()))
        })?;
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let (columns, made) = columns(&schema).map_err(|reason| malformed(&first, reason))?;
        let files = stream::iter(opened)
            .map(|opened| {
                let (store, state, format) = (Arc::clone(&store), &state, &format);
                let schema = Arc::clone(&schema);
                async move {
                    let statistics = format
                        .infer_stats(state.as_ref(), &store, schema, &opened.object)
                        .await
                        .map_err(|error| malformed(&opened.path, error))?;
                    Ok::<_, ConnectorError>(file(&opened, statistics))
                }
            })
            .buffered(CONCURRENT_OPENS)
            .try_collect()
            .await?;
        let provider =
            FilesProvider::new(url.object_store(), format, schema, files, made, &columns);
        Ok(Self { columns, provider: Arc::new(provider) })
    }
}

/// A file with the values of the hidden columns, in their order.
fn file(opened: &Opened, statistics: Statistics) -> PartitionedFile {
    let Opened { path, object } = opened;
    let modified = object.last_modified.timestamp_millis();
    let mut file = PartitionedFile::from(object.clone());
    file.partition_values = vec![
        ScalarValue::Utf8(Some(format!("file://{}", path.display()))),
        ScalarValue::Int64(i64::try_from(object.size).ok()),
        ScalarValue::TimestampMillisecond(Some(modified), Some(Arc::from("UTC"))),
    ];
    file.with_statistics(Arc::new(statistics))
}

/// The columns that each file has besides its own.
pub(super) fn hidden_fields() -> [Field; 3] {
    let modified = DataType::Timestamp(MODIFIED, Some(Arc::from("UTC")));
    [
        Field::new("$path", DataType::Utf8, false),
        Field::new("$file_size", DataType::Int64, false),
        Field::new("$file_modified_time", modified, false),
    ]
}

fn malformed(path: &Path, reason: impl ToString) -> ConnectorError {
    ConnectorError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

async fn schema_of(
    file: &Path,
    kind: Kind,
    store: &Arc<dyn ObjectStore>,
    state: &SessionState,
    format: &dyn FileFormat,
) -> Result<(ObjectMeta, SchemaRef), DataFusionError> {
    let url = location::url_of(file)?;
    let object = store.head(url.prefix()).await?;
    let path = file.to_owned();
    let sampled = tokio::task::spawn_blocking(move || kind.sample(&path)).await;
    let schema = match sampled.map_err(|stopped| DataFusionError::External(stopped.into()))? {
        Some(schema) => schema?,
        None => format.infer_schema(state, store, std::slice::from_ref(&object)).await?,
    };
    Ok((object, schema))
}

/// Describes the columns, with names in lower case, and says how each is made of the file's: any
/// may be NULL in some file. The hidden columns come last.
fn columns(schema: &Schema) -> Result<(Vec<Column>, Vec<Made>), String> {
    let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len() + 3);
    let mut made = Vec::with_capacity(schema.fields().len() + 3);
    let hidden = hidden_fields();
    let own = schema.fields().iter().map(|field| (field.as_ref(), false));
    for (field, hidden) in own.chain(hidden.iter().map(|field| (field, true))) {
        let name = field.name().to_lowercase();
        if columns.iter().any(|column| column.name == name) {
            return Err(format!("two columns are named {name} but for case"));
        }
        let data_type = match field.data_type() {
            // Trino reads these as the decimal that has all of their values.
            DataType::UInt64 => DataType::Decimal128(20, 0),
            other => other.clone(),
        };
        let shown = field.clone().with_data_type(data_type.clone());
        let trino_type = TrinoType::of_field(&shown)
            .ok()
            .filter(|_| !matches!(data_type, DataType::Duration(_)))
            .ok_or_else(|| format!("column {name} has type {data_type}, which SQL lacks"))?
            .listing();
        made.push(Made {
            renamed: (name != *field.name()).then(|| name.clone()),
            cast: (data_type != *field.data_type()).then(|| data_type.clone()),
        });
        let nullable = field.is_nullable();
        columns.push(Column { name, data_type, trino_type, nullable, comment: None, hidden });
    }
    Ok((columns, made))
}
