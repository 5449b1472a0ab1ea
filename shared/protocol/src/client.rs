//! Documents of Trino's client protocol (`/v1/statement`), for servers and clients alike.
//!
//! Optional keys are left out when absent, never `null`: some drivers break on `data: null`.
//! A reader accepts keys that it does not know.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error_code::{ErrorCode, ErrorType};
use crate::failure::{ErrorLocation, Failure};

/// The answer to every request for results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryResults {
    /// The query.
    pub id: String,
    /// A page about the query, for people.
    pub info_uri: String,
    /// Ends the leaf stage that this names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_cancel_uri: Option<String>,
    /// Where to go on; absent on the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_uri: Option<String>,
    /// The columns; from the answer that first knows them to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// The rows of this page. A server that writes rows as text leaves this empty and splices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<Vec<Value>>>,
    /// What the query has cost so far.
    pub stats: StatementStats,
    /// Why the query failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<QueryError>,
    /// What the user should know though the query goes on.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What kind of statement this is, unless it is a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_type: Option<String>,
    /// How many rows it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_count: Option<u64>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Its name; names may repeat.
    pub name: String,
    /// Its type, as people read it: `decimal(12, 2)`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its type, as programs read it.
    pub type_signature: TypeSignature,
}

/// A type: its base and what that takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeSignature {
    /// The base type: `decimal`.
    pub raw_type: String,
    /// Its arguments: precision and scale, the element's type, …
    #[serde(default)]
    pub arguments: Vec<TypeArgument>,
}

impl TypeSignature {
    /// A type that takes no arguments.
    pub fn plain(raw_type: impl Into<String>) -> Self {
        Self { raw_type: raw_type.into(), arguments: Vec::new() }
    }
}

/// An argument of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
pub enum TypeArgument {
    /// A number, such as a length or a precision.
    #[serde(rename = "LONG")]
    Long(i64),
    /// A type, such as an array's element.
    #[serde(rename = "TYPE")]
    Type(TypeSignature),
    /// A field of a row.
    #[serde(rename = "NAMED_TYPE")]
    NamedType(NamedType),
}

/// A field of a row type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedType {
    /// The field's name, unless it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_name: Option<FieldName>,
    /// The field's type.
    pub type_signature: TypeSignature,
}

/// The name of a field of a row type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldName {
    /// The name.
    pub name: String,
}

/// Why a query failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryError {
    /// What happened, for people; with the place in the text if the statement is to blame.
    pub message: String,
    /// The number of the code.
    pub error_code: u32,
    /// The name of the code.
    pub error_name: String,
    /// Who is to blame.
    pub error_type: ErrorType,
    /// The place in the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_location: Option<ErrorLocation>,
    /// The same as an exception, for clients that throw one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_info: Option<FailureInfo>,
}

/// A failure as an exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureInfo {
    /// The class of the exception, as Trino names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Exceptions that were put aside for this one.
    #[serde(default)]
    pub suppressed: Vec<FailureInfo>,
    /// Where in the code it was thrown.
    #[serde(default)]
    pub stack: Vec<String>,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_info: Option<ErrorInfo>,
    /// The place in the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_location: Option<ErrorLocation>,
}

/// A code with its name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// The number.
    pub code: u32,
    /// The name.
    pub name: String,
    /// Who is to blame.
    #[serde(rename = "type")]
    pub error_type: ErrorType,
}

impl From<&Failure> for QueryError {
    fn from(failure: &Failure) -> Self {
        let code = failure.code;
        // The class name is part of what clients compare for syntax and analysis errors.
        let kind = match code {
            ErrorCode::SYNTAX_ERROR => "io.trino.sql.parser.ParsingException",
            _ => "io.trino.spi.TrinoException",
        };
        let error_info = ErrorInfo {
            code: code.code(),
            name: code.name().to_owned(),
            error_type: code.error_type(),
        };
        Self {
            message: failure.message.clone(),
            error_code: code.code(),
            error_name: code.name().to_owned(),
            error_type: code.error_type(),
            error_location: failure.location,
            failure_info: Some(FailureInfo {
                kind: kind.to_owned(),
                message: Some(failure.message.clone()),
                suppressed: Vec::new(),
                stack: Vec::new(),
                error_info: Some(error_info),
                error_location: failure.location,
            }),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_name, self.message)
    }
}

/// What the user should know though the query goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// Its code.
    pub warning_code: WarningCode,
    /// Its text.
    pub message: String,
}

/// The code of a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningCode {
    /// The number.
    pub code: u32,
    /// The name.
    pub name: String,
}

