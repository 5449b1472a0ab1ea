//! `exchange-manager.properties`: where spooled data goes.

use super::fault_tolerance::NOT_YET;
use super::kind::{COUNT, Kind, TIME};
use super::{Property, QUERYING, WORKER, honoured, ignored, refused};

const ONE_OBJECT: &str =
    "an attempt writes one object for all its partitions: its buffer is exchange.sink-buffer-size";
const NO_LIST: &str = "nothing is listed: a task's own record says where its data is";
const NO_AZURE: &str = "Azure is not supported: use a folder that all nodes share, or s3://";
const NO_GCS: &str = "Google Cloud Storage is supported only through its S3 interface, with s3:// and exchange.s3.endpoint";
const NO_HDFS: &str = "HDFS is not supported: use a folder that all nodes share, or s3://";

#[rustfmt::skip]
pub(crate) const PROPERTIES: &[Property] = &[
    honoured("exchange-manager.name", Kind::OneOf(&["filesystem"]), "", QUERYING,
        "The kind of exchange manager; required in this file"),
    honoured("exchange.base-directories", Kind::BaseDirectories, "", QUERYING,
        "Where spooled data goes, all of one scheme, the same on all nodes; required in this file"),
    honoured("exchange.sink-buffer-size", Kind::Size, "32MB", QUERYING, "Pages of a task's output that come together before they are written"),
    honoured("exchange.memory-cache-size", Kind::Size, "0B", WORKER,
        "Spooled outputs that a worker keeps in memory for its own readers, in what no query has reserved"),
    ignored("exchange.max-page-storage-size", Kind::Size, "16MB", QUERYING, "Trino: most bytes of a page", "pages are of at most 1MB"),
    ignored("exchange.sink-buffer-pool-min-size", COUNT, "10", QUERYING, "Trino: buffers of a task", ONE_OBJECT),
    ignored("exchange.sink-buffers-per-partition", COUNT, "2", QUERYING, "Trino: buffers of a partition", ONE_OBJECT),
    ignored("exchange.sink-max-file-size", Kind::Size, "1GB", QUERYING, "Trino: most bytes of a file", ONE_OBJECT),
    ignored("exchange.max-output-partition-count", COUNT, "50", QUERYING, "Trino: most partitions of an exchange", ONE_OBJECT),
    ignored("exchange.source-concurrent-readers", COUNT, "4", QUERYING, "Readers of a task's input", NOT_YET),
    ignored("exchange.source-max-files-per-reader", COUNT, "25", QUERYING, "Trino: files of a reader", ONE_OBJECT),
    ignored("exchange.source-handle-target-data-size", Kind::Size, "256MB", QUERYING, "Trino: bytes of a piece of input", NO_LIST),
    ignored("exchange.file-listing-parallelism", COUNT, "50", QUERYING, "Trino: requests that list files", NO_LIST),

    ignored("exchange.s3.aws-access-key", Kind::Text, "", QUERYING, "Access key; needs the secret key", NOT_YET),
    ignored("exchange.s3.aws-secret-key", Kind::Hidden, "", QUERYING, "Secret key; needs the access key", NOT_YET),
    ignored("exchange.s3.iam-role", Kind::Text, "", QUERYING, "Role to take; not with keys", NOT_YET),
    ignored("exchange.s3.external-id", Kind::Text, "", QUERYING, "External id; needs the role", NOT_YET),
    ignored("exchange.s3.region", Kind::Text, "", QUERYING, "Region; needed without an endpoint", NOT_YET),
    ignored("exchange.s3.endpoint", Kind::Text, "", QUERYING, "URI of the service", NOT_YET),
    ignored("exchange.s3.path-style-access", Kind::Bool, "false", QUERYING, "The bucket in the path", NOT_YET),
    ignored("exchange.s3.max-error-retries", COUNT, "10", QUERYING, "Retries of a request", NOT_YET),
    ignored("exchange.s3.retry-mode", Kind::Text, "ADAPTIVE_V2", QUERYING, "Trino: how the AWS SDK retries", NOT_YET),
    ignored("exchange.s3.upload.part-size", Kind::Size, "5MB", QUERYING, "Bytes of a part", NOT_YET),
    ignored("exchange.s3.storage-class", Kind::Text, "STANDARD", QUERYING, "Storage class", NOT_YET),
    ignored("exchange.s3.async-client-concurrency", COUNT, "100", QUERYING, "Requests at once", NOT_YET),
    ignored("exchange.s3.async-client-max-pending-connection-acquires", COUNT, "10000", QUERYING, "Trino: requests that wait", NOT_YET),
    ignored("exchange.s3.async-client-connection-acquisition-timeout", TIME, "1m", QUERYING, "Trino: how long they wait", NOT_YET),
    ignored("exchange.s3.sse.type", Kind::OneOf(&["NONE", "S3", "KMS"]), "NONE", QUERYING, "Encryption by the service", NOT_YET),
    ignored("exchange.s3.sse.kms-key-id", Kind::Text, "", QUERYING, "Key of that encryption", NOT_YET),

    refused("exchange.gcs.json-key-file-path", QUERYING, "Trino: key of Google Cloud Storage", NO_GCS),
    refused("exchange.gcs.json-key", QUERYING, "Trino: key of Google Cloud Storage", NO_GCS).hidden(),
    refused("exchange.azure.connection-string", QUERYING, "Trino: account of Azure", NO_AZURE).hidden(),
    refused("exchange.azure.endpoint", QUERYING, "Trino: account of Azure", NO_AZURE),
    refused("exchange.azure.block-size", QUERYING, "Trino: bytes of a block", NO_AZURE),
    refused("exchange.azure.max-error-retries", QUERYING, "Trino: retries of a request", NO_AZURE),
    refused("exchange.azure.max-connections", QUERYING, "Trino: connections at once", NO_AZURE),
    refused("exchange.azure.pending-acquire-max-count", QUERYING, "Trino: requests that wait", NO_AZURE),
    refused("exchange.azure.connection-acquisition-timeout", QUERYING, "Trino: how long they wait", NO_AZURE),
    refused("exchange.hdfs.block-size", QUERYING, "Trino: bytes of a block", NO_HDFS),
    refused("exchange.hdfs.skip-directory-scheme-validation", QUERYING, "Trino: other schemes", NO_HDFS),
    refused("hdfs.config.resources", QUERYING, "Trino: files of Hadoop", NO_HDFS),
];
