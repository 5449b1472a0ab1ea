//! The table of session properties: those that Trino's clients set.

use std::fmt::Display;
use std::time::Duration;

use waterbear_config::DataSize;
use waterbear_config::units::parse_duration;
use waterbear_protocol::RetryPolicy;

/// A session property.
#[derive(Debug, Clone, Copy)]
pub struct SessionProperty {
    /// Its name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: PropertyKind,
    /// The value of a session that sets none; empty where there is none.
    pub default: &'static str,
    /// What it does here.
    pub description: &'static str,
}

/// What values a session property takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyKind {
    /// `true`, `false`.
    Boolean,
    /// An integer, at least so much.
    Integer(i64),
    /// A time, such as `10m`.
    Duration,
    /// A number of bytes, such as `1GB`.
    Size,
    /// One of these, whatever its case.
    OneOf(&'static [&'static str]),
    /// A time zone.
    TimeZone,
}

impl PropertyKind {
    /// The SQL type of its values.
    pub const fn sql_type(self) -> &'static str {
        match self {
            PropertyKind::Boolean => "boolean",
            PropertyKind::Integer(_) => "integer",
            _ => "varchar",
        }
    }
}

const fn property(
    name: &'static str,
    kind: PropertyKind,
    default: &'static str,
    description: &'static str,
) -> SessionProperty {
    SessionProperty { name, kind, default, description }
}

use PropertyKind::{Boolean, Duration as Time, Integer, OneOf, Size, TimeZone};

/// By name. What has no effect says so.
#[rustfmt::skip]
pub const SESSION_PROPERTIES: &[SessionProperty] = &[
    property("colocated_join", Boolean, "true", "Use a colocated join when possible (no effect: no catalog is divided into buckets)"),
    property("distributed_sort", Boolean, "true", "Parallelize sort across multiple nodes (no effect: it is done where it pays)"),
    property("enable_dynamic_filtering", Boolean, "true", "Enable dynamic filtering (no effect: it is done where it can be)"),
    property("execution_policy", OneOf(&["phased", "all-at-once", "legacy-phased"]), "all-at-once", "Policy used for scheduling query tasks (no effect: all tasks start at once)"),
    property("join_distribution_type", OneOf(&["BROADCAST", "PARTITIONED", "AUTOMATIC"]), "AUTOMATIC", "Join distribution type (no effect: the planner decides)"),
    property("join_reordering_strategy", OneOf(&["NONE", "ELIMINATE_CROSS_JOINS", "AUTOMATIC"]), "AUTOMATIC", "Join reordering strategy (no effect: the planner decides)"),
    property("legacy_catalog_roles", Boolean, "false", "Enable legacy role management syntax that assumed all roles are catalog scoped (no effect: there are no roles)"),
    property("max_hash_partition_count", Integer(1), "100", "Maximum number of partitions for distributed joins and aggregations (no effect: it follows from the number of workers)"),
    property("max_recursion_depth", Integer(1), "10", "Maximum recursion depth for recursive common table expression"),
    property("query_max_cpu_time", Time, "1000000000.00d", "Maximum CPU time of a query"),
    property("query_max_execution_time", Time, "100.00d", "Maximum execution time of a query"),
    property("query_max_memory", Size, "20GB", "Maximum amount of distributed memory a query can use"),
    property("query_max_memory_per_node", Size, "", "Maximum amount of memory a query can use per node (no effect: query.max-memory-per-node is the limit)"),
    property("query_max_planning_time", Time, "10.00m", "Maximum planning time of a query"),
    property("query_max_run_time", Time, "100.00d", "Maximum run time of a query (includes the queueing time)"),
    property("query_max_stage_count", Integer(1), "150", "Maximum number of stages a query can have (no effect)"),
    property("query_max_total_memory", Size, "40GB", "Maximum amount of distributed total memory a query can use"),
    property("query_priority", Integer(1), "1", "The priority of queries (no effect: queries start in the order in which they come)"),
    property("redistribute_writes", Boolean, "true", "Force parallel distributed writes (no effect)"),
    property("retry_policy", OneOf(&["TASK", "QUERY", "NONE"]), "NONE", "Retry policy"),
    property("scale_writers", Boolean, "true", "Scale out writers based on throughput (no effect)"),
    property("spill_enabled", Boolean, "true", "Enable spilling (no effect: what can spill does so)"),
    property("spooling_enabled", Boolean, "false", "Enable client spooling protocol (no effect: rows are sent directly)"),
    property("task_concurrency", Integer(1), "", "Default number of local parallel jobs per worker (no effect: task.concurrency of the configuration)"),
    property("time_zone_id", TimeZone, "", "Time zone id for the current session"),
];