/// What a query has cost so far. Counters never shrink from one answer to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatementStats {
    /// Where the query stands: `QUEUED`, `RUNNING`, `FINISHED`, …
    pub state: String,
    /// It waits for its turn.
    pub queued: bool,
    /// All its tasks are known.
    pub scheduled: bool,
    /// Completed splits in percent, once it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_percentage: Option<f64>,
    /// Running splits in percent, once it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_percentage: Option<f64>,
    /// Nodes that worked for it.
    pub nodes: u64,
    /// Units of work.
    pub total_splits: u64,
    /// Those that wait.
    pub queued_splits: u64,
    /// Those that run.
    pub running_splits: u64,
    /// Those that are done.
    pub completed_splits: u64,
    /// Time spent planning.
    pub planning_time_millis: u64,
    /// Time spent analysing.
    pub analysis_time_millis: u64,
    /// Time spent computing, all threads of all nodes.
    pub cpu_time_millis: u64,
    /// Time that tasks ran, one by one, added up.
    pub wall_time_millis: u64,
    /// Time from submission to the start.
    pub queued_time_millis: u64,
    /// Time from submission until now, or the end.
    pub elapsed_time_millis: u64,
    /// Time from the last row to the end.
    pub finishing_time_millis: u64,
    /// Time spent reading tables.
    pub physical_input_time_millis: u64,
    /// Rows read from tables.
    pub processed_rows: u64,
    /// Bytes of those rows.
    pub processed_bytes: u64,
    /// Bytes read from storage.
    pub physical_input_bytes: u64,
    /// Bytes written to storage.
    pub physical_written_bytes: u64,
    /// Bytes that tasks read from each other.
    pub internal_network_input_bytes: u64,
    /// The most memory that it held.
    pub peak_memory_bytes: u64,
    /// Bytes written by operators that ran out of memory.
    pub spilled_bytes: u64,
    /// Bytes that tasks left in the spool. Ours, not Trino's, and absent when there are none: clients
    /// pass over what they do not know.
    #[serde(skip_serializing_if = "is_zero")]
    pub spooled_bytes: u64,
    /// How often tasks ran again. Ours, like the bytes above.
    #[serde(skip_serializing_if = "is_zero")]
    pub task_retries: u64,
    /// The stage that gives the result, with those that feed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_stage: Option<StageStats>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a stage has cost so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageStats {
    /// The stage's number.
    pub stage_id: String,
    /// Where it stands: `RUNNING`, `FINISHED`, `ABORTED`, `FAILED`.
    pub state: String,
    /// Its state will not change.
    pub done: bool,
    /// Nodes that work for it.
    pub nodes: u64,
    /// Units of work.
    pub total_splits: u64,
    /// Those that wait.
    pub queued_splits: u64,
    /// Those that run.
    pub running_splits: u64,
    /// Those that are done.
    pub completed_splits: u64,
    /// Time spent computing.
    pub cpu_time_millis: u64,
    /// Time that tasks ran, added up.
    pub wall_time_millis: u64,
    /// Rows read from tables.
    pub processed_rows: u64,
    /// Bytes of those rows.
    pub processed_bytes: u64,
    /// Bytes read from storage.
    pub physical_input_bytes: u64,
    /// Tasks that failed.
    pub failed_tasks: u64,
    /// It runs on the coordinator.
    pub coordinator_only: bool,
    /// The stages that feed it.
    pub sub_stages: Vec<StageStats>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn absent_keys_are_left_out_and_unknown_ones_accepted() {
        let results = QueryResults {
            id: "q".into(),
            info_uri: "http://x/".into(),
            partial_cancel_uri: None,
            next_uri: None,
            columns: None,
            data: None,
            stats: StatementStats::default(),
            error: None,
            warnings: vec![],
            update_type: None,
            update_count: None,
        };
        let text = serde_json::to_string(&results).unwrap();
        assert!(!text.contains("null"), "{text}");
        assert!(text.contains(r#""warnings":[]"#), "{text}");
        assert_eq!(serde_json::from_str::<QueryResults>(&text).unwrap(), results);
        let more = text.replacen('{', r#"{"newKey":{"a":1},"#, 1);
        assert_eq!(serde_json::from_str::<QueryResults>(&more).unwrap(), results);
    }

    #[test]
    fn statistics_that_trino_has_not_are_said_only_where_there_are_some() {
        let mut stats = StatementStats::default();
        let text = serde_json::to_string(&stats).unwrap();
        assert!(!text.contains("spooledBytes") && !text.contains("taskRetries"), "{text}");
        (stats.spooled_bytes, stats.task_retries) = (5, 1);
        let text = serde_json::to_string(&stats).unwrap();
        assert!(text.contains(r#""spooledBytes":5,"taskRetries":1"#), "{text}");
        assert_eq!(serde_json::from_str::<StatementStats>(&text).unwrap(), stats);
    }

    #[test]
    fn type_signatures_have_the_shape_that_clients_read() {
        let field = NamedType {
            field_name: Some(FieldName { name: "x".into() }),
            type_signature: TypeSignature::plain("bigint"),
        };
        let signature = TypeSignature {
            raw_type: "row".into(),
            arguments: vec![TypeArgument::NamedType(field), TypeArgument::Long(3)],
        };
        assert_eq!(
            serde_json::to_string(&signature).unwrap(),
            r#"{"rawType":"row","arguments":[{"kind":"NAMED_TYPE","value":{"fieldName":{"name":"x"},"typeSignature":{"rawType":"bigint","arguments":[]}}},{"kind":"LONG","value":3}]}"#
        );
    }

    #[test]
    fn an_error_carries_code_name_type_and_place() {
        let failure =
            Failure::new(ErrorCode::TABLE_NOT_FOUND, "line 1:15: Table 'a.b.c' does not exist")
                .at(ErrorLocation { line_number: 1, column_number: 15 });
        let error = serde_json::to_value(QueryError::from(&failure)).unwrap();
        assert_eq!(error["errorCode"], 46);
        assert_eq!(error["errorName"], "TABLE_NOT_FOUND");
        assert_eq!(error["errorType"], "USER_ERROR");
        assert_eq!(error["errorLocation"]["columnNumber"], 15);
        assert_eq!(error["failureInfo"]["type"], "io.trino.spi.TrinoException");
        assert_eq!(error["failureInfo"]["errorInfo"]["code"], 46);
    }
}
