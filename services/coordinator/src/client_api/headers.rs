//! What a client says of itself and its session in the headers of `POST /v1/statement`.

use std::collections::BTreeMap;

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waterbear_protocol::{ErrorCode, Failure};

use super::prepared;
use crate::query::ClientContext;

/// Why a request is turned away before there is a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request names no user.
    #[error("{0}")]
    Unauthenticated(String),
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
            Refusal::BadRequest(_) => (StatusCode::BAD_REQUEST, text).into_response(),
        }
    }
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::BadRequest(text.into())
}

/// The header's first value, trimmed; nothing when it is empty or not text.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?.trim();
    (!value.is_empty()).then_some(value)
}

/// All values of a header that may be repeated or joined by commas.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let text = |value: &'a axum::http::HeaderValue| std::str::from_utf8(value.as_bytes()).ok();
    headers
        .get_all(name)
        .iter()
        .filter_map(text)
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .collect()
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

/// `name=value` pairs of a header, values decoded.
fn pairs(headers: &HeaderMap, name: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pair = |item: &str| {
        let mut parts = item.split('=');
        let (key, value) = (parts.next()?.trim(), parts.next()?.trim());
        let exact = parts.next().is_none() && !key.is_empty();
        if exact { Some((key.to_owned(), url_decoded(value)?)) } else { None }
    };
    list(headers, name)
        .into_iter()
        .map(|item| pair(item).ok_or_else(|| bad(format!("Invalid {name} header"))))
        .collect()
}

/// Who asks: from `Authorization: Basic user:` (no password goes over plain HTTP),
/// `X-Trino-Original-User` or `X-Trino-User`.
///
/// # Errors
/// 401 when nobody is named.
pub fn user(headers: &HeaderMap) -> Result<String, Refusal> {
    let unauthenticated = |text: &str| Refusal::Unauthenticated(text.to_owned());
    if let Some(authorization) = single(headers, AUTHORIZATION.as_str()) {
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
                return Ok(single(headers, "X-Trino-User").unwrap_or(name).to_owned());
            }
        }
    }
    single(headers, "X-Trino-User")
        .or_else(|| single(headers, "X-Trino-Original-User"))
        .map(str::to_owned)
        .ok_or_else(|| unauthenticated("Basic authentication or X-Trino-User must be sent"))
}

/// A session as its headers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What the query engine must know.
    pub context: ClientContext,
    /// The statement must fail with this when it starts, though the request is well formed.
    pub failure: Option<Failure>,
}

/// Reads the headers of `POST /v1/statement`.
///
/// # Errors
/// 401 without a user, 400 with Trino's text for malformed headers.
pub fn session(headers: &HeaderMap) -> Result<Session, Refusal> {
    let user = user(headers)?;
    if headers.keys().any(|name| name.as_str().starts_with("x-presto-")) {
        let text = "Both X-Trino- and X-Presto- headers were sent; only X-Trino- is supported";
        return Err(bad(text));
    }
    let owned = |name: &str| single(headers, name).map(str::to_owned);
    let lower = |name: &str| single(headers, name).map(str::to_lowercase);
    let (catalog, schema) = (lower("X-Trino-Catalog"), lower("X-Trino-Schema"));
    if catalog.is_none() && schema.is_some() {
        return Err(bad("Schema is set but catalog is not"));
    }
    let mut client_tags = Vec::new();
    for tag in list(headers, "X-Trino-Client-Tags") {
        if !client_tags.iter().any(|known| known == tag) {
            client_tags.push(tag.to_owned());
        }
    }
    check_unused(headers)?;
    let context = ClientContext {
        user,
        source: owned("X-Trino-Source"),
        catalog,
        schema,
        time_zone: owned("X-Trino-Time-Zone"),
        session_properties: session_properties(headers)?,
        client_tags,
        client_info: owned("X-Trino-Client-Info"),
        trace_token: owned("X-Trino-Trace-Token"),
        capabilities: list(headers, "X-Trino-Client-Capabilities")
            .into_iter()
            .map(str::to_uppercase)
            .collect(),
    };
    Ok(Session { context, failure: transaction(headers)? })
}