/// A time as Trino shows it: `1.50m`.
pub fn shown_duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        s if s >= 86_400.0 => (s / 86_400.0, "d"),
        s if s >= 3_600.0 => (s / 3_600.0, "h"),
        s if s >= 60.0 => (s / 60.0, "m"),
        s if s >= 1.0 => (s, "s"),
        s if s >= 0.001 => (s * 1e3, "ms"),
        s if s >= 0.000_001 => (s * 1e6, "us"),
        s => (s * 1e9, "ns"),
    };
    format!("{value:.2}{unit}")
}

/// A number of bytes as Trino writes it: `20GB`.
pub fn shown_size(bytes: u64) -> String {
    DataSize::of_bytes(bytes).to_string()
}

/// True for a time as Trino writes it: `10m`.
pub fn is_duration(text: &str) -> bool {
    parse_duration(text).is_ok()
}

/// True for a number of bytes as Trino writes it: `1GB`.
pub fn is_size(text: &str) -> bool {
    text.parse::<DataSize>().is_ok()
}

/// The property of this name.
pub fn session_property(name: &str) -> Option<&'static SessionProperty> {
    SESSION_PROPERTIES.iter().find(|property| property.name == name)
}

impl SessionProperty {
    /// Checks a value of it in its text form.
    ///
    /// # Errors
    /// Why it is not one.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let text = |error: &dyn Display| format!("'{value}' {error}");
        match self.kind {
            PropertyKind::Boolean => match value.to_ascii_lowercase().as_str() {
                "true" | "false" => Ok(()),
                _ => Err(format!("Invalid value [{value}]: true or false")),
            },
            PropertyKind::Integer(least) => match value.parse::<i32>() {
                Ok(number) if i64::from(number) >= least => Ok(()),
                Ok(number) => Err(format!("{} must be at least {least}: {number}", self.name)),
                Err(_) => Err(format!("'{value}' is not an integer")),
            },
            PropertyKind::Duration => parse_duration(value).map(drop).map_err(|e| text(&e)),
            PropertyKind::Size => value.parse::<DataSize>().map(drop).map_err(|e| text(&e)),
            PropertyKind::OneOf(values) => {
                match values.iter().any(|known| known.eq_ignore_ascii_case(value)) {
                    true => Ok(()),
                    false => Err(format!(
                        "Invalid value [{value}]. Valid values: [{}]",
                        values.join(", ")
                    )),
                }
            }
            // Has its own check, and its own code.
            PropertyKind::TimeZone => Ok(()),
        }
    }
}

/// The most steps of a WITH RECURSIVE, where the session sets them.
pub fn max_recursion_depth(context: &crate::ClientContext) -> Option<u32> {
    context.session_properties.get("max_recursion_depth")?.parse().ok()
}

/// What runs again, where the session says so.
pub fn retry_policy(context: &crate::ClientContext) -> Option<RetryPolicy> {
    RetryPolicy::parse(context.session_properties.get("retry_policy")?)
}

/// The limits that a session sets for its queries; all are optional, since those of the
/// configuration hold otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// From its submission to its end.
    pub run_time: Option<Duration>,
    /// From its start to its end.
    pub execution_time: Option<Duration>,
    /// From its start to its first task.
    pub planning_time: Option<Duration>,
    /// CPU time of all tasks.
    pub cpu_time: Option<Duration>,
    /// Bytes in all memory pools.
    pub memory: Option<u64>,
}

impl SessionLimits {
    /// The limits in these properties; each was checked before.
    pub fn of(properties: &std::collections::BTreeMap<String, String>) -> Self {
        let time = |name: &str| parse_duration(properties.get(name)?).ok();
        let size = |name: &str| Some(properties.get(name)?.parse::<DataSize>().ok()?.bytes());
        let memory = [size("query_max_memory"), size("query_max_total_memory")];
        Self {
            run_time: time("query_max_run_time"),
            execution_time: time("query_max_execution_time"),
            planning_time: time("query_max_planning_time"),
            cpu_time: time("query_max_cpu_time"),
            memory: memory.into_iter().flatten().min(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_in_its_place_and_its_default_is_a_value() {
        for pair in SESSION_PROPERTIES.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        for property in SESSION_PROPERTIES.iter().filter(|property| !property.default.is_empty()) {
            assert_eq!(property.check(property.default), Ok(()), "{}", property.name);
        }
    }

    #[test]
    fn values_are_checked_by_kind() {
        for (name, good, bad) in [
            ("spill_enabled", "TRUE", "1"),
            ("query_priority", "7", "0"),
            ("query_priority", "7", "x"),
            ("query_max_run_time", "10m", "10"),
            ("query_max_memory", "1GB", "1gb"),
            ("join_distribution_type", "broadcast", "x"),
        ] {
            let property = session_property(name).unwrap();
            assert_eq!(property.check(good), Ok(()), "{name}");
            assert!(property.check(bad).is_err(), "{name}={bad}");
        }
        assert!(session_property("nope").is_none());
    }
}
