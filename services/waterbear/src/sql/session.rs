//! What statements change for those after them: catalog, schema, properties, prepared statements.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded::{byte_serialize, parse};

use super::args::SqlArgs;

/// What the client can read.
const CAPABILITIES: &str = "PATH,PARAMETRIC_DATETIME,NUMBER,SESSION_AUTHORIZATION";

/// The session, kept by the client: every statement carries all of it.
#[derive(Debug)]
pub struct Session {
    user: String,
    original_user: Option<String>,
    catalog: Option<String>,
    schema: Option<String>,
    path: Option<String>,
    transaction: Option<String>,
    properties: BTreeMap<String, String>,
    roles: BTreeMap<String, String>,
    prepared: BTreeMap<String, String>,
    /// Headers that no statement changes.
    fixed: Vec<(&'static str, String)>,
}

impl Session {
    /// A session of `user`, or of the user of this process.
    pub fn new(
        user: Option<String>,
        catalog: Option<String>,
        schema: Option<String>,
        properties: Vec<(String, String)>,
    ) -> Self {
        Self {
            user: user.unwrap_or_else(os_user),
            original_user: None,
            catalog,
            schema,
            path: None,
            transaction: None,
            properties: properties.into_iter().collect(),
            roles: BTreeMap::new(),
            prepared: BTreeMap::new(),
            fixed: Vec::new(),
        }
    }

    /// Takes over what else the flags say.
    pub fn about(&mut self, args: &SqlArgs) {
        if let Some(user) = &args.session_user {
            self.original_user = Some(std::mem::replace(&mut self.user, user.clone()));
        }
        self.path.clone_from(&args.path);
        self.roles =
            args.roles.iter().map(|(catalog, role)| (catalog.clone(), role_of(role))).collect();
        let texts = [
            ("x-trino-source", Some(&args.source)),
            ("x-trino-time-zone", args.timezone.as_ref()),
            ("x-trino-client-info", args.client_info.as_ref()),
            ("x-trino-client-tags", args.client_tags.as_ref()),
            ("x-trino-trace-token", args.trace_token.as_ref()),
        ];
        self.fixed = texts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.clone())))
            .chain(args.resource_estimate.iter().map(|(name, value)| {
                ("x-trino-resource-estimate", format!("{name}={}", encoded(value)))
            }))
            .chain(args.extra_credential.iter().map(|(name, value)| {
                ("x-trino-extra-credential", format!("{name}={}", encoded(value)))
            }))
            .collect();
    }

    /// The schema that names without one are looked up in, and its catalog.
    pub fn place(&self) -> (Option<&str>, Option<&str>) {
        (self.catalog.as_deref(), self.schema.as_deref())
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
        set("x-trino-transaction-id", self.transaction.as_deref().unwrap_or("NONE"))?;
        set("x-trino-client-capabilities", CAPABILITIES)?;
        let names = [
            ("x-trino-original-user", &self.original_user),
            ("x-trino-catalog", &self.catalog),
            ("x-trino-schema", &self.schema),
            ("x-trino-path", &self.path),
        ];
        for (name, value) in names {
            if let Some(value) = value {
                set(name, value)?;
            }
        }
        for (name, value) in &self.fixed {
            set(name, value)?;
        }
        for (name, value) in &self.properties {
            set("x-trino-session", &format!("{name}={}", encoded(value)))?;
        }
        for (catalog, role) in &self.roles {
            set("x-trino-role", &format!("{catalog}={}", encoded(role)))?;
        }
        for (name, statement) in &self.prepared {
            set("x-trino-prepared-statement", &format!("{}={statement}", encoded(name)))?;
        }
        Ok(headers)
    }

    /// Takes over what a statement changed: the headers of an answer.
    pub fn apply(&mut self, changes: &HeaderMap) {
        let one =
            |name: &str| changes.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let replace = |of: &mut Option<String>, name: &str| {
            if let Some(new) = one(name) {
                *of = Some(new);
            }
        };
        replace(&mut self.catalog, "x-trino-set-catalog");
        replace(&mut self.schema, "x-trino-set-schema");
        replace(&mut self.path, "x-trino-set-path");
        replace(&mut self.transaction, "x-trino-started-transaction-id");
        if one("x-trino-clear-transaction-id").is_some() {
            self.transaction = None;
        }
        if let Some(user) = one("x-trino-set-authorization-user") {
            let before = std::mem::replace(&mut self.user, user);
            self.original_user.get_or_insert(before);
        }
        if one("x-trino-reset-authorization-user").is_some()
            && let Some(user) = self.original_user.take()
        {
            self.user = user;
        }
        let all = |name: &str| {
            let values = changes.get_all(name).into_iter();
            values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>()
        };
        let pairs = |name: &str| {
            let pairs = all(name).into_iter().filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.trim().to_owned(), value)).collect::<Vec<_>>()
        };
        for (name, value) in pairs("x-trino-set-session") {
            self.properties.insert(name, decoded(value));
        }
        for name in all("x-trino-clear-session") {
            self.properties.remove(name.trim());
        }
        for (catalog, role) in pairs("x-trino-set-role") {
            self.roles.insert(catalog, decoded(role));
        }
        for (name, statement) in pairs("x-trino-added-prepare") {
            // The statement goes back as it came: it may be compressed.
            self.prepared.insert(decoded(&name), statement.to_owned());
        }
        for name in all("x-trino-deallocated-prepare") {
            self.prepared.remove(&decoded(name.trim()));
        }
    }
}

