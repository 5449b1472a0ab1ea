//! Reads files only as they were when their query was planned.
//!
//! Each file of a scan travels with its size and its time of change. A worker wraps the source of
//! every scan that it is given, so that each read asks the file system again, before it and after
//! each piece, and errors name their file: answers from two states of a file are never mixed.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileOpenFuture, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, JsonSource,
    ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, PhysicalExpr};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use waterbear_protocol::{ErrorCode, Failure};

use super::{pieces, quotes};

/// Makes every scan of files in a plan that has just been read from its bytes ask for their
/// versions.
///
/// # Errors
/// If a scan is of a store that is not there.
pub fn guarded(
    plan: Arc<dyn ExecutionPlan>,
    environment: &RuntimeEnv,
) -> Result<Arc<dyn ExecutionPlan>> {
    let guarded = |node: Arc<dyn ExecutionPlan>| {
        let config = node
            .downcast_ref::<DataSourceExec>()
            .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
        let Some(config) = config else { return Ok(Transformed::no(node)) };
        let source: Arc<dyn FileSource> = match config.file_source.downcast_ref::<ParquetSource>() {
            Some(parquet) => {
                let store = environment.object_store(&config.object_store_url)?;
                let reader = DefaultParquetFileReaderFactory::new(guard(store, config));
                Arc::new(parquet.clone().with_parquet_file_reader_factory(Arc::new(reader)))
            }
            None => {
                Arc::new(GuardedSource { inner: Arc::clone(&config.file_source), batch: BATCH })
            }
        };
        let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as _))
    };
    plan.transform_down(guarded).map(|transformed| transformed.data)
}

/// A store that knows the versions of a scan's files.
fn guard(store: Arc<dyn ObjectStore>, config: &FileScanConfig) -> Arc<dyn ObjectStore> {
    let files = config.file_groups.iter().flat_map(|group| group.iter());
    let version =
        |file: &PartitionedFile| (file.object_meta.location.clone(), file.object_meta.clone());
    let versions = files.map(version).collect();
    Arc::new(GuardedStore { inner: store, versions, csv: config.file_source.file_type() == "csv" })
}

/// The rows of a batch, unless a scan asks for another number.
const BATCH: usize = 8192;

/// A source of files that reads them through a [`GuardedStore`].
struct GuardedSource {
    inner: Arc<dyn FileSource>,
    batch: usize,
}

impl FileSource for GuardedSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let store = guard(object_store, base_config);
        let opener = match self.inner.downcast_ref::<JsonSource>() {
            Some(json) => super::json::opener(json, store, self.batch)?,
            None => self.inner.create_file_opener(store, base_config, partition)?,
        };
        Ok(Arc::new(NamingOpener(opener)))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { inner: self.inner.with_batch_size(batch_size), batch: batch_size })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        let guard = |inner| Arc::new(Self { inner, batch: self.batch }) as Arc<dyn FileSource>;
        pushed.updated_node = pushed.updated_node.map(guard);
        Ok(pushed)
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }
}

/// Names the file in what goes wrong with its rows.
struct NamingOpener(Arc<dyn FileOpener>);

impl FileOpener for NamingOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let path = file.object_meta.location.clone();
        let opening = self.0.open(file)?;
        Ok(async move {
            let rows = opening.await.map_err(|error| named(&path, error))?;
            Ok(rows.map(move |batch| batch.map_err(|error| named(&path, error))).boxed())
        }
        .boxed())
    }
}

fn named(path: &Path, error: DataFusionError) -> DataFusionError {
    let text = error.strip_backtrace();
    // The guard's own errors name it already.
    if text.contains(path.as_ref()) {
        return error;
    }
    let code = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => return error,
        _ if storage_failed(&error) => ErrorCode::GENERIC_INTERNAL_ERROR,
        _ => ErrorCode::GENERIC_USER_ERROR,
    };
    DataFusionError::External(Box::new(Failure::new(code, format!("/{path}: {text}"))))
}

/// True when a file could not be read, rather than that its bytes make no sense: another try, or
/// another node, may read it.
fn storage_failed(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind;
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    match kind {
        // What decompression says of bytes that are not what they should be.
        Some(ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof) => false,
        // Wrapped in one that says nothing of its own.
        Some(ErrorKind::Other) | None => error.source().is_some_and(storage_failed),
        Some(_) => true,
    }
}

