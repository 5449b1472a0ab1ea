//! As much of Trino's client protocol as it takes to read all rows of a statement.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

/// No single request takes longer: the server answers long polls within a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No statement of the mix takes longer.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(120);

/// Asks one server as one user.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    statement: Uri,
    catalog: String,
}

/// A statement that ended with rows or with one of Trino's errors.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// All rows, in the order in which they came.
    Rows(Vec<Vec<Value>>),
    /// The name of the error, such as `TABLE_NOT_FOUND`, and its message.
    Error { name: String, message: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    next_uri: Option<String>,
    #[serde(default)]
    data: Vec<Vec<Value>>,
    error: Option<PageError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageError {
    error_name: String,
    message: String,
}

impl Client {
    /// A client of the server at `server`, whose session is in schema `tiny` of `catalog`.
    pub fn new(server: Uri, catalog: &str) -> anyhow::Result<Self> {
        let authority = server.authority().context("the server's URL names no host")?;
        let statement = format!("http://{authority}/v1/statement").parse()?;
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { http, statement, catalog: catalog.to_owned() })
    }

    /// All rows of a statement that must not fail.
    pub async fn rows(&self, sql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        match self.answer(sql).await? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Error { name, message } => bail!("{name}: {message}"),
        }
    }

    /// Runs a statement to its end.
    pub async fn answer(&self, sql: &str) -> anyhow::Result<Answer> {
        let pages = tokio::time::timeout(STATEMENT_TIMEOUT, self.pages(sql));
        pages.await.with_context(|| format!("no end within {STATEMENT_TIMEOUT:?}"))?
    }

    async fn pages(&self, sql: &str) -> anyhow::Result<Answer> {
        let mut rows = Vec::new();
        let mut page = self.page(Method::POST, self.statement.clone(), sql.to_owned()).await?;
        loop {
            if let Some(PageError { error_name: name, message }) = page.error {
                return Ok(Answer::Error { name, message });
            }
            rows.append(&mut page.data);
            let Some(next) = page.next_uri else { return Ok(Answer::Rows(rows)) };
            page = self.page(Method::GET, next.parse()?, String::new()).await?;
        }
    }

    async fn page(&self, method: Method, uri: Uri, body: String) -> anyhow::Result<Page> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("X-Trino-User", "loadtest")
            .header("X-Trino-Source", "loadtest")
            .header("X-Trino-Catalog", &self.catalog)
            .header("X-Trino-Schema", "tiny")
            .body(Full::new(Bytes::from(body)))?;
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, async {
            let response = self.http.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        });
        let (status, bytes) =
            answer.await.with_context(|| format!("no answer within {REQUEST_TIMEOUT:?}"))??;
        if status != StatusCode::OK {
            bail!("{status}: {}", String::from_utf8_lossy(&bytes));
        }
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
        let text = r#"{"error":{"errorName":"SYNTAX_ERROR","message":"line 1:1: no"}}"#;
        let page: Page = serde_json::from_str(text).unwrap();
        assert_eq!(page.error.unwrap().error_name, "SYNTAX_ERROR");
    }

    #[test]
    fn a_server_without_host_is_refused() {
        assert!(Client::new(Uri::from_static("/nowhere"), "tpch").is_err());
    }
}
