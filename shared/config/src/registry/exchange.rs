//! How rows go from node to node.

use super::kind::{COUNT, Kind, TIME};
use super::{Property, QUERYING, ignored, refused};

const BUFFERS: &str =
    "it has no effect: buffers of an exchange are of a fixed size for each partition";
const PAGES: &str = "it has no effect: pages are of at most 1MB";
const CLIENTS: &str = "it has no effect: requests need no thread each, and their limits are fixed";
const LOST: &str = "a producer that refuses or is silent for its lease fails the query";

#[rustfmt::skip]
pub(crate) const PROPERTIES: &[Property] = &[
    ignored("exchange.compression-codec", Kind::OneOf(&["NONE", "LZ4", "ZSTD"]), "NONE", QUERYING,
        "Compression of pages between nodes", "pages are not compressed yet").unless("NONE"),
    refused("exchange.compression-enabled", QUERYING, "Removed from Trino",
        "it was removed from Trino: use exchange.compression-codec"),
    ignored("exchange.data-integrity-verification", Kind::OneOf(&["ABORT", "RETRY", "NONE"]), "ABORT", QUERYING,
        "What happens to damaged pages", "TLS finds every damaged page, and the query fails").unless("ABORT"),
    ignored("exchange.deduplication-buffer-size", Kind::Size, "32MB", QUERYING,
        "Results that are held in memory under `QUERY`", super::fault_tolerance::NO_QUERY_YET),
    ignored("exchange.max-buffer-size", Kind::Size, "32MB", QUERYING, "Trino: buffer of a reader", BUFFERS),
    ignored("sink.max-buffer-size", Kind::Size, "32MB", QUERYING, "Trino: buffer of a producer", BUFFERS),
    ignored("sink.max-broadcast-buffer-size", Kind::Size, "200MB", QUERYING, "Trino: buffer of a broadcast", BUFFERS),
    ignored("driver.max-page-partitioning-buffer-size", Kind::Size, "32MB", QUERYING, "Trino: buffer of a repartition", BUFFERS),
    ignored("driver.page-partitioning-buffer-pool-size", COUNT, "8", QUERYING, "Trino: buffers of a repartition", BUFFERS),
    ignored("exchange.max-response-size", Kind::Size, "16MB", QUERYING, "Trino: most bytes of an answer", PAGES),
    ignored("exchange.client-threads", COUNT, "25", QUERYING, "Trino: threads of readers", CLIENTS),
    ignored("exchange.page-buffer-client.max-callback-threads", COUNT, "25", QUERYING, "Trino: threads of readers", CLIENTS),
    ignored("exchange.concurrent-request-multiplier", COUNT, "3", QUERYING, "Trino: requests of a reader", CLIENTS),
    ignored("exchange.acknowledge-pages", Kind::Bool, "true", QUERYING, "Trino: early release of pages",
        "a page is released by the request for the next").unless("true"),
    ignored("exchange.min-error-duration", TIME, "", QUERYING, "Trino: how long a producer is waited for", LOST),
    ignored("exchange.max-error-duration", TIME, "1m", QUERYING, "Trino: how long a producer is waited for", LOST),
    ignored("exchange.http-client.*", Kind::Text, "", QUERYING, "Trino: HTTP client of readers", CLIENTS),
    ignored("scheduler.http-client.*", Kind::Text, "", QUERYING, "Trino: HTTP client of the scheduler", CLIENTS),
    ignored("workerInfo.http-client.*", Kind::Text, "", QUERYING, "Trino: HTTP client of figures", CLIENTS),
    ignored("memoryManager.http-client.*", Kind::Text, "", QUERYING, "Trino: HTTP client of memory", CLIENTS),
];
