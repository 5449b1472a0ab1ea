//! As much of Trino's client protocol as it takes to read all rows of a statement.
//!
//! With documents of its own, so that it can also be pointed at Trino, and cannot share a mistake
//! with the server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

/// No single request takes longer: the server answers long polls within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No statement of the mix takes longer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// Asks one server.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    statement: Uri,
}

/// What a client sends with each statement, and what statements change of it.
#[derive(Debug, Clone)]
pub struct Session {
    /// The user, and the program's name for itself.
    pub user: String,
    /// The session's catalog.
    pub catalog: String,
    /// The session's schema.
    pub schema: String,
    /// Session properties; values as they travel in headers.
    properties: BTreeMap<String, String>,
    /// Prepared statements; values as they travel in headers.
    prepared: BTreeMap<String, String>,
}

/// A statement that ended with rows or with one of Trino's errors.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// All rows.
    Rows(Table),
    /// One of Trino's errors.
    Error {
        /// Its name, such as `TABLE_NOT_FOUND`.
        name: String,
        /// Its message, with the place in the text.
        message: String,
    },
}

/// All rows of a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Trino's type of each column.
    pub types: Vec<String>,
    /// The rows, in the order in which they came.
    pub rows: Vec<Vec<Value>>,
    /// Tasks that made them.
    pub tasks: u64,
    /// Stages of those tasks.
    pub stages: u64,
    /// How often tasks ran again.
    pub retries: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    next_uri: Option<String>,
    columns: Option<Vec<PageColumn>>,
    #[serde(default)]
    data: Vec<Vec<Value>>,
    error: Option<PageError>,
    #[serde(default)]
    stats: PageStats,
}