/// A store that gives files of known versions only.
#[derive(Debug)]
struct GuardedStore {
    inner: Arc<dyn ObjectStore>,
    versions: HashMap<Path, ObjectMeta>,
    /// Whether the files are read from their start to their end as CSV.
    csv: bool,
}

impl fmt::Display for GuardedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

/// The failure of a query whose file is no longer what it was.
pub(super) fn changed(location: &Path, what: &str) -> datafusion::object_store::Error {
    failed(format!("The file /{location} {what} while a query read it; run the query again"))
}

fn failed(message: String) -> datafusion::object_store::Error {
    let failure = Failure::new(ErrorCode::GENERIC_USER_ERROR, message);
    datafusion::object_store::Error::Generic { store: "files", source: Box::new(failure) }
}

impl GuardedStore {
    /// What the store has, if it is of the version that is known.
    async fn found(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        use datafusion::object_store::Error;
        let known = self.versions.get(location);
        let found = self.inner.get_opts(location, options).await.map_err(|error| match error {
            Error::NotFound { .. } if known.is_some() => changed(location, "vanished"),
            // A range behind the end: the file has become shorter.
            Error::Generic { .. } if known.is_some() && !storage_failed(&error) => {
                changed(location, "changed")
            }
            other => other,
        })?;
        match known {
            Some(version)
                if version.size != found.meta.size
                    || version.last_modified != found.meta.last_modified =>
            {
                Err(changed(location, "changed"))
            }
            _ => Ok(found),
        }
    }
}

#[async_trait]
impl ObjectStore for GuardedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let found = self.found(location, options).await?;
        let Some(version) = self.versions.get(location) else { return Ok(found) };
        let payload = match found.payload {
            GetResultPayload::File(file, path) => {
                let range = found.range.clone();
                let pieces = pieces::of(file, path, version.clone(), range);
                GetResultPayload::Stream(match self.csv {
                    true => {
                        let text = format!("/{location}: a quote is opened and never closed");
                        quotes::closed(pieces, failed(text))
                    }
                    false => pieces,
                })
            }
            stream => stream,
        };
        Ok(GetResult { payload, ..found })
    }

    /// What Parquet's reader asks for: pieces that need not be put together again.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        let Some(version) = self.versions.get(location) else {
            return self.inner.get_ranges(location, ranges).await;
        };
        let found = self.found(location, GetOptions::default()).await?;
        match found.payload {
            GetResultPayload::File(file, path) => {
                pieces::all(file, path, version.clone(), ranges.to_vec()).await
            }
            GetResultPayload::Stream(_) => self.inner.get_ranges(location, ranges).await,
        }
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;

    use super::*;

    fn code_of(error: DataFusionError) -> Option<ErrorCode> {
        match named(&Path::from("lake/t/a.csv"), error) {
            DataFusionError::External(error) => {
                let failure = error.downcast_ref::<Failure>().unwrap();
                assert!(failure.message.starts_with("/lake/t/a.csv: "), "{failure}");
                Some(failure.code)
            }
            _ => None,
        }
    }

    fn stored(error: io::Error) -> DataFusionError {
        let source = Box::new(error);
        let error = datafusion::object_store::Error::Generic { store: "files", source };
        DataFusionError::from(error).context("while reading")
    }

    #[test]
    fn a_file_is_blamed_for_its_bytes_and_not_for_its_disk() {
        let csv = arrow::error::ArrowError::CsvError("incorrect number of fields".into());
        assert_eq!(code_of(csv.into()), Some(ErrorCode::GENERIC_USER_ERROR));
        let gzip = io::Error::new(io::ErrorKind::InvalidInput, "corrupt deflate stream");
        assert_eq!(code_of(stored(gzip)), Some(ErrorCode::GENERIC_USER_ERROR));
        let device = io::Error::from_raw_os_error(5);
        assert_eq!(code_of(stored(device)), Some(ErrorCode::GENERIC_INTERNAL_ERROR));
        let stale = io::Error::from(io::ErrorKind::StaleNetworkFileHandle);
        assert_eq!(code_of(stored(stale)), Some(ErrorCode::GENERIC_INTERNAL_ERROR));
    }

    #[test]
    fn want_of_memory_is_not_the_files_fault() {
        let error = DataFusionError::ResourcesExhausted("no more".into()).context("reading");
        assert_eq!(code_of(error), None);
    }
}
