//! Absolute URIs as this client reaches the server, and the slugs that guard them.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use waterbear_ids::QueryId;

use super::headers::Refusal;

/// What happens to requests with `X-Forwarded-*` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// They are refused.
    Reject,
    /// The headers are believed.
    Accept,
    /// The headers are not looked at.
    Ignore,
}

/// Which of them a request has.
pub fn forwarded_header(headers: &HeaderMap) -> Option<&'static str> {
    const NAMES: [&str; 8] = [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Proto",
        "X-Forwarded-Server",
        "X-Forwarded-By",
        "X-Forwarded-Https",
    ];
    NAMES.into_iter().find(|name| headers.contains_key(*name))
}

/// Each proxy adds its value to a list: the first is what the client asked for.
fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or(list).trim()
}

/// Scheme, host, port and prefix, without a slash at the end.
///
/// # Errors
/// 400 when the request names no valid host.
pub fn base(
    headers: &HeaderMap,
    uri: &Uri,
    scheme: &str,
    process_forwarded: Forwarded,
) -> Result<String, Refusal> {
    let invalid = |name: &str| Refusal::BadRequest(format!("Invalid {name} header"));
    let text = |name: &str| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(|text| Some(text.trim())).map_err(|_| invalid(name)),
    };
    let forwarded = |name: &str| match process_forwarded {
        Forwarded::Accept => text(name).map(|list| list.map(first)),
        Forwarded::Reject | Forwarded::Ignore => Ok(None),
    };
    let host = forwarded("X-Forwarded-Host")?
        .or(text(HOST.as_str())?)
        .or(uri.authority().map(Authority::as_str))
        .unwrap_or("localhost");
    let authority: Authority = host.parse().map_err(|_| invalid("Host"))?;
    if authority.as_str().contains('@') {
        return Err(invalid("Host"));
    }
    let scheme = match forwarded("X-Forwarded-Proto")? {
        None => scheme,
        Some("http") => "http",
        Some("https") => "https",
        Some(_) => return Err(invalid("X-Forwarded-Proto")),
    };
    let mut base = format!("{scheme}://{authority}");
    if let Some(port) = forwarded("X-Forwarded-Port")?
        && authority.port().is_none()
    {
        let port: u16 = port.parse().map_err(|_| invalid("X-Forwarded-Port"))?;
        let _ = write!(base, ":{port}");
    }
    if let Some(prefix) = forwarded("X-Forwarded-Prefix")? {
        let prefix = prefix.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~%".contains(c);
        if !prefix.chars().all(plain) {
            return Err(invalid("X-Forwarded-Prefix"));
        }
        if !prefix.is_empty() {
            let _ = write!(base, "/{prefix}");
        }
    }
    Ok(base)
}

/// Which of a query's two resources a URI names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `/v1/statement/queued/…`
    Queued,
    /// `/v1/statement/executing/…`
    Executing,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Executing => "executing",
        }
    }
}

/// The key of one query's slugs: who knows a URI may read that page, nobody else.
#[derive(Debug)]
pub struct SlugKey(hmac::Key);

impl SlugKey {
    /// A new random key.
    pub fn random() -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// `y` and 40 hexadecimal digits, different for each phase and token.
    pub fn slug(&self, phase: Phase, token: u64) -> String {
        let tag = hmac::sign(&self.0, format!("{}/{token}", phase.name()).as_bytes());
        let mut slug = String::with_capacity(41);
        slug.push('y');
        for byte in &tag.as_ref()[..20] {
            let _ = write!(slug, "{byte:02x}");
        }
        slug
    }

    /// True when `slug` is the one of this phase and token.
    pub fn verify(&self, phase: Phase, token: u64, slug: &str) -> bool {
        let expected = self.slug(phase, token);
        constant_time::verify_slices_are_equal(expected.as_bytes(), slug.as_bytes()).is_ok()
    }

    /// The URI of a page.
    pub fn uri(&self, base: &str, query: &QueryId, phase: Phase, token: u64) -> String {
        let slug = self.slug(phase, token);
        format!("{base}/v1/statement/{}/{query}/{slug}/{token}", phase.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn forwarded_headers_count_only_when_asked_to() {
        let forwarded = headers(&[
            ("host", "inner:8080"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "444"),
            ("x-forwarded-prefix", "/a/b/"),
        ]);
        let uri = Uri::from_static("/v1/statement");
        let base = |headers: &HeaderMap, processed| base(headers, &uri, "http", processed);
        assert_eq!(base(&forwarded, Forwarded::Ignore).unwrap(), "http://inner:8080");
        assert_eq!(base(&forwarded, Forwarded::Accept).unwrap(), "https://outer:444/a/b");
        let proxies = headers(&[
            ("host", "inner:8080"),
            ("x-forwarded-host", "outer, middle:1"),
            ("x-forwarded-proto", "https,http"),
            ("x-forwarded-port", "444 , 80"),
        ]);
        assert_eq!(base(&proxies, Forwarded::Accept).unwrap(), "https://outer:444");
        assert_eq!(forwarded_header(&proxies), Some("X-Forwarded-Host"));
        assert_eq!(forwarded_header(&headers(&[("host", "inner")])), None);
        for bad in [("host", "a b"), ("host", "u@h"), ("x-forwarded-proto", "ftp")] {
            assert!(base(&headers(&[bad]), Forwarded::Accept).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_token_and_phase_has_its_own_slug() {
        let key = SlugKey::random();
        let slug = key.slug(Phase::Queued, 1);
        assert_eq!(slug.len(), 41);
        assert!(slug.starts_with('y'));
        assert!(key.verify(Phase::Queued, 1, &slug));
        for (phase, token) in [(Phase::Queued, 2), (Phase::Executing, 1)] {
            assert!(!key.verify(phase, token, &slug));
        }
        assert!(!SlugKey::random().verify(Phase::Queued, 1, &slug));
        assert!(!key.verify(Phase::Queued, 1, ""));
    }
}
