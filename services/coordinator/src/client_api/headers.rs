//! What a client says of itself and its session in the headers of `POST /v1/statement`.

use std::collections::BTreeMap;

use axum::http::header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waterbear_dialect::{ClientTransaction, check_prepared, is_duration, is_size};

use super::prepared;
use crate::query::ClientContext;

/// Why a request is turned away before there is a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request names no user.
    #[error("{0}")]
    Unauthenticated(String),
    /// The coordinator does not know its cluster yet.
    #[error("Trino server is still initializing")]
    Starting,
    /// The coordinator is about to end.
    #[error("Trino server is shutting down")]
    Stopping,
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = self.to_string();
        match self {
            Refusal::Unauthenticated(_) => {
                (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"Trino\"")], text)
                    .into_response()
            }
            Refusal::Starting | Refusal::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
            }
            Refusal::BadRequest(_) => (StatusCode::BAD_REQUEST, text).into_response(),
        }
    }
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::BadRequest(text.into())
}

/// How names of this client's headers begin: `x-trino-`, or what
/// `protocol.v1.alternate-header-name` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The prefix for the name of a protocol.
    pub fn of(protocol: &str) -> Self {
        Self(format!("x-{}-", protocol.to_ascii_lowercase()))
    }

    /// The prefix in lower case, with its last hyphen.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The headers of one request.
#[derive(Debug, Clone)]
pub struct RequestHeaders<'a> {
    headers: &'a HeaderMap,
    prefix: Prefix,
}

impl<'a> RequestHeaders<'a> {
    /// Finds out which prefix the client uses.
    ///
    /// # Errors
    /// 400 when it uses two, or `X-Presto-` where that is not configured.
    pub fn new(headers: &'a HeaderMap, alternate: Option<&str>) -> Result<Self, Refusal> {
        let has = |prefix: &Prefix| headers.keys().any(|name| name.as_str().starts_with(&prefix.0));
        let trino = Prefix::of("Trino");
        let other = Prefix::of(alternate.unwrap_or("Presto"));
        if other == trino || !has(&other) {
            return Ok(Self { headers, prefix: trino });
        }
        let name = alternate.unwrap_or("Presto");
        if alternate.is_none() {
            let text = format!("X-{name}- headers were sent; only X-Trino- is supported");
            return Err(bad(text));
        }
        if has(&trino) {
            return Err(bad(format!("Both X-Trino- and X-{name}- headers were sent")));
        }
        Ok(Self { headers, prefix: other })
    }

    /// The prefix that this client uses.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix.0)
    }

    /// The header's first value, trimmed; nothing when it is empty or not text.
    fn single(&self, name: &str) -> Option<&'a str> {
        text(self.headers, &self.name(name))
    }

    /// All values of a header that may be repeated or joined by commas.
    fn list(&self, name: &str) -> Vec<&'a str> {
        let text = |value: &'a axum::http::HeaderValue| std::str::from_utf8(value.as_bytes()).ok();
        self.headers
            .get_all(self.name(name))
            .iter()
            .filter_map(text)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// `Invalid X-Trino-Session header`, for the name `Session`.
    fn invalid(&self, name: &str) -> Refusal {
        let prefix = if self.prefix == Prefix::of("Trino") { "X-Trino-" } else { &self.prefix.0 };
        bad(format!("Invalid {prefix}{name} header"))
    }

    /// `name=value` pairs of a header, both decoded.
    fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, Refusal> {
        let pair = |item: &str| {
            let mut parts = item.split('=');
            let (key, value) = (parts.next()?.trim(), parts.next()?.trim());
            let exact = parts.next().is_none() && !key.is_empty();
            if exact { Some((url_decoded(key)?, url_decoded(value)?)) } else { None }
        };
        self.list(name)
            .into_iter()
            .map(|item| pair(item).ok_or_else(|| self.invalid(name)))
            .collect()
    }
}

/// A header's first value, trimmed; nothing when it is empty or not text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?.trim();
    (!value.is_empty()).then_some(value)
}

