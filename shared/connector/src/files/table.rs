//! One table: the files of a folder, all of one kind and with the same columns.

use std::panic::AssertUnwindSafe;
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
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use waterbear_types::TrinoType;

use super::format::Kind;
use super::provider::FilesProvider;
use super::{folders, location, stored};
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
    /// The columns as the file has them.
    own: SchemaRef,
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
                    let opening = open_file(path.clone(), kind, &store, state, format.as_ref());
                    let opened = unpanicked(&path, opening).await?;
                    let read = kind.read_as(Arc::clone(&opened.own));
                    let read = read.map_err(|reason| malformed(&path, reason))?;
                    Ok::<_, ConnectorError>((opened, read))
                }
            })
            .buffered(CONCURRENT_OPENS)
            .try_collect()
            .await?;
        let (opened, schemas): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
        let schema = kind.merge(&schemas).map_err(|(index, reason)| match index {
            0 => malformed(&first, reason),
            _ => malformed(&opened[index].path, format!("unlike {}, {reason}", first.display())),
        })?;
        let columns = columns(&schema).map_err(|reason| malformed(&first, reason))?;
        let files = stream::iter(opened)
            .map(|opened| {
                let (store, state, format) = (Arc::clone(&store), &state, &format);
                let schema = Arc::clone(&schema);
                async move {
                    let own = stored::in_order_of(&schema, &opened.own);
                    let known = format.infer_stats(state.as_ref(), &store, own, &opened.object);
                    let known = unpanicked(&opened.path, known).await?;
                    let statistics = stored::statistics_as(known, &schema);
                    Ok::<_, ConnectorError>(file(&opened, statistics))
                }
            })
            .buffered(CONCURRENT_OPENS)
            .try_collect()
            .await?;
        let provider = FilesProvider::new(url.object_store(), format, schema, files, &columns);
        Ok(Self { columns, provider: Arc::new(provider) })
    }
}

/// A file with the values of the hidden columns, in their order.
fn file(opened: &Opened, statistics: Statistics) -> PartitionedFile {
    let Opened { path, object, .. } = opened;
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

/// Waits for a look into a file, and names the file if that fails. The reader of footers panics
/// on some that are damaged.
async fn unpanicked<T, E: ToString>(
    path: &Path,
    looking: impl Future<Output = Result<T, E>>,
) -> Result<T, ConnectorError> {
    match AssertUnwindSafe(looking).catch_unwind().await {
        Ok(found) => found.map_err(|error| malformed(path, error)),
        Err(_) => Err(malformed(path, "the file is damaged")),
    }
}

async fn open_file(
    path: PathBuf,
    kind: Kind,
    store: &Arc<dyn ObjectStore>,
    state: &SessionState,
    format: &dyn FileFormat,
) -> Result<Opened, String> {
    let text = |error: DataFusionError| error.strip_backtrace();
    let url = location::url_of(&path).map_err(text)?;
    let object = store.head(url.prefix()).await.map_err(|error| error.to_string())?;
    let sampled = path.clone();
    let sampled = tokio::task::spawn_blocking(move || kind.sample(&sampled)).await;
    let own = match sampled.map_err(|stopped| stopped.to_string())? {
        Some(own) => own?,
        None => {
            let objects = std::slice::from_ref(&object);
            format.infer_schema(state, store, objects).await.map_err(text)?
        }
    };
    Ok(Opened { path, object, own })
}

/// Describes the columns, with names in lower case: any may be NULL in some file. The hidden
/// columns come last.
fn columns(schema: &Schema) -> Result<Vec<Column>, String> {
    let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len() + 3);
    let hidden = hidden_fields();
    let own = schema.fields().iter().map(|field| (field.as_ref(), false));
    for (field, hidden) in own.chain(hidden.iter().map(|field| (field, true))) {
        let name = field.name().to_lowercase();
        if columns.iter().any(|column| column.name == name) {
            return Err(match hidden {
                true => format!("a column is named {name}, which each table has for itself"),
                false => format!("two columns are named {name} but for case"),
            });
        }
        let data_type = field.data_type().clone();
        let trino_type = TrinoType::of_field(field)
            .map_err(|_| format!("column {name} has type {data_type}, which SQL lacks"))?
            .listing();
        let nullable = field.is_nullable();
        columns.push(Column { name, data_type, trino_type, nullable, comment: None, hidden });
    }
    Ok(columns)
}
