//! What statements change for those after them: catalog, schema, properties.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The session, kept by the client: every statement carries all of it.
#[derive(Debug)]
pub struct Session {
    user: String,
    catalog: Option<String>,
    schema: Option<String>,
    properties: BTreeMap<String, String>,
}

impl Session {
    /// A session of `user`, or of the user of this process.
    pub fn new(
        user: Option<String>,
        catalog: Option<String>,
        schema: Option<String>,
        properties: Vec<(String, String)>,
    ) -> Self {
        let user = user.unwrap_or_else(os_user);
        Self { user, catalog, schema, properties: properties.into_iter().collect() }
    }

    /// The headers that carry it.
    pub fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            let invalid = |_| format!("'{value}' cannot be sent as {name}");
            let value = HeaderValue::from_str(value).map_err(invalid)?;
            headers.append(HeaderName::from_static(name), value);
            Ok::<_, String>(())
        };
        set("x-trino-user", &self.user)?;
        set("x-trino-source", "waterbear-cli")?;
        set("x-trino-transaction-id", "NONE")?;
        set("x-trino-client-capabilities", "PARAMETRIC_DATETIME,NUMBER")?;
        if let Some(catalog) = &self.catalog {
            set("x-trino-catalog", catalog)?;
        }
        if let Some(schema) = &self.schema {
            set("x-trino-schema", schema)?;
        }
        for (name, value) in &self.properties {
            set("x-trino-session", &format!("{name}={}", url_encoded(value)))?;
        }
        Ok(headers)
    }

    /// Takes over what a statement changed: the headers of an answer.
    pub fn apply(&mut self, changes: &HeaderMap) {
        let one = |name: &str| changes.get(name).and_then(|value| value.to_str().ok());
        if let Some(catalog) = one("x-trino-set-catalog") {
            self.catalog = Some(catalog.to_owned());
        }
        if let Some(schema) = one("x-trino-set-schema") {
            self.schema = Some(schema.to_owned());
        }
        let all = |name: &str| changes.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
        for property in all("x-trino-set-session") {
            if let Some((name, value)) = property.split_once('=') {
                self.properties.insert(name.trim().to_owned(), url_decoded(value));
            }
        }
        for name in all("x-trino-clear-session") {
            self.properties.remove(name.trim());
        }
    }
}

/// Encoded as a form's value: what HTTP headers cannot carry becomes `%XX`.
fn url_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn url_decoded(text: &str) -> String {
    let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2).and_then(hex)).flatten();
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        bytes.push(escaped.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The user of this process. Containers often leave `USER` unset.
fn os_user() -> String {
    let set = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
    set("USER").or_else(|| set("LOGNAME")).or_else(user_of_process).unwrap_or_else(|| "user".into())
}

fn user_of_process() -> Option<String> {
    let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = fields.find(|fields| fields.get(2) == Some(&id.as_str()))?;
    Some(own.first()?.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn session() -> Session {
        let properties = vec![("retry_policy".to_owned(), "a b,c=d%".to_owned())];
        Session::new(Some("ann".to_owned()), Some("tpch".to_owned()), None, properties)
    }

    #[test]
    fn headers_carry_the_session_with_encoded_values() {
        let headers = session().headers().unwrap();
        assert_eq!(headers["x-trino-user"], "ann");
        assert_eq!(headers["x-trino-catalog"], "tpch");
        assert_eq!(headers.get("x-trino-schema"), None);
        assert_eq!(headers["x-trino-session"], "retry_policy=a+b%2Cc%3Dd%25");
    }

    #[test]
    fn answers_change_catalog_schema_and_properties() {
        let mut session = session();
        let mut changes = HeaderMap::new();
        changes.append("x-trino-set-catalog", HeaderValue::from_static("files"));
        changes.append("x-trino-set-schema", HeaderValue::from_static("s"));
        changes.append("x-trino-set-session", HeaderValue::from_static("x=1+%c3%a4%zz"));
        changes.append("x-trino-clear-session", HeaderValue::from_static("retry_policy"));
        session.apply(&changes);
        let headers = session.headers().unwrap();
        assert_eq!(headers["x-trino-catalog"], "files");
        assert_eq!(headers["x-trino-schema"], "s");
        assert_eq!(session.properties, BTreeMap::from([("x".to_owned(), "1 ä%zz".to_owned())]));
    }

    #[test]
    fn user_that_no_header_can_carry_is_refused() {
        let session = Session::new(Some("a\nb".to_owned()), None, None, Vec::new());
        assert!(session.headers().unwrap_err().contains("x-trino-user"));
    }
}