/// Decodes `application/x-www-form-urlencoded` text; nothing when it is malformed.
fn url_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Who asks: from `Authorization: Basic user:` (no password goes over plain HTTP), the header
/// `User` or `Original-User`.
///
/// # Errors
/// 401 when nobody is named.
pub fn user(request: &RequestHeaders<'_>) -> Result<String, Refusal> {
    let unauthenticated = |text: &str| Refusal::Unauthenticated(text.to_owned());
    if let Some(authorization) = text(request.headers, AUTHORIZATION.as_str()) {
        let credentials = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok())
            .and_then(|decoded| String::from_utf8(decoded).ok());
        if let Some(credentials) = credentials {
            let (name, password) = credentials.split_once(':').unwrap_or((&credentials, ""));
            if !password.is_empty() {
                let text = "Password not allowed for insecure authentication";
                return Err(unauthenticated(text));
            }
            if !name.is_empty() {
                return Ok(request.single("User").unwrap_or(name).to_owned());
            }
        }
    }
    request
        .single("User")
        .or_else(|| request.single("Original-User"))
        .map(str::to_owned)
        .ok_or_else(|| unauthenticated("Basic authentication or X-Trino-User must be sent"))
}

/// Reads the headers of `POST /v1/statement`.
///
/// # Errors
/// 401 without a user, 400 with Trino's text for malformed headers.
pub fn session(request: &RequestHeaders<'_>) -> Result<ClientContext, Refusal> {
    let user = user(request)?;
    let owned = |name: &str| request.single(name).map(str::to_owned);
    let lower = |name: &str| request.single(name).map(str::to_lowercase);
    let (catalog, schema) = (lower("Catalog"), lower("Schema"));
    if catalog.is_none() && schema.is_some() {
        return Err(bad("Schema is set but catalog is not"));
    }
    let mut client_tags = Vec::new();
    for tag in request.list("Client-Tags") {
        if !client_tags.iter().any(|known| known == tag) {
            client_tags.push(tag.to_owned());
        }
    }
    check_credentials(request)?;
    let session_properties = session_properties(request)?;
    let client_time_zone = owned("Time-Zone");
    Ok(ClientContext {
        user,
        original_user: owned("Original-User"),
        source: owned("Source"),
        catalog,
        schema,
        path: owned("Path"),
        time_zone: session_properties.get("time_zone_id").cloned().or(client_time_zone.clone()),
        client_time_zone,
        language: owned("Language"),
        session_properties,
        roles: roles(request)?,
        prepared_statements: prepared_statements(request)?,
        transaction: transaction(request)?,
        resource_estimates: resource_estimates(request)?,
        start: None,
        client_tags,
        client_info: owned("Client-Info"),
        trace_token: owned("Trace-Token"),
        user_agent: text(request.headers, USER_AGENT.as_str()).map(str::to_owned),
        capabilities: request
            .list("Client-Capabilities")
            .into_iter()
            .map(str::to_uppercase)
            .collect(),
    })
}

fn session_properties(request: &RequestHeaders<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut properties = BTreeMap::new();
    for (name, value) in request.pairs("Session")? {
        // What stands before the last dot is a catalog.
        let (catalog, property) = name.rsplit_once('.').unwrap_or(("none", &name));
        if catalog.trim().is_empty() || property.trim().is_empty() {
            return Err(request.invalid("Session"));
        }
        properties.insert(name, value);
    }
    Ok(properties)
}

fn roles(request: &RequestHeaders<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut roles = BTreeMap::new();
    for (catalog, role) in request.pairs("Role")? {
        let named = role.starts_with("ROLE{") && role.ends_with('}');
        if !named && role != "ALL" && role != "NONE" {
            return Err(request.invalid("Role"));
        }
        roles.insert(catalog, role);
    }
    Ok(roles)
}