#[derive(Deserialize)]
struct PageColumn {
    #[serde(rename = "type")]
    trino_type: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PageStats {
    total_splits: u64,
    task_retries: u64,
    root_stage: Option<PageStage>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PageStage {
    total_splits: u64,
    sub_stages: Vec<PageStage>,
}

impl PageStage {
    /// How many stages have tasks, with those below.
    fn working(&self) -> u64 {
        let below = self.sub_stages.iter().map(Self::working).sum::<u64>();
        below + u64::from(self.total_splits > 0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageError {
    error_name: String,
    message: String,
}

impl Session {
    /// A session of `user` in schema `tiny` of `catalog`.
    pub fn new(user: &str, catalog: &str) -> Self {
        Self {
            user: user.to_owned(),
            catalog: catalog.to_owned(),
            schema: "tiny".to_owned(),
            properties: BTreeMap::new(),
            prepared: BTreeMap::new(),
        }
    }

    fn apply(&mut self, headers: &HeaderMap) {
        let all = |name: &str| {
            let values = headers.get_all(name).into_iter();
            values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect::<Vec<_>>()
        };
        let pairs = |name: &str| {
            let pairs = all(name).into_iter();
            pairs.filter_map(|pair| {
                pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            })
        };
        if let Some(catalog) = all("x-trino-set-catalog").pop() {
            self.catalog = catalog;
        }
        if let Some(schema) = all("x-trino-set-schema").pop() {
            self.schema = schema;
        }
        self.properties.extend(pairs("x-trino-set-session"));
        self.prepared.extend(pairs("x-trino-added-prepare"));
        for name in all("x-trino-clear-session") {
            self.properties.remove(&name);
        }
        for name in all("x-trino-deallocated-prepare") {
            self.prepared.remove(&name);
        }
    }

    fn headers(&self, mut request: http::request::Builder) -> http::request::Builder {
        request = request
            .header("X-Trino-User", &self.user)
            .header("X-Trino-Source", &self.user)
            .header("X-Trino-Client-Capabilities", "PARAMETRIC_DATETIME")
            .header("X-Trino-Catalog", &self.catalog)
            .header("X-Trino-Schema", &self.schema);
        for (name, value) in &self.properties {
            request = request.header("X-Trino-Session", format!("{name}={value}"));
        }
        for (name, value) in &self.prepared {
            request = request.header("X-Trino-Prepared-Statement", format!("{name}={value}"));
        }
        request
    }
}

impl Client {
    /// A client of the server at `server`.
    ///
    /// # Errors
    /// When the URL names no host.
    pub fn new(server: &Uri) -> anyhow::Result<Self> {
        let authority = server.authority().context("the server's URL names no host")?;
        let statement = format!("http://{authority}/v1/statement").parse()?;
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { http, statement })
    }

    /// Runs a statement to its end; the session takes over what it changes.
    ///
    /// # Errors
    /// When the server does not answer in Trino's protocol, or not in time.
    pub async fn answer(&self, session: &mut Session, sql: &str) -> anyhow::Result<Answer> {
        let pages = tokio::time::timeout(STATEMENT_TIMEOUT, self.pages(session, sql));
        pages.await.with_context(|| format!("no end within {STATEMENT_TIMEOUT:?}"))?
    }

    async fn pages(&self, session: &mut Session, sql: &str) -> anyhow::Result<Answer> {
        let mut table = Table::default();
        let mut page =
            self.page(session, Method::POST, self.statement.clone(), sql.to_owned()).await?;
        loop {
            if let Some(PageError { error_name: name, message }) = page.error {
                return Ok(Answer::Error { name, message });
            }
            if let Some(columns) = page.columns {
                table.types = columns.into_iter().map(|column| column.trino_type).collect();
            }
            table.rows.append(&mut page.data);
            table.tasks = page.stats.total_splits;
            table.stages = page.stats.root_stage.as_ref().map_or(0, PageStage::working);
            table.retries = page.stats.task_retries;
            let Some(next) = page.next_uri else { return Ok(Answer::Rows(table)) };
            page = self.page(session, Method::GET, next.parse()?, String::new()).await?;
        }
    }

    async fn page(
        &self,
        session: &mut Session,
        method: Method,
        uri: Uri,
        body: String,
    ) -> anyhow::Result<Page> {
        let request = session.headers(Request::builder().method(method).uri(uri));
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, async {
            let (head, body) = self.http.request(request).await?.into_parts();
            anyhow::Ok((head.status, head.headers, body.collect().await?.to_bytes()))
        });
        let (status, headers, bytes) =
            answer.await.with_context(|| format!("no answer within {REQUEST_TIMEOUT:?}"))??;
        if status != StatusCode::OK {
            bail!("{status}: {}", String::from_utf8_lossy(&bytes));
        }
        session.apply(&headers);
        serde_json::from_slice(&bytes).context("the answer is not a page of the client protocol")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_with_and_without_rows_are_read() {
        let page: Page =
            serde_json::from_str(r#"{"id":"q","nextUri":"http://x/1","stats":{}}"#).unwrap();
        assert_eq!(page.next_uri.as_deref(), Some("http://x/1"));
        assert!(page.data.is_empty() && page.error.is_none());
        let page: Page = serde_json::from_str(r#"{"data":[[1,"a"],[null,"1.20"]]}"#).unwrap();
        assert_eq!(page.data.len(), 2);
        let text = r#"{"stats":{"taskRetries":2,"rootStage":{"totalSplits":1,"subStages":[
            {"totalSplits":3,"subStages":[]},{"totalSplits":0,"subStages":[]}]}}}"#;
        let stats = serde_json::from_str::<Page>(text).unwrap().stats;
        assert_eq!((stats.root_stage.unwrap().working(), stats.task_retries), (2, 2));
        let text = r#"{"error":{"errorName":"SYNTAX_ERROR","message":"line 1:1: no"}}"#;
        let page: Page = serde_json::from_str(text).unwrap();
        assert_eq!(page.error.unwrap().error_name, "SYNTAX_ERROR");
    }

    #[test]
    fn what_a_statement_changes_is_sent_with_the_next() {
        let mut session = Session::new("me", "tpch");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-trino-set-catalog", "memory"),
            ("x-trino-set-session", "a=1%202"),
            ("x-trino-added-prepare", "p=SELECT+1"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        session.apply(&headers);
        let request = session.headers(Request::builder()).body(()).unwrap();
        assert_eq!(request.headers()["x-trino-catalog"], "memory");
        assert_eq!(request.headers()["x-trino-session"], "a=1%202");
        assert_eq!(request.headers()["x-trino-prepared-statement"], "p=SELECT+1");
        let mut headers = HeaderMap::new();
        headers.append("x-trino-clear-session", "a".parse().unwrap());
        headers.append("x-trino-deallocated-prepare", "p".parse().unwrap());
        session.apply(&headers);
        let request = session.headers(Request::builder()).body(()).unwrap();
        assert!(!request.headers().contains_key("x-trino-session"));
        assert!(!request.headers().contains_key("x-trino-prepared-statement"));
    }

    #[test]
    fn a_server_without_host_is_refused() {
        assert!(Client::new(&Uri::from_static("/nowhere")).is_err());
    }
}
