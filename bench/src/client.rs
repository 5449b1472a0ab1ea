//! As much of Trino's client protocol as it takes to read all rows of a statement. Rows are
//! counted while the clock runs and read when it has stopped.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::answers::Row;

/// No statement of a benchmark takes longer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// Asks one server over a connection that it keeps. Clones share it.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    server: String,
}

/// All pages of a statement.
#[derive(Default)]
pub struct Answer {
    /// The query's id.
    pub id: String,
    /// Time that the coordinator took to analyse and plan it, in whole milliseconds.
    pub planning: Duration,
    /// Rows in all pages.
    pub rows: usize,
    /// Requests that it took.
    pub requests: usize,
    /// Trino's type of each column.
    pub types: Vec<String>,
    pages: Vec<Bytes>,
}

/// A page without its rows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    id: String,
    #[serde(default)]
    stats: Stats,
    next_uri: Option<String>,
    #[serde(default)]
    columns: Vec<Column>,
    #[serde(default)]
    data: Vec<IgnoredAny>,
    error: Option<QueryError>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    analysis_time_millis: u64,
    planning_time_millis: u64,
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "type")]
    type_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryError {
    error_name: String,
    message: String,
}

/// A page's rows.
#[derive(Deserialize)]
struct Rows {
    #[serde(default)]
    data: Vec<Vec<Value>>,
}

impl Client {
    /// A client of the server at this port of this machine.
    pub fn new(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        Self { http: builder.build(connector), server: format!("http://127.0.0.1:{port}") }
    }

    /// Runs a statement to its end; its schema is `tpch` of the catalog `files`.
    ///
    /// # Errors
    /// Also when the statement fails.
    pub async fn run(&self, sql: &str) -> anyhow::Result<Answer> {
        let pages = tokio::time::timeout(STATEMENT_TIMEOUT, self.pages(sql));
        pages.await.with_context(|| format!("no end within {STATEMENT_TIMEOUT:?}"))?
    }

    /// Submits a statement, reads on for `delay`, and cancels it. When that was, or nothing if the
    /// statement had ended by then.
    ///
    /// # Errors
    /// Also when the statement fails.
    pub async fn cancel_after(
        &self,
        sql: &str,
        delay: Duration,
    ) -> anyhow::Result<Option<Instant>> {
        let statement = format!("{}/v1/statement", self.server).parse()?;
        let deadline = tokio::time::Instant::now() + delay;
        let mut page = self.send(Method::POST, statement, sql).await?;
        loop {
            let head: Head = serde_json::from_slice(&page)
                .context("the answer is not a page of the client protocol")?;
            if let Some(QueryError { error_name, message }) = head.error {
                bail!("{error_name}: {message}");
            }
            let Some(next) = head.next_uri else { return Ok(None) };
            let next: Uri = next.parse()?;
            match tokio::time::timeout_at(deadline, self.send(Method::GET, next.clone(), "")).await
            {
                Ok(answer) => page = answer?,
                Err(_) => {
                    let now = Instant::now();
                    self.send(Method::DELETE, next, "").await?;
                    return Ok(Some(now));
                }
            }
        }
    }

    /// The text at a path that is no statement.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let uri = format!("{}{path}", self.server).parse()?;
        Ok(String::from_utf8(self.send(Method::GET, uri, "").await?.to_vec())?)
    }

    async fn pages(&self, sql: &str) -> anyhow::Result<Answer> {
        let mut answer = Answer::default();
        let statement = format!("{}/v1/statement", self.server).parse()?;
        let mut page = self.send(Method::POST, statement, sql).await?;
        loop {
            let head: Head = serde_json::from_slice(&page)
                .context("the answer is not a page of the client protocol")?;
            if let Some(QueryError { error_name, message }) = head.error {
                bail!("{error_name}: {message}");
            }
            answer.add(&head, page);
            let Some(next) = head.next_uri else { return Ok(answer) };
            page = self.send(Method::GET, next.parse()?, "").await?;
        }
    }

    async fn send(&self, method: Method, uri: Uri, body: &str) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("X-Trino-User", "bench")
            .header("X-Trino-Source", "bench")
            .header("X-Trino-Catalog", "files")
            .header("X-Trino-Schema", "tpch")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
        Ok(bytes)
    }
}

impl Answer {
    fn add(&mut self, head: &Head, page: Bytes) {
        self.requests += 1;
        self.id.clone_from(&head.id);
        let Stats { analysis_time_millis, planning_time_millis } = head.stats;
        self.planning = Duration::from_millis(analysis_time_millis + planning_time_millis);
        if self.types.is_empty() {
            self.types = head.columns.iter().map(|column| column.type_name.clone()).collect();
        }
        if !head.data.is_empty() {
            self.rows += head.data.len();
            self.pages.push(page);
        }
    }

    /// All rows, as text.
    pub fn values(&self) -> anyhow::Result<Vec<Row>> {
        let mut all = Vec::with_capacity(self.rows);
        for page in &self.pages {
            let rows: Rows = serde_json::from_slice(page)?;
            all.extend(rows.data.into_iter().map(|row| row.into_iter().map(text).collect()));
        }
        Ok(all)
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_first_and_read_later() {
        let mut answer = Answer::default();
        for page in [
            r#"{"id":"q","nextUri":"http://x/1","stats":{}}"#,
            r#"{"id":"q","columns":[{"name":"a","type":"bigint"}],"data":[[1],[null]],
                "nextUri":"u"}"#,
            r#"{"id":"q","columns":[{"name":"a","type":"bigint"}],"data":[["x"]],
                "stats":{"planningTimeMillis":3,"analysisTimeMillis":1}}"#,
        ] {
            let head: Head = serde_json::from_str(page).unwrap();
            answer.add(&head, Bytes::from_static(page.as_bytes()));
        }
        assert_eq!((answer.rows, answer.requests, answer.types.len()), (3, 3, 1));
        assert_eq!((answer.id.as_str(), answer.planning), ("q", Duration::from_millis(4)));
        let expected = [vec![Some("1".to_owned())], vec![None], vec![Some("x".to_owned())]];
        assert_eq!(answer.values().unwrap(), expected);
    }

    #[test]
    fn an_error_has_its_name() {
        let text = r#"{"error":{"errorName":"SYNTAX_ERROR","message":"line 1:1: no"}}"#;
        let head: Head = serde_json::from_str(text).unwrap();
        assert_eq!(head.error.unwrap().error_name, "SYNTAX_ERROR");
    }
}
