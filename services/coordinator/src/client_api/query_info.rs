//! `/v1/query`: queries as documents, with the keys that Trino's clients and dashboards read.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use waterbear_dialect::{ClientTransaction, shown_duration};
use waterbear_protocol::client::{QueryError, StatementStats};
use waterbear_protocol::task::TaskState;

use crate::query::QueryHandle;
use crate::query::handle::{QueryState, Waste};

fn millis(value: u64) -> String {
    shown_duration(Duration::from_millis(value))
}

fn bytes(value: u64) -> String {
    format!("{value}B")
}

fn instant(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn statistics(query: &QueryHandle, stats: &StatementStats) -> Value {
    let tasks = query.tasks();
    let failed = tasks.iter().filter(|task| task.status.state == TaskState::Failed).count();
    let waste = Waste::of_query(&tasks);
    let memory: u64 = tasks.iter().map(|task| task.status.stats.memory_bytes).sum();
    let execution = stats.elapsed_time_millis.saturating_sub(stats.queued_time_millis);
    let mut value = json!({
        "createTime": instant(query.created()),
        "queuedTime": millis(stats.queued_time_millis),
        "resourceWaitingTime": millis(0),
        "elapsedTime": millis(stats.elapsed_time_millis),
        "executionTime": millis(execution),
        "failedTasks": failed,
        "totalDrivers": stats.total_splits,
        "queuedDrivers": stats.queued_splits,
        "runningDrivers": stats.running_splits,
        "completedDrivers": stats.completed_splits,
        "blockedDrivers": 0,
        "processedInputPositions": stats.processed_rows,
        "processedInputDataSize": bytes(stats.processed_bytes),
        "spilledDataSize": bytes(stats.spilled_bytes),
        "physicalInputDataSize": bytes(stats.physical_input_bytes),
        "physicalWrittenDataSize": bytes(stats.physical_written_bytes),
        "internalNetworkInputDataSize": bytes(stats.internal_network_input_bytes),
        "cumulativeUserMemory": 0.0,
        "failedCumulativeUserMemory": 0.0,
        "userMemoryReservation": bytes(memory),
        "totalMemoryReservation": bytes(memory),
        "peakUserMemoryReservation": bytes(stats.peak_memory_bytes),
        "peakTotalMemoryReservation": bytes(stats.peak_memory_bytes),
        "planningTime": millis(stats.planning_time_millis),
        "analysisTime": millis(stats.analysis_time_millis),
        "totalCpuTime": millis(stats.cpu_time_millis),
        "failedCpuTime": millis(waste.cpu_nanos / 1_000_000),
        "totalScheduledTime": millis(stats.wall_time_millis),
        "failedScheduledTime": millis(waste.wall_millis),
        "taskRetries": waste.retries,
        "retryLostTime": millis(waste.lost_millis),
        "spooledDataSize": bytes(waste.spooled_bytes),
        "finishingTime": millis(stats.finishing_time_millis),
        "physicalInputReadTime": millis(stats.physical_input_time_millis),
        "fullyBlocked": false,
        "blockedReasons": [],
    });
    if let Some(document) = value.as_object_mut() {
        put(document, "endTime", query.ended().map(instant));
        put(document, "progressPercentage", stats.progress_percentage);
        put(document, "runningPercentage", stats.running_percentage);
    }
    value
}

/// Sets a key unless its value is absent.
fn put<T: Into<Value>>(document: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        document.insert(key.to_owned(), value.into());
    }
}