/// A role as headers carry it: `ALL`, `NONE` or `ROLE{name}`.
fn role_of(text: &str) -> String {
    match text {
        "ALL" | "NONE" => text.to_owned(),
        name => format!("ROLE{{{name}}}"),
    }
}

/// Encoded as a form's value, since headers cannot carry every character.
fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn decoded(text: &str) -> String {
    // A form's pair without a name's `=` is a name.
    parse(text.replace('=', "%3D").replace('&', "%26").as_bytes())
        .next()
        .map_or_else(String::new, |(text, _)| text.into_owned())
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
        assert_eq!(headers["x-trino-transaction-id"], "NONE");
        assert_eq!(headers.get("x-trino-schema"), None);
        assert_eq!(headers["x-trino-session"], "retry_policy=a+b%2Cc%3Dd%25");
    }

    #[test]
    fn answers_change_catalog_schema_and_properties() {
        let mut session = session();
        let mut changes = HeaderMap::new();
        changes.append("x-trino-set-catalog", HeaderValue::from_static("files"));
        changes.append("x-trino-set-schema", HeaderValue::from_static("s"));
        changes.append("x-trino-set-session", HeaderValue::from_static("x=1+%c3%a4=&%zz"));
        changes.append("x-trino-clear-session", HeaderValue::from_static("retry_policy"));
        session.apply(&changes);
        let headers = session.headers().unwrap();
        assert_eq!(headers["x-trino-catalog"], "files");
        assert_eq!(headers["x-trino-schema"], "s");
        assert_eq!(session.properties, BTreeMap::from([("x".to_owned(), "1 ä=&%zz".to_owned())]));
    }

    #[test]
    fn transactions_and_prepared_statements_come_and_go() {
        let mut session = session();
        let mut changes = HeaderMap::new();
        changes.append("x-trino-started-transaction-id", HeaderValue::from_static("t1"));
        changes.append("x-trino-added-prepare", HeaderValue::from_static("q+1=SELECT+%3F"));
        changes.append("x-trino-set-authorization-user", HeaderValue::from_static("bob"));
        session.apply(&changes);
        let headers = session.headers().unwrap();
        assert_eq!(headers["x-trino-transaction-id"], "t1");
        assert_eq!(headers["x-trino-prepared-statement"], "q+1=SELECT+%3F");
        assert_eq!(
            (&headers["x-trino-user"], &headers["x-trino-original-user"]),
            (&HeaderValue::from_static("bob"), &HeaderValue::from_static("ann"))
        );
        let mut changes = HeaderMap::new();
        changes.append("x-trino-clear-transaction-id", HeaderValue::from_static("true"));
        changes.append("x-trino-deallocated-prepare", HeaderValue::from_static("q+1"));
        changes.append("x-trino-reset-authorization-user", HeaderValue::from_static("true"));
        session.apply(&changes);
        let headers = session.headers().unwrap();
        assert_eq!(headers["x-trino-transaction-id"], "NONE");
        assert_eq!(headers.get("x-trino-prepared-statement"), None);
        assert_eq!(headers["x-trino-user"], "ann");
    }

    #[test]
    fn user_that_no_header_can_carry_is_refused() {
        let session = Session::new(Some("a\nb".to_owned()), None, None, Vec::new());
        assert!(session.headers().unwrap_err().contains("x-trino-user"));
    }
}
