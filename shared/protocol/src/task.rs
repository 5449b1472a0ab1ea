//! The task API: coordinator to worker (create, status, abort), worker to worker (results).
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `POST /v1/task/{attempt}` | [`TaskRequest`] | 200 [`TaskStatus`]; idempotent by attempt |
//! | `GET /v1/task/{attempt}/status?version=V&max_wait_ms=M` | | 200 [`TaskStatus`] newer than V, or the current one after M; 404 unknown |
//! | `DELETE /v1/task/{attempt}` | | 200 [`TaskStatus`]; aborts |
//! | `GET /v1/task/{attempt}/results/{partition}/{reader}/{token}?max_wait_ms=M` | | 200 pages; see [`results`] |
//! | `DELETE /v1/task/{attempt}/results/{partition}/{reader}` | | 204: this reader wants no more |
//!
//! Every request names the incarnation it is meant for in the header
//! [`INCARNATION_HEADER`]; another process at that address answers 409.

use serde::{Deserialize, Serialize};
use waterbear_ids::AttemptId;

use crate::base64_bytes;
use crate::failure::Failure;
use crate::membership::NodeInfo;
use crate::spool::{CommittedRecord, QueryKey};

/// Header of every task API request: the incarnation of the worker it is meant for.
pub const INCARNATION_HEADER: &str = "x-waterbear-incarnation";

/// Headers of a results answer.
pub mod results {
    /// The token to ask for next; asking for it acknowledges everything before it.
    pub const NEXT_TOKEN_HEADER: &str = "x-waterbear-next-token";
    /// `true` when no page follows the next token: the partition is complete.
    pub const COMPLETE_HEADER: &str = "x-waterbear-complete";
    /// Media type of the body: pages one after the other, each a `u32` little-endian length and
    /// that many bytes; the bytes are one Arrow IPC encapsulated message with its body (the
    /// schema is known to both sides from the plan).
    pub const PAGES_MEDIA_TYPE: &str = "application/x-waterbear-pages";
}

/// What a worker needs to run one attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The physical plan, encoded by the engine's codec.
    #[serde(with = "base64_bytes")]
    pub plan: Vec<u8>,
    /// The producers that the plan's exchange sources read, referred to by index.
    pub producers: Vec<Producer>,
    /// For each exchange source of the plan (by its number): where its partitions come from.
    pub inputs: Vec<TaskInput>,
    /// How the output is divided.
    pub output: TaskOutput,
    /// What expressions may ask of the session.
    pub session: TaskSession,
    /// Under retry-policy TASK: where the output goes and the inputs lie. Without it, output is
    /// given to readers, and inputs are read from their producers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<TaskSpool>,
}

/// Where a task's inputs and output lie in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpool {
    /// Seals everything of the query.
    pub key: QueryKey,
    /// The base directory for the output, as it is configured.
    pub location: String,
    /// What the producers have committed, cut down to what this task reads; one for each of
    /// [`TaskRequest::producers`].
    pub inputs: Vec<CommittedRecord>,
    /// Rows that lie in the records of inputs and are left out of them here: they are read there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_records: Vec<InRecord>,
}

/// Bytes of rows that one request passes on, at most.
const PASSED_ON_BYTES: usize = 1 << 20;

impl TaskSpool {
    /// Output to `location`, and these inputs, with the rows that lie in their records as far as a
    /// request should have them.
    pub fn new(key: QueryKey, location: String, mut inputs: Vec<CommittedRecord>) -> Self {
        let (mut passed_on, mut in_records) = (0, Vec::new());
        for (input, record) in (0..).zip(&mut inputs) {
            let bytes: usize = record.inline.iter().map(|page| page.page.len()).sum();
            if passed_on + bytes <= PASSED_ON_BYTES {
                passed_on += bytes;
                continue;
            }
            let pages = std::mem::take(&mut record.inline);
            let mut partitions: Vec<_> = pages.iter().map(|page| page.partition).collect();
            partitions.sort_unstable();
            partitions.dedup();
            in_records.push(InRecord { input, partitions });
        }
        Self { key, location, inputs, in_records }
    }
}

/// Partitions of an input whose rows lie in its record, and are to be read there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InRecord {
    /// Index into [`TaskSpool::inputs`].
    pub input: u32,
    /// Those that the task reads, and that have rows there.
    pub partitions: Vec<u32>,
}

/// A task attempt that produces input for others, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// The attempt.
    pub attempt: AttemptId,
    /// The node that runs it.
    pub node: NodeInfo,
}

/// One exchange source of a task: `partitions[i]` lists what is read for its partition `i`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInput {
    /// Sources by partition of the exchange source; an empty list is an empty partition.
    pub partitions: Vec<Vec<SourcePartition>>,
}

/// One output partition of one producer, as one of its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePartition {
    /// Index into [`TaskRequest::producers`].
    pub producer: u32,
    /// The producer's output partition.
    pub partition: u32,
    /// Which of the partition's readers this is.
    pub reader: u32,
}

/// How a task's output is divided: every partition is read by `readers` readers, each of which
/// gets all of it (more than one only under broadcast).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// Partitions of the plan's root.
    pub partitions: u32,
    /// Readers of each partition.
    pub readers: u32,
}

