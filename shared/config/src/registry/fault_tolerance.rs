//! Retry policies and fault-tolerant execution.

use super::kind::{COUNT, Kind, TIME};
use super::{COORDINATOR, Property, QUERYING, honoured, ignored, refused};

/// What the retry policies are called.
pub(crate) const POLICIES: &[&str] = &["NONE", "QUERY", "TASK"];

/// For what waits for the policy QUERY, or for a later step of TASK.
pub(crate) const NOT_YET: &str = "it has no effect yet";
pub(crate) const NO_QUERY_YET: &str =
    "it has no effect yet: retry-policy QUERY is not supported yet";
const PLACES: &str = "tasks wait in the coordinator, without a limit, for a place on a worker (task.max-spooled-tasks)";
const ADAPTIVE: &str = "a plan is never changed while it runs: nothing replaces it";
const SPECULATIVE: &str =
    "a task starts when all its inputs are committed: nothing is started on an estimate";
const NO_SPLIT_BATCHES: &str = "a task gets all its splits when it is made";
const OUTPUT_OBJECTS: &str =
    "an attempt writes one object for all partitions: there is no limit of partitions to raise";
const DESCRIPTORS: &str =
    "the coordinator keeps each task's request until its query ends: there is no store of its own";
const NO_WRITES: &str = "it has no effect: no catalog can be written yet";

#[rustfmt::skip]
pub(crate) const RETRIES: &[Property] = &[
    honoured("retry-policy", Kind::OneOf(POLICIES), "NONE", COORDINATOR,
        "What runs again after a failure: `NONE`, or `TASK`, which needs exchange-manager.properties. `QUERY` is not supported yet"),
    honoured("retry-policy.allowed", Kind::SetOf(POLICIES), "NONE,QUERY,TASK", COORDINATOR,
        "What a session may set `retry_policy` to; `QUERY` fails with NOT_SUPPORTED until it is supported"),
    ignored("query-retry-attempts", COUNT, "4", COORDINATOR, "How often a query runs again", NO_QUERY_YET),
    honoured("task-retry-attempts-per-task", Kind::Int(0), "4", COORDINATOR, "How often a task runs again after a failure of its own; a lost worker costs nothing until the third"),
    honoured("retry-initial-delay", TIME, "100ms", COORDINATOR, "Longest pause before the first retry of a task. Trino pauses the whole query, for 10s"),
    honoured("retry-max-delay", TIME, "1m", COORDINATOR, "Longest pause before a retry"),
    honoured("retry-delay-scale-factor", Kind::Number(1.0), "2.0", COORDINATOR, "Growth of the pause with each failure of a task"),
    refused("retry-attempts", COORDINATOR, "Removed from Trino",
        "it was removed from Trino: use query-retry-attempts or task-retry-attempts-per-task"),
    ignored("max-tasks-waiting-for-execution-per-query", COUNT, "10", COORDINATOR, "Trino: tasks that wait, before more are made", PLACES),
    ignored("max-tasks-waiting-for-node-per-query", COUNT, "50", COORDINATOR, "Trino: tasks that wait for a node", PLACES),
    ignored("external-exchange-encryption-enabled", Kind::Bool, "true", QUERYING, "Trino: encryption of spooled data",
        "spooled data is always encrypted and authenticated: it cannot be switched off").unless("true"),
    ignored("source-pages-validation-enabled", Kind::Bool, "true", QUERYING, "Trino: checks of what sources give",
        "what sources give is always checked by the decoder").unless("true"),
    refused("exchange-manager.config-file", QUERYING, "Trino: where the file of the exchange manager lies",
        "it is always exchange-manager.properties in --etc-dir: remove the property"),
    honoured("query.max-spool-size", Kind::Size, "1TB", COORDINATOR, "Most bytes that the tasks of a query may spool, all attempts together"),
];

