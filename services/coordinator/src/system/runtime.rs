//! The catalog `system`: nodes, queries and tasks of this cluster, and its catalogs.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListBuilder, StringBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use async_trait::async_trait;
use datafusion::error::Result;
use waterbear_connector::{Connector, ConnectorError, ConnectorTable};
use waterbear_protocol::ErrorType;
use waterbear_protocol::membership::{NodeInfo, Role};
use waterbear_protocol::task::TaskState;

use super::rows::{RowSource, RowsConnectorTable, RowsTable, Wanted, varchars};
use crate::query::QueryHandle;
use crate::query::handle::{QueryRegistry, TaskSnapshot};

/// What the catalog `system` shows.
#[derive(Clone)]
pub struct SystemSources {
    /// All queries of this coordinator.
    pub registry: Arc<QueryRegistry>,
    /// The cluster's nodes as this coordinator sees them now.
    pub nodes: Arc<dyn Fn() -> Vec<NodeInfo> + Send + Sync>,
}

impl Debug for SystemSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSources").finish_non_exhaustive()
    }
}

/// The connector of the catalog `system`.
#[derive(Debug, Clone)]
pub struct SystemConnector {
    sources: SystemSources,
    /// Name and connector of each catalog.
    catalogs: Arc<[(String, String)]>,
}

impl SystemConnector {
    /// Shows `sources` and these catalogs (name, connector).
    pub fn new(sources: SystemSources, mut catalogs: Vec<(String, String)>) -> Self {
        catalogs.sort();
        Self { sources, catalogs: catalogs.into() }
    }
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Catalogs,
    Nodes,
    Queries,
    Tasks,
}

const TABLES: [(&str, &str, Table); 4] = [
    ("metadata", "catalogs", Table::Catalogs),
    ("runtime", "nodes", Table::Nodes),
    ("runtime", "queries", Table::Queries),
    ("runtime", "tasks", Table::Tasks),
];

impl Table {
    fn columns(self) -> Vec<(&'static str, DataType)> {
        let names: &[&str] = match self {
            Table::Catalogs => &["catalog_name", "connector_id", "connector_name", "state"],
            Table::Nodes => &["node_id", "http_uri", "node_version", "coordinator", "state"],
            Table::Queries => &[
                "query_id",
                "state",
                "user",
                "source",
                "query",
                "resource_group_id",
                "queued_time_ms",
                "analysis_time_ms",
                "planning_time_ms",
                "created",
                "started",
                "last_heartbeat",
                "end",
                "error_type",
                "error_code",
            ],
            Table::Tasks => &[
                "node_id",
                "task_id",
                "stage_id",
                "query_id",
                "state",
                "splits",
                "queued_splits",
                "running_splits",
                "completed_splits",
                "split_scheduled_time_ms",
                "split_cpu_time_ms",
                "split_blocked_time_ms",
                "internal_network_input_bytes",
                "processed_input_bytes",
                "processed_input_rows",
                "output_bytes",
                "output_rows",
                "physical_input_bytes",
                "physical_written_bytes",
                "created",
                "start",
                "last_heartbeat",
                "end",
            ],
        };
        names.iter().map(|name| (*name, data_type(name))).collect()
    }
}

fn data_type(column: &str) -> DataType {
    match column {
        "coordinator" => DataType::Boolean,
        "resource_group_id" => {
            DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
        }
        "created" | "started" | "start" | "last_heartbeat" | "end" => {
            DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
        }
        "splits" => DataType::Int64,
        name if ["_ms", "_splits", "_bytes", "_rows"].iter().any(|end| name.ends_with(end)) => {
            DataType::Int64
        }
        _ => DataType::Utf8,
    }
}

#[async_trait]
impl Connector for SystemConnector {
    fn name(&self) -> &'static str {
        "system"
    }

    async fn schemas(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["metadata".to_owned(), "runtime".to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<String>, ConnectorError> {
        let of_schema = TABLES.iter().filter(|(found, ..)| *found == schema);
        let tables: Vec<String> = of_schema.map(|(_, name, _)| (*name).to_owned()).collect();
        match tables.is_empty() {
            true => Err(ConnectorError::SchemaNotFound { schema: schema.to_owned() }),
            false => Ok(tables),
        }
    }

    async fn table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn ConnectorTable>>, ConnectorError> {
        if !self.tables(schema).await?.iter().any(|name| name == table) {
            return Ok(None);
        }
        let found = TABLES.iter().find(|(s, t, _)| *s == schema && *t == table);
        Ok(found.map(|(.., kind)| {
            let source = Source { connector: self.clone(), table: *kind };
            let rows = RowsTable::new(&kind.columns(), Arc::new(source));
            Arc::new(RowsConnectorTable(rows)) as Arc<dyn ConnectorTable>
        }))
    }
}

struct Source {
    connector: SystemConnector,
    table: Table,
}

#[async_trait]
impl RowSource for Source {
    async fn columns(&self, _wanted: &Wanted) -> Result<Vec<ArrayRef>> {
        let sources = &self.connector.sources;
        Ok(match self.table {
            Table::Catalogs => catalogs(&self.connector.catalogs),
            Table::Nodes => nodes(&(sources.nodes)()),
            Table::Queries => queries(&sources.registry.all()),
            Table::Tasks => {
                let tasks = sources.registry.all().into_iter().flat_map(|query| {
                    query.tasks().into_iter().map(move |task| (Arc::clone(&query), task))
                });
                tasks_columns(&tasks.collect::<Vec<_>>())
            }
        })
    }
}

fn catalogs(catalogs: &[(String, String)]) -> Vec<ArrayRef> {
    vec![
        varchars(catalogs.iter().map(|(name, _)| Some(name))),
        varchars(catalogs.iter().map(|(name, _)| Some(name))),
        varchars(catalogs.iter().map(|(_, connector)| Some(connector))),
        varchars(catalogs.iter().map(|_| Some("READY"))),
    ]
}

/// Discovery services are part of the cluster's plumbing: they are not listed.
fn nodes(all: &[NodeInfo]) -> Vec<ArrayRef> {
    let nodes: Vec<&NodeInfo> =
        all.iter().filter(|node| matches!(node.role, Role::Coordinator | Role::Worker)).collect();
    let uri = |node: &&NodeInfo| match node.host.contains(':') {
        true => format!("http://[{}]:{}", node.host, node.http_port),
        false => format!("http://{}:{}", node.host, node.http_port),
    };
    let coordinator = |node: &&NodeInfo| Some(node.role == Role::Coordinator);
    vec![
        varchars(nodes.iter().map(|node| Some(node.node_id.as_str()))),
        varchars(nodes.iter().map(|node| Some(uri(node)))),
        varchars(nodes.iter().map(|node| Some(&node.build))),
        Arc::new(nodes.iter().map(coordinator).collect::<BooleanArray>()),
        varchars(nodes.iter().map(|node| Some(node.state.name()))),
    ]
}

fn millis(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn instants(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
}

fn bigints(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(
        values.map(|value| i64::try_from(value).unwrap_or(i64::MAX)),
    ))
}

fn error_type(kind: ErrorType) -> &'static str {
    match kind {
        ErrorType::UserError => "USER_ERROR",
        ErrorType::InternalError => "INTERNAL_ERROR",
        ErrorType::InsufficientResources => "INSUFFICIENT_RESOURCES",
        ErrorType::External => "EXTERNAL",
    }
}