fn session(query: &QueryHandle) -> Value {
    let context = query.context();
    let (mut system, mut catalogs) = (Map::new(), Map::new());
    for (name, value) in &context.session_properties {
        match name.rsplit_once('.') {
            None => drop(system.insert(name.clone(), value.as_str().into())),
            Some((catalog, name)) => {
                let entry = catalogs.entry(catalog).or_insert_with(|| json!({}));
                if let Some(properties) = entry.as_object_mut() {
                    properties.insert(name.to_owned(), value.as_str().into());
                }
            }
        }
    }
    let mut value = json!({
        "queryId": query.id().as_str(),
        "clientTransactionSupport": context.transaction != ClientTransaction::Unsupported,
        "user": context.user,
        "originalUser": context.original_user.as_deref().unwrap_or(&context.user),
        "groups": [],
        "enabledRoles": [],
        "path": {"rawPath": context.path},
        "timeZoneKey": context.time_zone.as_deref().unwrap_or("UTC"),
        "locale": context.language.as_deref().unwrap_or("en_US"),
        "clientTags": context.client_tags,
        "clientCapabilities": context.capabilities,
        "resourceEstimates": context.resource_estimates,
        "start": instant(query.created()),
        "systemProperties": system,
        "catalogProperties": catalogs,
        "catalogRoles": context.roles,
        "preparedStatements": context.prepared_statements,
        "protocolName": "Trino",
    });
    if let Some(document) = value.as_object_mut() {
        put(document, "source", context.source.as_deref());
        put(document, "catalog", context.catalog.as_deref());
        put(document, "schema", context.schema.as_deref());
        if let ClientTransaction::Open(id) = &context.transaction {
            put(document, "transactionId", Some(id.as_str()));
        }
        put(document, "userAgent", context.user_agent.as_deref());
        put(document, "clientInfo", context.client_info.as_deref());
        put(document, "traceToken", context.trace_token.as_deref());
    }
    value
}

/// The entry of `GET /v1/query`.
pub fn basic(query: &QueryHandle, base: &str) -> Value {
    let stats = query.stats();
    let mut value = json!({
        "queryId": query.id().as_str(),
        "session": session(query),
        "resourceGroupId": ["global"],
        "state": stats.state,
        "scheduled": stats.scheduled,
        "self": format!("{base}/v1/query/{}", query.id()),
        "query": query.sql(),
        "queryStats": statistics(query, &stats),
        "retryPolicy": query.retry_policy(),
    });
    if let Some(document) = value.as_object_mut() {
        put(document, "updateType", query.update_type());
        put(document, "updateCount", query.update_count());
        if let Some(failure) = query.failure() {
            let code = failure.code;
            let kind = serde_json::to_value(code.error_type()).unwrap_or_default();
            document.insert("errorType".to_owned(), kind.clone());
            let code = json!({"code": code.code(), "name": code.name(), "type": kind});
            document.insert("errorCode".to_owned(), code);
        }
    }
    value
}

/// The document of `GET /v1/query/{id}`.
pub fn full(query: &QueryHandle, base: &str) -> Value {
    let tasks: Vec<Value> = query
        .tasks()
        .iter()
        .map(|task| {
            json!({
                "taskId": task.status.attempt.to_string(),
                "nodeId": task.node.as_str(),
                "stage": task.stage,
                "state": task.status.state,
                "stats": task.status.stats,
            })
        })
        .collect();
    let stages: Vec<Value> = Waste::by_stage(&query.tasks())
        .into_iter()
        .map(|(stage, waste)| {
            json!({
                "stage": stage,
                "attempts": waste.attempts,
                "taskRetries": waste.retries,
                "failedCpuTime": millis(waste.cpu_nanos / 1_000_000),
                "failedScheduledTime": millis(waste.wall_millis),
                "retryLostTime": millis(waste.lost_millis),
                "spooledDataSize": bytes(waste.spooled_bytes),
            })
        })
        .collect();
    let mut value = basic(query, base);
    let done = query.state().is_done();
    if let Some(document) = value.as_object_mut() {
        let rest = json!({
            "fieldNames": [],
            "setSessionProperties": {},
            "resetSessionProperties": [],
            "setRoles": {},
            "addedPreparedStatements": {},
            "deallocatedPreparedStatements": [],
            "clearTransactionId": false,
            "warnings": [],
            "inputs": [],
            "referencedTables": [],
            "routines": [],
            "finalQueryInfo": done,
            "pruned": false,
            "version": 0,
            "rootStage": query.stats().root_stage,
            "stageRetries": stages,
            "tasks": tasks,
        });
        if let Value::Object(rest) = rest {
            document.extend(rest);
        }
        if let Some(failure) = query.failure().filter(|_| query.state() == QueryState::Failed) {
            let info = QueryError::from(&failure).failure_info;
            put(document, "failureInfo", serde_json::to_value(info).ok());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_they_fill() {
        assert_eq!(millis(0), "0.00ns");
        assert_eq!(millis(15), "15.00ms");
        assert_eq!(millis(1_500), "1.50s");
        assert_eq!(millis(90_000), "1.50m");
    }
}
