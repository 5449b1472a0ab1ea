//! `system.runtime`: the nodes, queries and tasks of this cluster.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::common::ScalarValue;
use waterbear_protocol::ErrorType;
use waterbear_protocol::membership::{NodeInfo, Role};
use waterbear_protocol::task::TaskState;

use super::rows::{Row, bigint, instant, optional_text, text, texts};
use crate::query::QueryHandle;
use crate::query::handle::TaskSnapshot;

/// Columns of `nodes`.
pub(super) const NODES: &str = "node_id http_uri node_version coordinator:boolean state";

/// Columns of `queries`.
pub(super) const QUERIES: &str = "query_id state user source query resource_group_id:texts \
    queued_time_ms:bigint analysis_time_ms:bigint planning_time_ms:bigint created:instant \
    started:instant last_heartbeat:instant end:instant error_type error_code";

/// Columns of `tasks`.
pub(super) const TASKS: &str = "node_id task_id stage_id query_id state splits:bigint \
    queued_splits:bigint running_splits:bigint completed_splits:bigint \
    split_scheduled_time_ms:bigint split_cpu_time_ms:bigint split_blocked_time_ms:bigint \
    internal_network_input_bytes:bigint processed_input_bytes:bigint processed_input_rows:bigint \
    output_bytes:bigint output_rows:bigint physical_input_bytes:bigint \
    physical_written_bytes:bigint created:instant start:instant last_heartbeat:instant end:instant";

/// Columns of `transactions`.
pub(super) const TRANSACTIONS: &str = "transaction_id isolation_level read_only:boolean \
    auto_commit_context:boolean create_time:instant idle_time_secs:bigint written_catalog \
    catalogs:texts";

/// Columns of `optimizer_rule_stats`.
pub(super) const OPTIMIZER_RULE_STATS: &str = "rule_name invocations:bigint matches:bigint \
    applied:bigint failures:bigint average_time:double";

/// Discovery services are part of the cluster's plumbing: they are not listed.
pub(super) fn nodes(all: &[NodeInfo]) -> Vec<Row> {
    let listed = all.iter().filter(|node| matches!(node.role, Role::Coordinator | Role::Worker));
    let row = |node: &NodeInfo| {
        let uri = match node.host.contains(':') {
            true => format!("http://[{}]:{}", node.host, node.http_port),
            false => format!("http://{}:{}", node.host, node.http_port),
        };
        vec![
            text(node.node_id.as_str()),
            text(uri),
            text(&node.build),
            ScalarValue::from(node.role == Role::Coordinator),
            text(node.state.name()),
        ]
    };
    listed.map(row).collect()
}

fn millis(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn error_type(kind: ErrorType) -> &'static str {
    match kind {
        ErrorType::UserError => "USER_ERROR",
        ErrorType::InternalError => "INTERNAL_ERROR",
        ErrorType::InsufficientResources => "INSUFFICIENT_RESOURCES",
        ErrorType::External => "EXTERNAL",
    }
}

pub(super) fn queries(queries: &[Arc<QueryHandle>]) -> Vec<Row> {
    let row = |query: &Arc<QueryHandle>| {
        let stats = query.stats();
        let code = query.failure().map(|failure| failure.code);
        vec![
            text(query.id().as_str()),
            text(stats.state),
            text(&query.context().user),
            optional_text(query.context().source.as_ref()),
            text(query.sql()),
            texts(&["global"]),
            bigint(stats.queued_time_millis),
            bigint(stats.analysis_time_millis),
            bigint(stats.planning_time_millis),
            instant(millis(query.created())),
            instant(query.started().and_then(millis)),
            instant(millis(query.last_heartbeat())),
            instant(query.ended().and_then(millis)),
            optional_text(code.map(|code| error_type(code.error_type()))),
            optional_text(code.map(|code| code.name())),
        ]
    };
    queries.iter().map(row).collect()
}

pub(super) fn tasks(queries: &[Arc<QueryHandle>]) -> Vec<Row> {
    let tasks = queries
        .iter()
        .flat_map(|query| query.tasks().into_iter().map(move |snapshot| task(query, &snapshot)));
    tasks.collect()
}

fn task(query: &QueryHandle, task: &TaskSnapshot) -> Row {
    let (status, stats) = (&task.status, &task.status.stats);
    let state = match status.state {
        TaskState::Running => "RUNNING",
        TaskState::Finished => "FINISHED",
        TaskState::Failed => "FAILED",
        TaskState::Aborted => "ABORTED",
    };
    let done = i64::from(status.state.is_done());
    let moment = |ms: u64| instant(i64::try_from(ms).ok().filter(|ms| *ms > 0));
    let scheduled = match stats.ended_ms {
        0 => 0,
        ended => ended.saturating_sub(stats.created_ms),
    };
    vec![
        text(task.node.as_str()),
        text(status.attempt.to_string()),
        text(status.attempt.task.stage.to_string()),
        text(query.id().as_str()),
        text(state),
        bigint(1),
        bigint(0),
        bigint(1 - done),
        bigint(done),
        bigint(scheduled),
        bigint(stats.cpu_nanos / 1_000_000),
        bigint(0),
        bigint(stats.exchange_input_bytes),
        bigint(stats.scanned_bytes),
        bigint(stats.scanned_rows),
        bigint(stats.output_bytes),
        bigint(stats.output_rows),
        bigint(stats.scanned_bytes),
        bigint(0),
        moment(stats.created_ms),
        moment(stats.created_ms),
        instant(millis(query.last_heartbeat())),
        moment(stats.ended_ms),
    ]
}
