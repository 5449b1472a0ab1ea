//! Follows one statement through Trino's client protocol.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use waterbear_protocol::client::{Column, QueryError, StatementStats};

use super::request::{Answer, HttpClient};
use super::session::Session;

/// Time for one answer: the server holds a request for a second, large pages take longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// What a cancelled query may cost a user who has already lost patience.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// A value as the server wrote it: numbers are never parsed, so that none is rounded.
pub type Value = Box<RawValue>;

/// One answer about a statement.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The query.
    pub id: String,
    /// Where it goes on; none on the last page.
    pub next_uri: Option<String>,
    /// The columns, once they are known.
    pub columns: Option<Vec<Column>>,
    /// Rows.
    pub data: Option<Vec<Vec<Value>>>,
    /// Why it failed.
    pub error: Option<QueryError>,
    /// What kind of statement it is, unless a query.
    pub update_type: Option<String>,
    /// How many rows it changed.
    pub update_count: Option<u64>,
    /// What it has cost so far.
    pub stats: StatementStats,
    /// The answer's headers: what the statement changes in the session.
    #[serde(skip)]
    pub changes: HeaderMap,
}

/// Why a statement has no answer.
#[derive(Debug)]
pub struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient,
    server: String,
    /// How long a server that cannot answer now is asked again.
    patience: Duration,
}

impl Client {
    /// The coordinator at `server`: a URL, or a host and a port.
    pub fn new(server: &str, patience: Duration) -> Result<Self, String> {
        let server = match server.split_once("://") {
            None => format!("http://{server}"),
            Some(("http", _)) => server.to_owned(),
            Some((scheme, _)) => {
                return Err(format!("'{server}': {scheme} is not supported yet, only http"));
            }
        };
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { http: HttpClient::new(), server, patience })
    }

    /// Submits a statement.
    pub async fn post(&self, statement: &str, session: &Session) -> Result<Page, Failed> {
        self.submit(statement, session.headers().map_err(Failed)?).await
    }

    /// The texts in the first column of a query's rows.
    pub async fn first_column(
        &self,
        statement: &str,
        headers: HeaderMap,
    ) -> Result<Vec<String>, Failed> {
        let mut page = self.submit(statement, headers).await?;
        let mut found = Vec::new();
        loop {
            if let Some(error) = page.error {
                return Err(Failed(error.message));
            }
            let rows = page.data.iter().flatten().filter_map(|row| row.first());
            found.extend(rows.filter_map(|value| serde_json::from_str::<String>(value.get()).ok()));
            let Some(uri) = page.next_uri else { return Ok(found) };
            page = self.get(&uri).await?;
        }
    }

    async fn submit(&self, statement: &str, headers: HeaderMap) -> Result<Page, Failed> {
        let uri = format!("{}/v1/statement", self.server);
        let body = Bytes::copy_from_slice(statement.as_bytes());
        self.ask(Method::POST, &uri, headers, body).await
    }

    /// The next page.
    pub async fn get(&self, uri: &str) -> Result<Page, Failed> {
        self.ask(Method::GET, uri, HeaderMap::new(), Bytes::new()).await
    }

    /// Cancels the query that goes on at `uri`, if it can be reached.
    pub async fn cancel(&self, uri: &str) {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let sent = self.http.send(Method::DELETE, uri, headers, body, CANCEL_TIMEOUT).await;
        if let Err(reason) = sent {
            eprintln!("the query could not be cancelled: {reason}");
        }
    }

    /// Asks again, more and more slowly, while the server says that it cannot answer now, or the
    /// connection breaks on a page (asking for a page twice is safe; submitting twice is not).
    async fn ask(
        &self,
        method: Method,
        uri: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Page, Failed> {
        let give_up = Instant::now() + self.patience;
        let mut pause = Duration::ZERO;
        loop {
            let sent =
                self.http.send(method.clone(), uri, headers.clone(), body.clone(), ANSWER_TIMEOUT);
            let failed = match sent.await {
                Ok(answer) if answer.status == StatusCode::OK => return page(&answer),
                Ok(answer) if is_passing(answer.status) => refused(&answer),
                Ok(answer) => return Err(refused(&answer)),
                Err(reason) if method == Method::GET => Failed(reason),
                Err(reason) => return Err(Failed(reason)),
            };
            pause = (pause + Duration::from_millis(100)).min(Duration::from_secs(2));
            if Instant::now() + pause > give_up {
                return Err(failed);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn is_passing(status: StatusCode) -> bool {
    use StatusCode as S;
    matches!(status, S::BAD_GATEWAY | S::SERVICE_UNAVAILABLE | S::GATEWAY_TIMEOUT)
}

fn refused(answer: &Answer) -> Failed {
    let text = String::from_utf8_lossy(&answer.body);
    let text: String = text.trim().chars().take(1000).collect();
    Failed(format!("the server answered {}: {text}", answer.status))
}

fn page(answer: &Answer) -> Result<Page, Failed> {
    let page: Result<Page, _> = serde_json::from_slice(&answer.body);
    let mut page = page.map_err(|e| Failed(format!("the answer is not Trino's protocol: {e}")))?;
    page.changes = answer.headers.clone();
    Ok(page)
}