/// Prepared statements by name; each must be one that could be prepared.
fn prepared_statements(request: &RequestHeaders<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut statements = BTreeMap::new();
    for (name, value) in request.pairs("Prepared-Statement")? {
        let sql =
            prepared::decompressed(&value).ok_or_else(|| request.invalid("Prepared-Statement"))?;
        check_prepared(&sql).map_err(|failure| {
            let Refusal::BadRequest(text) = request.invalid("Prepared-Statement") else {
                return request.invalid("Prepared-Statement");
            };
            bad(format!("{text}: {}", failure.message))
        })?;
        statements.insert(name, sql);
    }
    Ok(statements)
}

fn resource_estimates(request: &RequestHeaders<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut estimates = BTreeMap::new();
    for (name, value) in request.pairs("Resource-Estimate")? {
        let name = name.to_uppercase();
        let known = match name.as_str() {
            "EXECUTION_TIME" | "CPU_TIME" => is_duration(&value),
            "PEAK_MEMORY" => is_size(&value),
            _ => return Err(bad(format!("Unsupported resource name {name}"))),
        };
        if !known {
            return Err(request.invalid("Resource-Estimate"));
        }
        estimates.insert(name, value);
    }
    Ok(estimates)
}

/// Nothing reads them: they are secrets, so they are not kept either.
fn check_credentials(request: &RequestHeaders<'_>) -> Result<(), Refusal> {
    for (name, _) in request.pairs("Extra-Credential")? {
        if name.starts_with("internal$") {
            return Err(bad(format!("Invalid extra credential name: {name}")));
        }
    }
    Ok(())
}