fn queries(queries: &[Arc<QueryHandle>]) -> Vec<ArrayRef> {
    let stats: Vec<_> = queries.iter().map(|query| query.stats()).collect();
    let codes: Vec<_> =
        queries.iter().map(|query| query.failure().map(|failure| failure.code)).collect();
    let mut groups = ListBuilder::new(StringBuilder::new());
    for _ in queries {
        groups.values().append_value("global");
        groups.append(true);
    }
    vec![
        varchars(queries.iter().map(|query| Some(query.id().as_str()))),
        varchars(stats.iter().map(|stats| Some(&stats.state))),
        varchars(queries.iter().map(|query| Some(&query.context().user))),
        varchars(queries.iter().map(|query| query.context().source.as_ref())),
        varchars(queries.iter().map(|query| Some(query.sql()))),
        Arc::new(groups.finish()),
        bigints(stats.iter().map(|stats| stats.queued_time_millis)),
        bigints(stats.iter().map(|stats| stats.analysis_time_millis)),
        bigints(stats.iter().map(|stats| stats.planning_time_millis)),
        instants(queries.iter().map(|query| millis(query.created()))),
        instants(queries.iter().map(|query| query.started().and_then(millis))),
        instants(queries.iter().map(|query| millis(query.last_heartbeat()))),
        instants(queries.iter().map(|query| query.ended().and_then(millis))),
        varchars(codes.iter().map(|code| code.map(|code| error_type(code.error_type())))),
        varchars(codes.iter().map(|code| code.map(|code| code.name()))),
    ]
}

fn tasks_columns(tasks: &[(Arc<QueryHandle>, TaskSnapshot)]) -> Vec<ArrayRef> {
    let state = |state: TaskState| match state {
        TaskState::Running => "RUNNING",
        TaskState::Finished => "FINISHED",
        TaskState::Failed => "FAILED",
        TaskState::Aborted => "ABORTED",
    };
    let status = || tasks.iter().map(|(_, task)| &task.status);
    let stats = || status().map(|status| &status.stats);
    let done = || status().map(|status| u64::from(status.state.is_done()));
    let instant = |ms: u64| i64::try_from(ms).ok().filter(|ms| *ms > 0);
    let zeros = || bigints(tasks.iter().map(|_| 0));
    vec![
        varchars(tasks.iter().map(|(_, task)| Some(task.node.as_str()))),
        varchars(status().map(|status| Some(status.attempt.to_string()))),
        varchars(status().map(|status| Some(status.attempt.task.stage.to_string()))),
        varchars(tasks.iter().map(|(query, _)| Some(query.id().as_str()))),
        varchars(status().map(|status| Some(state(status.state)))),
        bigints(tasks.iter().map(|_| 1)),
        zeros(),
        bigints(done().map(|done| 1 - done)),
        bigints(done()),
        bigints(stats().map(|stats| match stats.ended_ms {
            0 => 0,
            ended => ended.saturating_sub(stats.created_ms),
        })),
        bigints(stats().map(|stats| stats.cpu_nanos / 1_000_000)),
        zeros(),
        bigints(stats().map(|stats| stats.exchange_input_bytes)),
        bigints(stats().map(|stats| stats.scanned_bytes)),
        bigints(stats().map(|stats| stats.scanned_rows)),
        bigints(stats().map(|stats| stats.output_bytes)),
        bigints(stats().map(|stats| stats.output_rows)),
        bigints(stats().map(|stats| stats.scanned_bytes)),
        zeros(),
        instants(stats().map(|stats| instant(stats.created_ms))),
        instants(stats().map(|stats| instant(stats.created_ms))),
        instants(tasks.iter().map(|(query, _)| millis(query.last_heartbeat()))),
        instants(stats().map(|stats| instant(stats.ended_ms))),
    ]
}
