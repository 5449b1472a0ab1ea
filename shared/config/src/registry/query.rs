//! Queries, tasks, memory and placement.

use std::time::Duration;

use super::kind::{COUNT, Kind, TIME};
use super::{COORDINATOR, Property, QUERYING, WORKER, honoured, ignored, refused};

const NO_LIMIT: &str = "this limit is not supported yet: queries run without it";
const POOL: &str = "the limit of a query is that on each node, query.max-memory-per-node";
const OUT_OF_MEMORY: &str = "no query is killed for another: what finds the memory pool full spills, or fails with EXCEEDED_LOCAL_MEMORY_LIMIT";
const POLLS: &str =
    "the coordinator polls each task's status with requests of 1s, answered at each change";
const SPLITS: &str = "a task gets all its splits when it is made";
const THREADS: &str = "task.max-worker-threads is the only pool of threads for queries";
const AT_ONCE: &str = "all tasks of a query run at once, on task.max-worker-threads threads";
const WRITES: &str = "it has no effect: no catalog can be written yet";
const STUCK: &str = "it has no effect: regular expressions take linear time";
const PARTITIONS: &str = "an exchange has task.concurrency partitions for each task that reads it";
const LEAST_LOADED: &str = "it has no effect: tasks are spread over all active workers";
const SPILL: &str =
    "operators that can spill do so below node.data-dir when the memory pool is full";
const HISTORY: &str = "the last 100 finished queries are remembered, for 15m";

const SECOND: Duration = Duration::from_secs(1);

/// A limit of no time at all would fail every query.
const MOMENT: Duration = Duration::from_millis(1);

