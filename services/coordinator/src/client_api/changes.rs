//! What changes in the client's session, as headers of the answers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded::byte_serialize;

use super::prepared;
use crate::query::SessionChanges;

/// Values are `application/x-www-form-urlencoded`, as Trino's clients decode them.
fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// The headers that tell a client of these changes; `prefix` is `x-trino-` or its alternative, in
/// lower case.
pub(super) fn headers(changes: &SessionChanges, prefix: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        // Names are constants, and values that are not visible ASCII are encoded before.
        let name = HeaderName::try_from(format!("{prefix}{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    let single = [
        ("set-catalog", &changes.set_catalog),
        ("set-schema", &changes.set_schema),
        ("set-path", &changes.set_path),
        ("started-transaction-id", &changes.started_transaction),
        ("set-authorization-user", &changes.set_authorization_user),
    ];
    for (name, value) in single {
        if let Some(value) = value {
            add(name, value);
        }
    }
    for (name, value) in &changes.set_session {
        add("set-session", &format!("{name}={}", encoded(value)));
    }
    for name in &changes.clear_session {
        add("clear-session", name);
    }
    for (catalog, role) in &changes.set_roles {
        add("set-role", &format!("{catalog}={}", encoded(role)));
    }
    for (name, sql) in &changes.added_prepared {
        let sql = prepared::compressed(sql);
        add("added-prepare", &format!("{}={}", encoded(name), encoded(&sql)));
    }
    for name in &changes.deallocated_prepared {
        add("deallocated-prepare", &encoded(name));
    }
    if changes.clear_transaction {
        add("clear-transaction-id", "true");
    }
    if changes.reset_authorization_user {
        add("reset-authorization-user", "true");
    }
    headers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_headers_that_clients_can_decode() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let changes = SessionChanges {
            set_catalog: Some("tpch".into()),
            set_session: vec![pair("query_max_run_time", "10 m"), pair("time_zone_id", "+01:00")],
            clear_session: vec!["a".into(), "b".into()],
            set_roles: vec![pair("system", "ROLE{x}")],
            added_prepared: vec![pair("p q", "SELECT 'ü' = ?")],
            deallocated_prepared: vec!["p q".into()],
            clear_transaction: true,
            ..SessionChanges::default()
        };
        let headers = headers(&changes, "x-trino-");
        let all = |name: &str| -> Vec<&str> {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-trino-set-catalog"), ["tpch"]);
        let session = ["query_max_run_time=10+m", "time_zone_id=%2B01%3A00"];
        assert_eq!(all("x-trino-set-session"), session);
        assert_eq!(all("x-trino-clear-session"), ["a", "b"]);
        assert_eq!(all("x-trino-set-role"), ["system=ROLE%7Bx%7D"]);
        assert_eq!(all("x-trino-added-prepare"), ["p+q=SELECT+%27%C3%BC%27+%3D+%3F"]);
        assert_eq!(all("x-trino-deallocated-prepare"), ["p+q"]);
        assert_eq!(all("x-trino-clear-transaction-id"), ["true"]);
        assert!(all("x-trino-reset-authorization-user").is_empty());
    }
}