fn session_properties(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Refusal> {
    let mut properties = BTreeMap::new();
    for (name, value) in pairs(headers, "X-Trino-Session")? {
        let parts = name.split('.');
        if parts.clone().count() > 2 || parts.clone().any(|part| part.trim().is_empty()) {
            return Err(bad("Invalid X-Trino-Session header"));
        }
        properties.insert(name, value);
    }
    Ok(properties)
}

/// Headers that nothing reads yet must be well formed all the same.
fn check_unused(headers: &HeaderMap) -> Result<(), Refusal> {
    for (_, role) in pairs(headers, "X-Trino-Role")? {
        let named = role.starts_with("ROLE{") && role.ends_with('}');
        if !named && role != "ALL" && role != "NONE" {
            return Err(bad("Invalid X-Trino-Role header"));
        }
    }
    for (_, sql) in pairs(headers, "X-Trino-Prepared-Statement")? {
        if prepared::decompressed(&sql).is_none() {
            return Err(bad("Invalid X-Trino-Prepared-Statement header"));
        }
    }
    for (name, _) in pairs(headers, "X-Trino-Resource-Estimate")? {
        let known = ["EXECUTION_TIME", "CPU_TIME", "PEAK_MEMORY"];
        if !known.contains(&name.to_uppercase().as_str()) {
            return Err(bad(format!("Unsupported resource name {name}")));
        }
    }
    for (name, _) in pairs(headers, "X-Trino-Extra-Credential")? {
        if name.starts_with("internal$") {
            return Err(bad(format!("Invalid extra credential name: {name}")));
        }
    }
    Ok(())
}

/// No transaction can be open: they are not supported. `NONE` and absence are fine.
fn transaction(headers: &HeaderMap) -> Result<Option<Failure>, Refusal> {
    let Some(id) = single(headers, "X-Trino-Transaction-Id") else { return Ok(None) };
    if id.eq_ignore_ascii_case("NONE") {
        return Ok(None);
    }
    let digits = id.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if !digits {
        return Err(bad(format!("Invalid transaction ID: {id}")));
    }
    let message = format!("Unknown transaction ID: {id}");
    Ok(Some(Failure::new(ErrorCode::UNKNOWN_TRANSACTION, message)))
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

    #[test]
    fn a_session_is_read_from_its_headers() {
        let session = session(&headers(&[
            ("X-Trino-User", "alice"),
            ("X-Trino-Catalog", "TPCH"),
            ("X-Trino-Schema", "Tiny"),
            ("X-Trino-Session", "a=1,b=x%3Dy+z"),
            ("X-Trino-Session", "tpch.c=3"),
            ("X-Trino-Client-Tags", " one,two , one"),
            ("X-Trino-Client-Capabilities", "PARAMETRIC_DATETIME,path"),
            ("X-Trino-Transaction-Id", "NONE"),
        ]))
        .unwrap();
        let context = session.context;
        assert_eq!(session.failure, None);
        assert_eq!(context.catalog.as_deref(), Some("tpch"));
        assert_eq!(context.schema.as_deref(), Some("tiny"));
        assert_eq!(context.session_properties["b"], "x=y z");
        assert_eq!(context.session_properties["tpch.c"], "3");
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
            ("X-Trino-Session", "a.b.c=1", "Invalid X-Trino-Session header"),
            ("X-Trino-Role", "system=x", "Invalid X-Trino-Role header"),
            ("X-Trino-Prepared-Statement", "x", "Invalid X-Trino-Prepared-Statement header"),
            ("X-Trino-Resource-Estimate", "SPEED=1", "Unsupported resource name SPEED"),
            ("X-Trino-Transaction-Id", "7", "Invalid transaction ID: 7"),
        ];
        for (name, value, text) in cases {
            let refused = session(&headers(&[("X-Trino-User", "u"), (name, value)]));
            assert_eq!(refused.unwrap_err().to_string(), text, "{name}: {value}");
        }
    }

    #[test]
    fn an_unknown_transaction_fails_the_statement_not_the_request() {
        let id = "01234567-0123-0123-0123-0123456789ab";
        let headers = headers(&[("X-Trino-User", "u"), ("X-Trino-Transaction-Id", id)]);
        let failure = session(&headers).unwrap().failure.unwrap();
        assert_eq!(failure.code, ErrorCode::UNKNOWN_TRANSACTION);
    }
}