#[rustfmt::skip]
pub(crate) const PROPERTIES: &[Property] = &[
    honoured("memory.pool-size-per-node", Kind::Memory, "(60% of the machine's memory)", QUERYING,
        "Memory pool of a node: the most that all its queries together may reserve. Not Trino's, which takes its heap less memory.heap-headroom-per-node. Percent are of the machine's, or the container's, memory"),
    honoured("query.max-memory-per-node", Kind::Memory, "(half of the pool)", QUERYING,
        "The most that one query may reserve of a node's memory pool. Percent are of the machine's memory (Trino: of the heap)"),
    honoured("task.max-worker-threads", Kind::Threads, "(the number of cores)", WORKER,
        "Threads on which a worker runs queries"),
    honoured("task.concurrency", Kind::Int(1), "(the number of threads)", QUERYING,
        "Partitions inside a task"),
    honoured("task.max-spooled-tasks", Kind::Int(1), "(threads, at least 2)", WORKER,
        "Attempts of tasks that a worker runs at a time under retry-policy TASK (not of Trino)"),
    honoured("task.bytes-per-partition", Kind::Size, "16MB", COORDINATOR,
        "Bytes of a table that one partition of one task should read: the fewer, the more tasks (not of Trino)"),
    honoured("task.client.timeout", Kind::Time(SECOND), "9s", WORKER,
        "A task whose coordinator was silent for so long is aborted (Trino's default is 2m)"),
    honoured("query.client.timeout", Kind::Time(SECOND), "5m", COORDINATOR,
        "A query whose client was silent for so long fails with ABANDONED_QUERY"),

    honoured("query.max-memory", Kind::Size, "20GB", COORDINATOR,
        "Memory that a query reserves on all nodes together; sessions may set another"),
    honoured("query.max-total-memory", Kind::Size, "40GB", COORDINATOR,
        "As query.max-memory: the lesser of the two holds"),
    ignored("query.max-total-memory-per-node", Kind::Memory, "", QUERYING, "Removed from Trino", POOL),
    ignored("memory.heap-headroom-per-node", Kind::Memory, "", QUERYING, "Trino: heap that queries do not use", "there is no heap: memory.pool-size-per-node is what queries may use"),
    ignored("query.low-memory-killer.policy", Kind::OneOf(&["none", "total-reservation", "total-reservation-on-blocked-nodes"]), "total-reservation-on-blocked-nodes", COORDINATOR,
        "Trino: which query dies when a node is full", OUT_OF_MEMORY).unless("none"),
    ignored("query.low-memory-killer.delay", TIME, "5m", COORDINATOR, "Trino: when it dies", OUT_OF_MEMORY),
    ignored("task.low-memory-killer.policy", Kind::OneOf(&["none", "total-reservation-on-blocked-nodes", "least-waste"]), "total-reservation-on-blocked-nodes", COORDINATOR,
        "Trino: which task dies when a node is full", OUT_OF_MEMORY).unless("none"),
    ignored("spill-enabled", Kind::Bool, "false", QUERYING, "Trino: spill to disk", SPILL).unless("true"),
    ignored("spiller-spill-path", Kind::Text, "", QUERYING, "Trino: folders to spill to", SPILL),
    ignored("spiller-max-used-space-threshold", Kind::Number(0.0), "0.9", QUERYING, "Trino: limit of the spill folders", SPILL),
    ignored("spiller-threads", COUNT, "", QUERYING, "Trino: threads that spill", SPILL),
    ignored("max-spill-per-node", Kind::Size, "100GB", QUERYING, "Trino: limit of the spill of a node", SPILL),
    ignored("query-max-spill-per-node", Kind::Size, "100GB", QUERYING, "Trino: limit of the spill of a query", SPILL),
    ignored("spill-compression-codec", Kind::OneOf(&["NONE", "LZ4", "ZSTD"]), "NONE", QUERYING, "Trino: compression of the spill", SPILL),
    refused("spill-encryption-enabled", QUERYING, "Trino: encryption of the spill",
        "what operators spill is not encrypted: remove the property, and put node.data-dir on an encrypted disk").unless("false"),

    honoured("query.max-run-time", Kind::Time(MOMENT), "100d", COORDINATOR,
        "The longest life of a query, its time in the queue included; sessions may set another (`query_max_run_time`)"),
    honoured("query.max-execution-time", Kind::Time(MOMENT), "100d", COORDINATOR,
        "The longest execution of a query; sessions may set another"),
    honoured("query.max-planning-time", Kind::Time(MOMENT), "10m", COORDINATOR,
        "The longest planning of a query; sessions may set another"),
    ignored("query.max-queued-time", TIME, "", COORDINATOR, "Trino: the longest wait in a queue", "only query.max-run-time limits how long a query waits"),
    honoured("query.max-concurrent-queries", Kind::Int(1), "1000", COORDINATOR,
        "Queries that run at once; more wait in the order in which they come"),
    honoured("query.max-queued-queries", COUNT, "5000", COORDINATOR,
        "Queries that wait; more fail with QUERY_QUEUE_FULL"),
    honoured("query.max-cpu-time", Kind::Time(MOMENT), "1000000000d", COORDINATOR,
        "CPU time of a query; sessions may set another"),
    ignored("query.max-scan-physical-bytes", Kind::Size, "", COORDINATOR, "Trino: bytes that a query reads", NO_LIMIT),
    ignored("query.max-write-physical-size", Kind::Size, "", COORDINATOR, "Trino: bytes that a query writes", WRITES),
    ignored("query.max-output-rows", COUNT, "", COORDINATOR, "Trino: rows that a query gives", NO_LIMIT),
    ignored("query.max-stage-count", COUNT, "150", COORDINATOR, "Trino: stages of a query", NO_LIMIT),
    honoured("max-recursion-depth", Kind::Int(1), "10", COORDINATOR,
        "Steps of a WITH RECURSIVE; sessions may set another number (`max_recursion_depth`)"),
    honoured("query.max-length", Kind::Int(1), "1000000", COORDINATOR,
        "Characters of a statement; the body of a request may have 16MB"),
    ignored("query.max-history", COUNT, "100", COORDINATOR, "Trino: finished queries to remember", HISTORY),
    ignored("query.min-expire-age", TIME, "15m", COORDINATOR, "Trino: how long to remember them", HISTORY),
    ignored("query.info-url-template", Kind::Text, "", COORDINATOR, "Trino: where clients see a query", "clients are sent to the coordinator itself"),
    ignored("query.execution-policy", Kind::OneOf(&["phased", "all-at-once", "legacy-phased"]), "phased", COORDINATOR, "Trino: order of stages", AT_ONCE).unless("all-at-once"),
    ignored("query.max-hash-partition-count", COUNT, "100", COORDINATOR, "Trino: most partitions of an exchange", PARTITIONS),
    ignored("query.min-hash-partition-count", COUNT, "4", COORDINATOR, "Trino: fewest partitions of an exchange", PARTITIONS),
    ignored("query.min-hash-partition-count-for-write", COUNT, "50", COORDINATOR, "Trino: fewest partitions of a write", WRITES),
    ignored("query.determine-partition-count-for-write-enabled", Kind::Bool, "false", COORDINATOR, "Trino: partitions of a write by its size", WRITES),
    ignored("query.max-writer-task-count", COUNT, "100", COORDINATOR, "Trino: tasks of a write", WRITES),
    ignored("query.schedule-split-batch-size", COUNT, "1000", COORDINATOR, "Trino: splits that are placed at once", SPLITS),
    ignored("query.min-schedule-split-batch-size", COUNT, "100", COORDINATOR, "Trino: splits that are placed at once", SPLITS),
    ignored("query.remote-task.max-error-duration", TIME, "1m", COORDINATOR, "Trino: how long a silent worker is waited for",
        "a worker that refuses is lost at once, a silent one after its lease of 3s"),
    refused("query.remote-task.min-error-duration", COORDINATOR, "Removed from Trino", "it was removed from Trino: remove the property"),
    refused("query.remote-task.max-consecutive-error-count", COORDINATOR, "Removed from Trino", "it was removed from Trino: remove the property"),
    ignored("query.remote-task.*", Kind::Text, "", COORDINATOR, "Trino: requests to tasks", SPLITS),

    ignored("task.info.max-age", TIME, "15m", WORKER, "Trino: how long a finished task is remembered", "a task is forgotten when its query has ended"),
    ignored("task.info-update-interval", TIME, "3s", QUERYING, "Trino: age of a task's figures", POLLS),
    ignored("task.status-refresh-max-wait", TIME, "1s", QUERYING, "Trino: longest status request", POLLS).unless("1s"),
    ignored("task.termination-timeout", TIME, "1m", QUERYING, "Trino: how long an ending task is waited for", "tasks end at the next batch"),
    ignored("task.http-response-threads", COUNT, "100", WORKER, "Trino: threads of answers", THREADS),
    ignored("task.http-timeout-threads", COUNT, "3", WORKER, "Trino: threads of answers", THREADS),
    ignored("task.task-notification-threads", COUNT, "5", WORKER, "Trino: threads of notifications", THREADS),
    ignored("task.task-yield-threads", COUNT, "3", WORKER, "Trino: threads of yields", THREADS),
    ignored("task.min-drivers", COUNT, "", WORKER, "Trino: splits that run at once", AT_ONCE),
    ignored("task.min-drivers-per-task", COUNT, "3", WORKER, "Trino: splits of a task that run at once", AT_ONCE),
    ignored("task.max-drivers-per-task", COUNT, "2147483647", WORKER, "Trino: splits of a task that run at once", AT_ONCE),
    ignored("task.initial-splits-per-node", COUNT, "", WORKER, "Trino: splits at the start", SPLITS),
    ignored("task.split-concurrency-adjustment-interval", TIME, "100ms", WORKER, "Trino: pace of adaption", SPLITS),
    ignored("task.max-partial-aggregation-memory", Kind::Size, "16MB", WORKER, "Trino: memory of partial aggregation", "partial aggregation stops by itself when it does not reduce its input"),
    ignored("task.max-partial-top-n-memory", Kind::Size, "16MB", WORKER, "Trino: memory of partial top N", "it has no effect: memory is limited by query.max-memory-per-node and memory.pool-size-per-node"),
    ignored("task.max-local-exchange-buffer-size", Kind::Size, "128MB", WORKER, "Trino: buffers inside a task", "it has no effect: memory is limited by query.max-memory-per-node and memory.pool-size-per-node"),
    ignored("task.scale-writers.enabled", Kind::Bool, "true", QUERYING, "Trino: more writers when needed", WRITES),
    ignored("task.min-writer-count", COUNT, "1", QUERYING, "Trino: writers of a task", WRITES),
    ignored("task.max-writer-count", COUNT, "", QUERYING, "Trino: writers of a task", WRITES),
    ignored("task.cpu-timer-enabled", Kind::Bool, "true", WORKER, "Trino: measure CPU time", "CPU time is always measured").unless("true"),
    ignored("task.per-operator-cpu-timer-enabled", Kind::Bool, "true", WORKER, "Trino: measure CPU time", "CPU time is always measured").unless("true"),
    ignored("task.statistics-cpu-timer-enabled", Kind::Bool, "true", WORKER, "Trino: measure CPU time", "CPU time is always measured").unless("true"),
    ignored("task.interrupt-stuck-split-tasks-enabled", Kind::Bool, "true", WORKER, "Trino: end stuck regular expressions", STUCK),
    ignored("task.interrupt-stuck-split-tasks-warning-threshold", TIME, "10m", WORKER, "Trino: when they are reported", STUCK),
    ignored("task.interrupt-stuck-split-tasks-timeout", TIME, "15m", WORKER, "Trino: when they are ended", STUCK),
    ignored("task.interrupt-stuck-split-tasks-detection-interval", TIME, "2m", WORKER, "Trino: how often they are looked for", STUCK),

    ignored("node-scheduler.include-coordinator", Kind::Bool, "true", COORDINATOR, "Trino: tasks on the coordinator",
        "the coordinator runs no task that reads splits: start a worker beside it").unless("false"),
    ignored("node-scheduler.allowed-no-matching-node-period", TIME, "10m", COORDINATOR, "Trino: how long a task waits for a node",
        "it has no effect: a task is placed at once or not at all"),
    ignored("node-scheduler.exhausted-node-wait-period", TIME, "2m", COORDINATOR, "Trino: how long a task waits for its host", LEAST_LOADED),
    ignored("node-scheduler.optimized-local-scheduling", Kind::Bool, "true", COORDINATOR, "Trino: splits near their data", LEAST_LOADED),
    ignored("node-scheduler.max-splits-per-node", COUNT, "256", COORDINATOR, "Trino: splits of a node", SPLITS),
    ignored("node-scheduler.min-pending-splits-per-task", COUNT, "16", COORDINATOR, "Trino: splits that wait", SPLITS),
    ignored("node-scheduler.max-adjusted-pending-splits-per-task", COUNT, "2000", COORDINATOR, "Trino: splits that wait", SPLITS),
    ignored("node-scheduler.max-unacknowledged-splits-per-task", COUNT, "2000", COORDINATOR, "Trino: splits under way", SPLITS),
    ignored("node-scheduler.min-candidates", COUNT, "10", COORDINATOR, "Trino: nodes to choose from", LEAST_LOADED),
    ignored("node-scheduler.policy", Kind::Text, "uniform", COORDINATOR, "Trino: how nodes are chosen", LEAST_LOADED).unless("uniform"),
    ignored("node-scheduler.splits-balancing-policy", Kind::Text, "stage", COORDINATOR, "Trino: how splits are spread", LEAST_LOADED),
    ignored("node-scheduler.network-topology.*", Kind::Text, "", COORDINATOR, "Trino: where nodes stand", LEAST_LOADED),

    ignored("catalog.management", Kind::OneOf(&["static", "dynamic"]), "static", QUERYING, "Trino: whether catalogs change while running",
        "catalogs are read at the start: CREATE CATALOG is not supported").unless("static"),
    refused("catalog.disabled-catalogs", QUERYING, "Trino: catalogs to leave out",
        "it is not supported: remove their files, or name them otherwise than *.properties"),
    ignored("catalog.store", Kind::Text, "file", QUERYING, "Trino: where catalogs are kept", "catalogs are files in the folder 'catalog' of --etc-dir").unless("file"),
    ignored("web-ui.enabled", Kind::Bool, "true", COORDINATOR, "Trino: the web page", "there is no web page yet").unless("false"),
    ignored("web-ui.preview.enabled", Kind::Bool, "false", COORDINATOR, "Trino: the new web page", "there is no web page yet").unless("false"),
    ignored("sql.default-catalog", Kind::Text, "", COORDINATOR, "Trino: catalog of clients that name none", "it has no effect yet: clients name catalog and schema"),
    ignored("sql.default-schema", Kind::Text, "", COORDINATOR, "Trino: schema of clients that name none", "it has no effect yet: clients name catalog and schema"),
    refused("access-control.config-files", COORDINATOR, "Trino: who may do what",
        "access control is not supported yet, and would not happen: remove the property, and let only trusted clients reach the coordinator"),
    ignored("event-listener.config-files", Kind::Text, "", COORDINATOR, "Trino: who is told of queries", "event listeners are not supported yet: see /v1/query and the metrics"),
];