/// What expressions may ask of the session: fixed on the coordinator, equal for all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSession {
    /// The user who asked.
    pub user: String,
    /// The query's start, in nanoseconds since the Unix epoch: what now() answers.
    pub start_time_ns: i64,
    /// Settings of DataFusion that execution reads, by name.
    pub settings: Vec<(String, String)>,
    /// How often the rows of a WITH RECURSIVE may give further rows (`max_recursion_depth`).
    #[serde(default = "default_max_recursion_depth")]
    pub max_recursion_depth: u32,
    /// The final status shall have what each operator has cost.
    #[serde(default)]
    pub operator_metrics: bool,
}

/// Trino's `max-recursion-depth` where nobody sets another.
pub const fn default_max_recursion_depth() -> u32 {
    10
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskState {
    /// Runs, or its output is not yet read to its end.
    Running,
    /// Ran to its end and every reader has all output.
    Finished,
    /// Failed; the status has the failure.
    Failed,
    /// Was aborted by its coordinator, or because its coordinator fell silent.
    Aborted,
}

impl TaskState {
    /// True when the state cannot change any more.
    pub const fn is_done(self) -> bool {
        !matches!(self, TaskState::Running)
    }
}

/// An attempt's state and what it has cost so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The attempt.
    pub attempt: AttemptId,
    /// Grows with each change of state (not of the statistics).
    pub version: u64,
    /// Where it stands.
    pub state: TaskState,
    /// Why, when failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What it has cost so far.
    pub stats: TaskStats,
    /// What it has committed, when it is finished and was to spool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<CommittedRecord>,
    /// What each operator has cost, parents before their children, depth first. Only when it was
    /// asked for, and only once the plan has given all its rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<OperatorMetrics>,
}

/// What an operator of a task has cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorMetrics {
    /// The engine's name for it.
    pub name: String,
    /// Rows that it has given.
    pub output_rows: u64,
    /// Time spent computing, all threads, in nanoseconds.
    pub cpu_nanos: u64,
    /// All its metrics as text: `output_rows=25, elapsed_compute=1.2ms`.
    pub text: String,
}

/// What an attempt has cost so far. All counters only grow, but for `memory_bytes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStats {
    /// Milliseconds since the Unix epoch at creation.
    pub created_ms: u64,
    /// Milliseconds since the Unix epoch at the end; zero while it runs.
    pub ended_ms: u64,
    /// Time spent computing, all threads, in nanoseconds.
    pub cpu_nanos: u64,
    /// Rows read from tables.
    pub scanned_rows: u64,
    /// Bytes of those rows, in memory.
    pub scanned_bytes: u64,
    /// Bytes read from other tasks, on the wire.
    pub exchange_input_bytes: u64,
    /// Rows given to the output.
    pub output_rows: u64,
    /// Bytes of the output, encoded.
    pub output_bytes: u64,
    /// Bytes held now in the memory pool.
    pub memory_bytes: u64,
    /// The most bytes that were held.
    pub peak_memory_bytes: u64,
    /// Bytes written by operators that spilled.
    pub spilled_bytes: u64,
    /// Bytes written to the spool.
    #[serde(default)]
    pub spooled_bytes: u64,
    /// Requests that wrote to the spool.
    #[serde(default)]
    pub spool_writes: u64,
    /// Requests that read from the spool.
    #[serde(default)]
    pub spool_reads: u64,
    /// Reads of spooled outputs that the worker had in memory.
    #[serde(default)]
    pub spool_memory_reads: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::InlinePage;

    fn record(number: u32, pages: &[(u32, usize)]) -> CommittedRecord {
        let page = |&(partition, bytes)| InlinePage {
            partition,
            rows: 1,
            page: vec![number as u8; bytes].into(),
        };
        CommittedRecord {
            attempt: format!("q.1.{number}.0").parse().unwrap(),
            location: "/spool".to_owned(),
            header: Default::default(),
            data_bytes: 0,
            partitions: 4,
            rows: pages.len() as u64,
            ranges: Vec::new(),
            inline: pages.iter().map(page).collect(),
        }
    }

    #[test]
    fn a_request_has_about_a_mebibyte_of_rows_and_says_where_the_others_are() {
        let inputs: Vec<_> =
            (0..800).map(|n| record(n, &[(2, 30 << 10), (0, 20 << 10), (2, 10 << 10)])).collect();
        let spool = TaskSpool::new(QueryKey::from_bytes([0; 32]), "/spool".to_owned(), inputs);
        let passed_on: u64 = spool.inputs.iter().map(CommittedRecord::bytes).sum();
        assert_eq!(passed_on, 17 * (60 << 10));
        let in_records = (17..800).map(|input| InRecord { input, partitions: vec![0, 2] });
        assert_eq!(spool.in_records, in_records.collect::<Vec<_>>());
        assert!(serde_json::to_vec(&spool).unwrap().len() < 2 << 20);
    }

    #[test]
    fn an_output_without_rows_of_its_own_is_never_left_out() {
        let mut inputs = vec![record(0, &[(1, PASSED_ON_BYTES)]), record(1, &[])];
        inputs.push(record(2, &[(3, 1)]));
        let spool = TaskSpool::new(QueryKey::from_bytes([0; 32]), "/spool".to_owned(), inputs);
        assert_eq!(spool.in_records, [InRecord { input: 2, partitions: vec![3] }]);
    }
}
