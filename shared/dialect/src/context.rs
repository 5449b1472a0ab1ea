//! The session that a statement belongs to.

use std::collections::BTreeMap;

/// Who asks, and in which session: parsed from the headers of `POST /v1/statement`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientContext {
    /// The session's user.
    pub user: String,
    /// The client program's name for itself.
    pub source: Option<String>,
    /// The session's catalog, lower case.
    pub catalog: Option<String>,
    /// The session's schema, lower case; only with a catalog.
    pub schema: Option<String>,
    /// IANA zone id or offset.
    pub time_zone: Option<String>,
    /// Session properties by name (`name` or `catalog.name`), as sent.
    pub session_properties: BTreeMap<String, String>,
    /// Tags, trimmed, without repetition.
    pub client_tags: Vec<String>,
    /// Free text about the client.
    pub client_info: Option<String>,
    /// The client's token for traces.
    pub trace_token: Option<String>,
    /// What the client can read (`PARAMETRIC_DATETIME`, …).
    pub capabilities: Vec<String>,
}
