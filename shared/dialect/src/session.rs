//! What a session may set, and what it may not yet.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use waterbear_protocol::{ErrorCode, Failure};

use crate::ClientContext;

/// Session properties that clients set and that change nothing here, or nothing yet.
const ACCEPTED: &[&str] = &[
    "colocated_join",
    "distributed_sort",
    "enable_dynamic_filtering",
    "execution_policy",
    "join_distribution_type",
    "join_reordering_strategy",
    "legacy_catalog_roles",
    "max_hash_partition_count",
    "query_max_cpu_time",
    "query_max_execution_time",
    "query_max_memory",
    "query_max_memory_per_node",
    "query_max_planning_time",
    "query_max_run_time",
    "query_max_stage_count",
    "query_max_total_memory",
    "query_priority",
    "redistribute_writes",
    "retry_policy",
    "scale_writers",
    "spill_enabled",
    "spooling_enabled",
    "task_concurrency",
    "time_zone_id",
];

/// Checks a session before its statement runs.
///
/// # Errors
/// INVALID_SESSION_PROPERTY for properties that nobody knows or whose value is not one of theirs,
/// NOT_SUPPORTED for time zones that nobody knows and for retry policies that do not exist yet.
pub fn check_session(context: &ClientContext) -> Result<(), Failure> {
    if let Some(zone) = &context.time_zone {
        check_time_zone(zone)?;
    }
    for (name, value) in &context.session_properties {
        if !ACCEPTED.contains(&name.as_str()) {
            let message = format!("Session property '{name}' does not exist");
            return Err(Failure::new(ErrorCode::INVALID_SESSION_PROPERTY, message));
        }
        match name.as_str() {
            "retry_policy" => check_retry_policy(value)?,
            "time_zone_id" => check_time_zone(value)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_time_zone(zone: &str) -> Result<(), Failure> {
    if Tz::from_str(zone).is_ok() {
        return Ok(());
    }
    let message = format!("Time zone not supported: {zone}");
    Err(Failure::new(ErrorCode::NOT_SUPPORTED, message))
}

fn check_retry_policy(value: &str) -> Result<(), Failure> {
    match value.to_uppercase().as_str() {
        "NONE" => Ok(()),
        policy @ ("TASK" | "QUERY") => {
            let message = format!("retry_policy={policy} is not supported yet: use NONE");
            Err(Failure::new(ErrorCode::NOT_SUPPORTED, message))
        }
        _ => {
            let message = format!(
                "Invalid value [{value}] for session property 'retry_policy'. \
                 Valid values: [TASK, QUERY, NONE]"
            );
            Err(Failure::new(ErrorCode::INVALID_SESSION_PROPERTY, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> ClientContext {
        let session_properties = [(name.to_owned(), value.to_owned())].into();
        ClientContext { session_properties, ..ClientContext::default() }
    }

    fn code(context: &ClientContext) -> Option<ErrorCode> {
        check_session(context).err().map(|failure| failure.code)
    }

    #[test]
    fn sessions_are_checked_when_their_statement_starts() {
        assert_eq!(code(&ClientContext::default()), None);
        assert_eq!(code(&with("query_max_run_time", "10m")), None);
        assert_eq!(code(&with("retry_policy", "none")), None);
        assert_eq!(code(&with("retry_policy", "TASK")), Some(ErrorCode::NOT_SUPPORTED));
        assert_eq!(code(&with("retry_policy", "x")), Some(ErrorCode::INVALID_SESSION_PROPERTY));
        assert_eq!(code(&with("no_such", "1")), Some(ErrorCode::INVALID_SESSION_PROPERTY));
        assert_eq!(code(&with("tpch.x", "1")), Some(ErrorCode::INVALID_SESSION_PROPERTY));
        for (zone, expected) in
            [("Europe/Brussels", None), ("+02:00", None), ("Mars", Some(ErrorCode::NOT_SUPPORTED))]
        {
            let context = ClientContext { time_zone: Some(zone.into()), ..Default::default() };
            assert_eq!(code(&context), expected, "{zone}");
        }
    }
}
