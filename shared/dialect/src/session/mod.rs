//! What a session may set, and what it may not yet: `properties` is the table, `statements` are
//! those that read or change it.

use waterbear_functions::datetime::Zone;
use waterbear_protocol::{ErrorCode, Failure, RetryPolicy};

use crate::ClientContext;
use crate::temporal::session_zone;

mod properties;
pub(crate) mod statements;

pub use properties::{
    PropertyKind, SESSION_PROPERTIES, SessionLimits, SessionProperty, is_duration, is_size,
    max_recursion_depth, retry_policy, session_property, shown_duration, shown_size,
};

/// Checks a session before its statement runs.
///
/// # Errors
/// INVALID_SESSION_PROPERTY for properties that nobody knows or whose value is not one of theirs,
/// NOT_SUPPORTED for time zones that nobody knows and for the retry policy QUERY, which does not exist yet.
pub fn check_session(context: &ClientContext) -> Result<(), Failure> {
    session_zone(context)?;
    for (name, value) in &context.session_properties {
        check_session_property(name, value)?;
    }
    Ok(())
}

/// Checks the value of a session property.
///
/// # Errors
/// Those of [`check_session`].
pub fn check_session_property(name: &str, value: &str) -> Result<(), Failure> {
    let invalid = |text: String| Failure::new(ErrorCode::INVALID_SESSION_PROPERTY, text);
    let Some(property) = session_property(name) else {
        return Err(invalid(format!("Session property '{name}' does not exist")));
    };
    property.check(value).map_err(|text| {
        invalid(format!("Unable to set session property '{name}' to '{value}': {text}"))
    })?;
    match name {
        "retry_policy" => check_retry_policy(value),
        "time_zone_id" => check_time_zone(value),
        _ => Ok(()),
    }
}

/// Checks a time zone's id or offset.
///
/// # Errors
/// NOT_SUPPORTED for one that nobody knows.
pub fn check_time_zone(zone: &str) -> Result<(), Failure> {
    Zone::parse(zone).map(|_| ())
}

fn check_retry_policy(value: &str) -> Result<(), Failure> {
    match RetryPolicy::parse(value) {
        Some(RetryPolicy::Query) => {
            let message = "retry_policy=QUERY is not supported yet: use TASK or NONE";
            Err(Failure::new(ErrorCode::NOT_SUPPORTED, message))
        }
        _ => Ok(()),
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
        assert_eq!(code(&with("retry_policy", "query")), Some(ErrorCode::NOT_SUPPORTED));
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