/// `NONE`: the client knows of transactions; absent: it does not; else the id of one.
fn transaction(request: &RequestHeaders<'_>) -> Result<ClientTransaction, Refusal> {
    let Some(id) = request.single("Transaction-Id") else {
        return Ok(ClientTransaction::Unsupported);
    };
    if id.eq_ignore_ascii_case("NONE") {
        return Ok(ClientTransaction::None);
    }
    let digits = id.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    match digits {
        true => Ok(ClientTransaction::Open(id.to_ascii_lowercase())),
        false => Err(bad(format!("Invalid transaction ID: {id}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn user(headers: &HeaderMap) -> Result<String, Refusal> {
        super::user(&RequestHeaders::new(headers, None)?)
    }

    fn session(headers: &HeaderMap) -> Result<ClientContext, Refusal> {
        super::session(&RequestHeaders::new(headers, Some("Presto"))?)
    }

    #[test]
    fn a_session_is_read_from_its_headers() {
        let context = session(&headers(&[
            ("X-Trino-User", "alice"),
            ("X-Trino-Catalog", "TPCH"),
            ("X-Trino-Schema", "Tiny"),
            ("X-Trino-Session", "a=1,b=x%3Dy+z"),
            ("X-Trino-Session", "tpch.c=3,a.b.c=4,time_zone_id=%2B01:00"),
            ("X-Trino-Time-Zone", "Europe/Vienna"),
            ("X-Trino-Prepared-Statement", "my+q=SELECT+%3F"),
            ("X-Trino-Role", "system=ROLE%7Bx%7D"),
            ("X-Trino-Resource-Estimate", "peak_memory=1GB"),
            ("X-Trino-Extra-Credential", "token=secret"),
            ("X-Trino-Client-Tags", " one,two , one"),
            ("X-Trino-Client-Capabilities", "PARAMETRIC_DATETIME,path"),
            ("X-Trino-Transaction-Id", "NONE"),
        ]))
        .unwrap();
        assert_eq!(context.transaction, ClientTransaction::None);
        assert_eq!(context.time_zone.as_deref(), Some("+01:00"));
        assert_eq!(context.client_time_zone.as_deref(), Some("Europe/Vienna"));
        assert_eq!(context.prepared_statements["my q"], "SELECT ?");
        assert_eq!(context.roles["system"], "ROLE{x}");
        assert_eq!(context.resource_estimates["PEAK_MEMORY"], "1GB");
        assert_eq!(context.catalog.as_deref(), Some("tpch"));
        assert_eq!(context.schema.as_deref(), Some("tiny"));
        assert_eq!(context.session_properties["b"], "x=y z");
        assert_eq!(context.session_properties["tpch.c"], "3");
        assert_eq!(context.session_properties["a.b.c"], "4");
        assert_eq!(context.client_tags, ["one", "two"]);
        assert_eq!(context.capabilities, ["PARAMETRIC_DATETIME", "PATH"]);
    }

    #[test]
    fn nobody_and_passwords_over_plain_http_are_refused() {
        assert!(matches!(user(&headers(&[])), Err(Refusal::Unauthenticated(_))));
        assert!(matches!(
            user(&headers(&[("X-Trino-User", " ")])),
            Err(Refusal::Unauthenticated(_))
        ));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let named = headers(&[("Authorization", &basic("bob:"))]);
        assert_eq!(user(&named), Ok("bob".into()));
        let password = headers(&[("Authorization", &basic("bob:x")), ("X-Trino-User", "bob")]);
        assert_eq!(
            user(&password).unwrap_err().to_string(),
            "Password not allowed for insecure authentication"
        );
    }

    #[test]
    fn malformed_headers_are_bad_requests_with_trinos_texts() {
        let cases = [
            ("X-Trino-Schema", "s", "Schema is set but catalog is not"),
            ("X-Trino-Session", "a", "Invalid X-Trino-Session header"),
            ("X-Trino-Session", "a=b=c", "Invalid X-Trino-Session header"),
            ("X-Trino-Session", "a=%zz", "Invalid X-Trino-Session header"),
            ("X-Trino-Session", "a=%f", "Invalid X-Trino-Session header"),
            ("X-Trino-Session", "a=%ff", "Invalid X-Trino-Session header"),
            ("X-Trino-Session", ".c=1", "Invalid X-Trino-Session header"),
            ("X-Trino-Session", "a.=1", "Invalid X-Trino-Session header"),
            ("X-Trino-Role", "system=x", "Invalid X-Trino-Role header"),
            ("X-Trino-Prepared-Statement", "x", "Invalid X-Trino-Prepared-Statement header"),
            ("X-Trino-Resource-Estimate", "SPEED=1", "Unsupported resource name SPEED"),
            ("X-Trino-Resource-Estimate", "CPU_TIME=x", "Invalid X-Trino-Resource-Estimate header"),
            (
                "X-Trino-Extra-Credential",
                "internal$x=1",
                "Invalid extra credential name: internal$x",
            ),
            ("X-Trino-Transaction-Id", "7", "Invalid transaction ID: 7"),
            (
                "X-Trino-Prepared-Statement",
                "p=SELEC",
                "Invalid X-Trino-Prepared-Statement header: line 1:1: mismatched input 'SELEC'. \
                 Expecting: 'DESCRIBE', 'EXPLAIN', 'SELECT', 'SHOW', 'TABLE', 'USE', 'VALUES', \
                 'WITH', <query>",
            ),
        ];
        for (name, value, text) in cases {
            let refused = session(&headers(&[("X-Trino-User", "u"), (name, value)]));
            assert_eq!(refused.unwrap_err().to_string(), text, "{name}: {value}");
        }
    }

    #[test]
    fn an_alternate_prefix_counts_where_it_is_configured() {
        let presto = headers(&[("X-Presto-User", "u"), ("X-Presto-Catalog", "c")]);
        assert_eq!(session(&presto).unwrap().catalog.as_deref(), Some("c"));
        assert!(matches!(user(&presto), Err(Refusal::BadRequest(_))));
        let mixed = headers(&[("X-Presto-User", "u"), ("X-Trino-Catalog", "c")]);
        assert!(matches!(session(&mixed), Err(Refusal::BadRequest(_))));
        let trino = headers(&[("X-Trino-User", "u")]);
        assert_eq!(session(&trino).unwrap().user, "u");
        assert_eq!(session(&trino).unwrap().transaction, ClientTransaction::Unsupported);
    }
}
