//! The session that a statement belongs to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// Who asks, and in which session: parsed from the headers of `POST /v1/statement`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientContext {
    /// The session's user.
    pub user: String,
    /// The user before SET SESSION AUTHORIZATION, if the client sends it.
    pub original_user: Option<String>,
    /// The client program's name for itself.
    pub source: Option<String>,
    /// The session's catalog, lower case.
    pub catalog: Option<String>,
    /// The session's schema, lower case; only with a catalog.
    pub schema: Option<String>,
    /// The SQL path, as sent.
    pub path: Option<String>,
    /// IANA zone id or offset: that of the property `time_zone_id`, else the client's own.
    pub time_zone: Option<String>,
    /// The client's own zone: what SET TIME ZONE LOCAL goes back to.
    pub client_time_zone: Option<String>,
    /// The client's language, as a BCP 47 tag.
    pub language: Option<String>,
    /// What `current_timestamp` is; the time of planning if it is not set.
    pub start: Option<DateTime<Utc>>,
    /// Session properties by name (`name` or `catalog.name`), as sent.
    pub session_properties: BTreeMap<String, String>,
    /// Roles by catalog: `ROLE{x}`, `ALL` or `NONE`. Nothing depends on them.
    pub roles: BTreeMap<String, String>,
    /// Prepared statements by name.
    pub prepared_statements: BTreeMap<String, String>,
    /// The transaction.
    pub transaction: ClientTransaction,
    /// What the client expects the query to need, as sent.
    pub resource_estimates: BTreeMap<String, String>,
    /// Tags, trimmed, without repetition.
    pub client_tags: Vec<String>,
    /// Free text about the client.
    pub client_info: Option<String>,
    /// The client's token for traces.
    pub trace_token: Option<String>,
    /// The client program and its version, as HTTP names it.
    pub user_agent: Option<String>,
    /// What the client can read (`PARAMETRIC_DATETIME`, …), upper case.
    pub capabilities: Vec<String>,
}

/// A client's transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientTransaction {
    /// The client knows nothing of transactions.
    #[default]
    Unsupported,
    /// None is open: each statement commits by itself.
    None,
    /// This one is open.
    Open(String),
}

impl ClientContext {
    /// True when the client says that it has this capability.
    pub fn is_capable_of(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }
}