#[rustfmt::skip]
pub(crate) const EXECUTION: &[Property] = &[
    honoured("fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min", Kind::Size, "64MB", COORDINATOR, "Bytes of a table that one task should read. Trino: 512MB"),
    ignored("fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-max", Kind::Size, "50GB", COORDINATOR, "Input of a task that scans, at most", NOT_YET),
    ignored("fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-growth-period", COUNT, "64", COORDINATOR, "Tasks before the input grows", NOT_YET),
    ignored("fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-growth-factor", Kind::Number(1.0), "1.26", COORDINATOR, "Growth of the input", NOT_YET),
    ignored("fault-tolerant-execution-arbitrary-distribution-write-task-target-size-min", Kind::Size, "4GB", COORDINATOR, "Input of a task that writes, at first", NO_WRITES),
    ignored("fault-tolerant-execution-arbitrary-distribution-write-task-target-size-max", Kind::Size, "50GB", COORDINATOR, "Input of a task that writes, at most", NO_WRITES),
    ignored("fault-tolerant-execution-arbitrary-distribution-write-task-target-size-growth-period", COUNT, "64", COORDINATOR, "Tasks before the input grows", NO_WRITES),
    ignored("fault-tolerant-execution-arbitrary-distribution-write-task-target-size-growth-factor", Kind::Number(1.0), "1.26", COORDINATOR, "Growth of the input", NO_WRITES),
    ignored("fault-tolerant-execution-standard-split-size", Kind::Size, "64MB", COORDINATOR, "Trino: assumed size of a split", NOT_YET),
    ignored("fault-tolerant-execution-max-task-split-count", COUNT, "2048", COORDINATOR, "Most splits of a task", NOT_YET),
    ignored("fault-tolerant-execution-hash-distribution-compute-task-target-size", Kind::Size, "512MB", COORDINATOR, "Input of a task that reads an exchange", NOT_YET),
    ignored("fault-tolerant-execution-hash-distribution-compute-task-to-node-min-ratio", Kind::Number(0.0), "2.0", COORDINATOR, "Fewest tasks for each node", NOT_YET),
    ignored("fault-tolerant-execution-hash-distribution-write-task-target-size", Kind::Size, "4GB", COORDINATOR, "Input of a task that writes", NO_WRITES),
    ignored("fault-tolerant-execution-hash-distribution-write-task-to-node-min-ratio", Kind::Number(0.0), "2.0", COORDINATOR, "Fewest writing tasks for each node", NO_WRITES),
    ignored("fault-tolerant-execution-hash-distribution-write-task-target-max-count", COUNT, "2000", COORDINATOR, "Most writing tasks", NO_WRITES),
    ignored("fault-tolerant-execution-max-partition-count", COUNT, "50", COORDINATOR, "Most partitions of an exchange", OUTPUT_OBJECTS),
    ignored("fault-tolerant-execution-min-partition-count", COUNT, "4", COORDINATOR, "Fewest partitions of an exchange", NOT_YET),
    ignored("fault-tolerant-execution-min-partition-count-for-write", COUNT, "50", COORDINATOR, "Fewest partitions of a write", NO_WRITES),
    honoured("fault-tolerant-execution-task-memory", Kind::Size, "(a place's share)", COORDINATOR, "Memory that a worker must have free for a task's first attempt; by default what the largest worker has, divided by its places. Trino: 5GB"),
    ignored("fault-tolerant-execution-coordinator-task-memory", Kind::Size, "2GB", COORDINATOR, "Trino: memory of a task on the coordinator", "the coordinator's own stages reserve what they use"),
    honoured("fault-tolerant-execution-task-memory-growth-factor", Kind::Number(1.0), "3.0", COORDINATOR, "Growth of the memory after an attempt that had too little"),
    ignored("fault-tolerant-execution-task-memory-estimation-quantile", Kind::Number(0.0), "0.9", COORDINATOR, "Estimate of a task's memory from those of its stage that ended", NOT_YET),
    ignored("fault-tolerant-execution-task-runtime-memory-estimation-overhead", Kind::Size, "1GB", COORDINATOR, "Trino: memory added to what is observed", NOT_YET),
    ignored("fault-tolerant-execution-memory-requirement-increase-on-worker-crash-enabled", Kind::Bool, "true", COORDINATOR, "More memory after a worker's death", NOT_YET),
    ignored("fault-tolerant-execution-eager-speculative-tasks-node-memory-overcommit", Kind::Size, "20GB", COORDINATOR, "Trino: memory of tasks started early", SPECULATIVE),
    ignored("fault-tolerant-execution-task-descriptor-storage-max-memory", Kind::Memory, "15%", COORDINATOR, "Trino: memory of waiting tasks", DESCRIPTORS),
    ignored("fault-tolerant-execution-task-descriptor-storage-high-water-mark", Kind::Memory, "", COORDINATOR, "Trino: where their compression starts", DESCRIPTORS),
    ignored("fault-tolerant-execution-task-descriptor-storage-low-water-mark", Kind::Memory, "", COORDINATOR, "Trino: where their compression ends", DESCRIPTORS),
    ignored("fault-tolerant-execution-min-source-stage-progress", Kind::Number(0.0), "0.2", COORDINATOR, "Trino: progress before the next stage starts", SPECULATIVE),
    ignored("fault-tolerant-execution-small-stage-estimation-enabled", Kind::Bool, "true", COORDINATOR, "Trino: estimates of small stages", SPECULATIVE).unless("false"),
    ignored("fault-tolerant-execution-small-stage-estimation-threshold", Kind::Size, "20GB", COORDINATOR, "Trino: what is small", SPECULATIVE),
    ignored("fault-tolerant-execution-small-stage-source-size-multiplier", Kind::Number(1.0), "1.2", COORDINATOR, "Trino: safety of the estimate", SPECULATIVE),
    ignored("fault-tolerant-execution-small-stage-require-no-more-partitions", Kind::Bool, "false", COORDINATOR, "Trino: estimates only of whole inputs", SPECULATIVE),
    ignored("fault-tolerant-execution-stage-estimation-for-eager-parent-enabled", Kind::Bool, "true", COORDINATOR, "Trino: estimates for limits", SPECULATIVE).unless("false"),
    ignored("fault-tolerant-execution-adaptive-query-planning-enabled", Kind::Bool, "true", COORDINATOR, "Trino: plans that change while they run", ADAPTIVE).unless("false"),
    ignored("fault-tolerant-execution-adaptive-join-reordering-enabled", Kind::Bool, "false", COORDINATOR, "Trino: joins that turn round", ADAPTIVE).unless("false"),
    ignored("fault-tolerant-execution-adaptive-join-reordering-size-difference-ratio", Kind::Number(1.0), "1.5", COORDINATOR, "Trino: when they do", ADAPTIVE),
    ignored("fault-tolerant-execution-adaptive-join-reordering-min-size-threshold", Kind::Size, "5GB", COORDINATOR, "Trino: when they do", ADAPTIVE),
    ignored("fault-tolerant-execution-runtime-adaptive-partitioning-enabled", Kind::Bool, "false", COORDINATOR, "Trino: more partitions while running", ADAPTIVE).unless("false"),
    ignored("fault-tolerant-execution-runtime-adaptive-partitioning-partition-count", COUNT, "1000", COORDINATOR, "Trino: how many", ADAPTIVE),
    ignored("fault-tolerant-execution-runtime-adaptive-partitioning-max-task-size", Kind::Size, "12GB", COORDINATOR, "Trino: from what size on", ADAPTIVE),
    refused("fault-tolerant-execution-target-task-input-size", COORDINATOR, "Removed from Trino",
        "it was removed from Trino: use fault-tolerant-execution-arbitrary-distribution-compute-task-target-size-min"),
    ignored("fault-tolerant-execution-target-task-split-count", COUNT, "", COORDINATOR, "Removed from Trino", NO_SPLIT_BATCHES),
    ignored("experimental.fault-tolerant-execution-force-preferred-write-partitioning-enabled", Kind::Bool, "", COORDINATOR, "Removed from Trino", NO_WRITES),
];
