//! `catalog/NAME.properties`: a catalog each, by `connector.name`.

use super::kind::{COUNT, Kind};
use super::{Property, QUERYING, honoured, ignored};

/// A connector and the properties of its catalogs.
#[derive(Debug, Clone, Copy)]
pub struct Connector {
    /// `connector.name`.
    pub name: &'static str,
    /// What its catalogs hold.
    pub about: &'static str,
    /// The properties, but for `connector.name`.
    pub properties: &'static [Property],
    /// Those without which a catalog makes no sense.
    pub required: &'static [&'static str],
}

const ENGINE: &str = "it has no effect: the engine chooses batches and splits";

/// All connectors.
#[rustfmt::skip]
pub const CONNECTORS: &[Connector] = &[
    Connector {
        name: "tpch", about: "The data of TPC-H, made as it is read; schemas tiny, sf1, sf10, …", required: &[],
        properties: &[
            honoured("tpch.column-naming", Kind::OneOf(&["SIMPLIFIED", "STANDARD"]), "SIMPLIFIED", QUERYING,
                "Column names: `orderkey`, or `o_orderkey` as in the standard"),
            honoured("tpch.double-type-mapping", Kind::OneOf(&["DOUBLE", "DECIMAL"]), "DOUBLE", QUERYING,
                "Type of amounts: `double` or `decimal`"),
            ignored("tpch.splits-per-node", COUNT, "", QUERYING, "Trino: splits of a scan for each node",
                "a scan is divided by the number of workers and task.concurrency"),
            ignored("tpch.max-rows-per-page", COUNT, "1000000", QUERYING, "Trino: rows of a page", ENGINE),
            ignored("tpch.produce-pages", Kind::Bool, "false", QUERYING, "Trino: pages instead of rows", ENGINE),
            ignored("tpch.partitioning-enabled", Kind::Bool, "true", QUERYING, "Trino: known partitioning of tables", ENGINE),
            ignored("tpch.predicate-pushdown-enabled", Kind::Bool, "true", QUERYING, "Trino: filters in the scan", ENGINE),
        ],
    },
    Connector {
        name: "memory", about: "Tables in the coordinator's memory, gone when it stops", required: &[],
        properties: &[
            honoured("memory.max-data-per-node", Kind::Size, "128MB", QUERYING,
                "Bytes of rows that the catalog's tables may hold, on the coordinator"),
            ignored("memory.splits-per-node", COUNT, "", QUERYING, "Trino: splits of a scan for each node",
                "a scan is divided by its size"),
            ignored("memory.enable-lazy-dynamic-filtering", Kind::Bool, "true", QUERYING, "Trino: scans wait for dynamic filters", ENGINE),
        ],
    },
    Connector {
        name: "files", about: "Parquet, CSV and JSON files below a folder: `<schema>/<table>/**`", required: &["files.location"],
        properties: &[
            honoured("files.location", Kind::Location, "", QUERYING,
                "The folder, the same on all nodes; required"),
        ],
    },
];

/// Connectors of Trino that are not here, to say so.
pub const OTHER_CONNECTORS: &[&str] = &[
    "bigquery",
    "blackhole",
    "cassandra",
    "clickhouse",
    "delta_lake",
    "druid",
    "duckdb",
    "elasticsearch",
    "exasol",
    "faker",
    "gsheets",
    "hive",
    "hudi",
    "iceberg",
    "ignite",
    "jmx",
    "kafka",
    "lakehouse",
    "loki",
    "mariadb",
    "mongodb",
    "mysql",
    "opensearch",
    "oracle",
    "pinot",
    "postgresql",
    "prometheus",
    "redis",
    "redshift",
    "singlestore",
    "snowflake",
    "sqlserver",
    "thrift",
    "tpcds",
    "vertica",
];
