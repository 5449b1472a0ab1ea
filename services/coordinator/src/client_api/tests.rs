//! The client protocol over the router, as a client sees it.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use waterbear_protocol::client::QueryResults;

use super::encode::{Rows, append_rows};
use super::*;
use crate::query::{Output, OutputColumn, QueryHandle};
use crate::statements::tests::LocalRunner;
use waterbear_types::TrinoType;

/// All rows of an output as JSON text.
pub(crate) async fn rows_of(mut output: Output) -> Result<String, Failure> {
    let mut rows = Rows::default();
    while let Some(batch) = output.batches.next().await {
        append_rows(&batch?, 0, usize::MAX, true, &mut rows)?;
    }
    Ok(rows.text)
}

struct Client {
    app: Router,
    registry: Arc<QueryRegistry>,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn results(&self) -> QueryResults {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        let document: Value = serde_json::from_slice(&self.body).unwrap();
        for (key, value) in document.as_object().unwrap() {
            assert!(!value.is_null(), "{key} is null");
        }
        serde_json::from_value(document).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    fn new(runner: Arc<dyn StatementRunner>, timeout: Duration) -> Self {
        Self::over(Arc::new(QueryRegistry::new()), runner, timeout)
    }

    fn over(
        registry: Arc<QueryRegistry>,
        runner: Arc<dyn StatementRunner>,
        client_timeout: Duration,
    ) -> Self {
        let options = ClientApiOptions {
            client_timeout,
            process_forwarded: Forwarded::Reject,
            alternate_header: None,
            limits: QueryLimits::default(),
            ready: Ready::when(|| true),
            https: false,
            runtime: Handle::current(),
            endings: Endings::default(),
        };
        Self { app: routes(Arc::clone(&registry), runner, options), registry }
    }

    fn local() -> Self {
        let runner = LocalRunner::new();
        Self::over(Arc::clone(&runner.registry), Arc::new(runner), Duration::from_secs(60))
    }

    async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder().method(method).uri(uri).header("host", "wb:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, body: response.into_body().collect().await.unwrap().to_bytes() }
    }

    async fn get(&self, uri: &str) -> Reply {
        self.send("GET", uri, &[], "").await
    }

    async fn post(&self, sql: &str) -> QueryResults {
        let headers = [
            ("X-Trino-User", "alice"),
            ("X-Trino-Catalog", "tpch"),
            ("X-Trino-Schema", "tiny"),
            ("X-Trino-Client-Capabilities", "PARAMETRIC_DATETIME"),
        ];
        self.send("POST", "/v1/statement", &headers, sql).await.results()
    }

    /// Every answer from the POST to the last one.
    async fn follow(&self, sql: &str) -> Vec<QueryResults> {
        let mut answers = vec![self.post(sql).await];
        while let Some(next) = answers.last().unwrap().next_uri.clone() {
            answers.push(self.get(&next).await.results());
        }
        answers
    }
}

/// Gives bigints, so many to a batch, and counts the batches that were taken.
struct Numbers {
    batches: usize,
    rows: usize,
    taken: Arc<AtomicUsize>,
    ends: bool,
}

#[async_trait]
impl StatementRunner for Numbers {
    async fn run(&self, _query: Arc<QueryHandle>) -> Result<Output, Failure> {
        let rows = self.rows as i64;
        let taken = Arc::clone(&self.taken);
        let batches = stream::iter(0..self.batches as i64).map(move |number| {
            taken.fetch_add(1, Ordering::SeqCst);
            let column: ArrayRef =
                Arc::new(Int64Array::from_iter_values(number * rows..(number + 1) * rows));
            Ok(RecordBatch::try_from_iter([("n", column)]).unwrap())
        });
        let batches = match self.ends {
            true => batches.boxed(),
            false => batches.chain(stream::pending()).boxed(),
        };
        let column = OutputColumn { name: "n".into(), trino_type: TrinoType::Plain("bigint") };
        Ok(Output::rows(vec![column], batches))
    }
}

fn numbers(batches: usize, rows: usize, ends: bool) -> (Arc<Numbers>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    (Arc::new(Numbers { batches, rows, taken: Arc::clone(&taken), ends }), taken)
}

#[tokio::test]
async fn a_query_goes_from_queued_over_executing_to_its_end() {
    let client = Client::local();
    let answers = client.follow("SELECT n_name FROM nation ORDER BY 1").await;
    let post = &answers[0];
    assert_eq!(post.stats.state, "QUEUED");
    assert!(post.columns.is_none() && post.data.is_none());
    assert!(post.info_uri.starts_with("http://wb:8080/") && post.info_uri.contains(&post.id));
    assert!(post.next_uri.as_ref().unwrap().starts_with("http://wb:8080/v1/statement/queued/"));
    assert!(post.next_uri.as_ref().unwrap().ends_with("/1"));
    assert!(answers[1].next_uri.as_ref().unwrap().contains("/v1/statement/executing/"));
    assert!(answers[1].next_uri.as_ref().unwrap().ends_with("/0"));
    let with_rows: Vec<_> = answers.iter().filter(|answer| answer.data.is_some()).collect();
    assert!(with_rows.iter().all(|answer| answer.next_uri.is_some()));
    let rows: Vec<_> = with_rows.iter().flat_map(|answer| answer.data.clone().unwrap()).collect();
    assert_eq!(rows, vec![vec!["ALGERIA"], vec!["BRAZIL"], vec!["CHINA"]]);
    let last = answers.last().unwrap();
    assert_eq!(last.stats.state, "FINISHED");
    assert!(last.data.is_none() && last.error.is_none());
    let column = &last.columns.as_ref().unwrap()[0];
    assert_eq!((column.name.as_str(), column.type_name.as_str()), ("n_name", "varchar"));
    assert!(answers.iter().all(|answer| answer.id == post.id));
}

#[tokio::test]
async fn a_query_does_not_start_before_it_is_followed() {
    let (runner, taken) = numbers(1, 1, true);
    let client = Client::new(runner, Duration::from_millis(200));
    let post = client.post("x").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    assert_eq!(client.registry.all().len(), 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.registry.all().len(), 0, "never followed: dropped");
    let reply = client.get(&post.next_uri.unwrap()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_same_token_gets_the_same_answer() {
    let (runner, _) = numbers(3, 100_000, true);
    let client = Client::new(runner, Duration::from_secs(60));
    let queued = client.post("x").await.next_uri.unwrap();
    let first = client.get(&queued).await.results();
    assert_eq!(client.get(&queued).await.results().next_uri, first.next_uri);
    let executing = first.next_uri.unwrap();
    let page = client.get(&executing).await;
    let next = page.results().next_uri.unwrap();
    assert_eq!(client.get(&executing).await.body, page.body);
    let second = client.get(&next).await;
    assert_ne!(second.body, page.body);
    assert_eq!(client.get(&executing).await.status, StatusCode::GONE);
    assert_eq!(client.get(&next).await.body, second.body);
}

#[tokio::test]
async fn unknown_pages_are_not_found() {
    let client = Client::local();
    let queued = client.post("SELECT 1").await.next_uri.unwrap();
    let executing = client.get(&queued).await.results().next_uri.unwrap();
    let wrong_slug = executing.replace("/y", "/yy");
    let garbage = [
        "/v1/statement/executing/nope/y/0",
        "/v1/statement/executing/../y/0",
        "/v1/statement/queued/20200101_000000_00000_aaaaa/y00/1",
        "/v1/statement/executing/UPPER/y/x",
        "/v1/statement/executing/a/y/99999999999999999999999",
        wrong_slug.as_str(),
    ];
    for uri in garbage {
        for method in ["GET", "HEAD", "DELETE"] {
            let status = client.send(method, uri, &[], "").await.status;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {uri}");
        }
    }
    // Whose coordinator has died is told so.
    let earlier = client.get("/v1/statement/executing/20200101_000000_00000_aaaaa/y00/1").await;
    let text = String::from_utf8_lossy(&earlier.body);
    assert!(text.contains("before it was restarted"), "{text}");
    assert_eq!(client.get(&wrong_slug).await.body, "Query not found");
    // A slug opens its own token only.
    let other = executing.trim_end_matches("/0").to_owned() + "/1";
    assert_eq!(client.get(&other).await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.send("HEAD", &executing, &[], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn after_the_end_there_is_nothing() {
    let client = Client::local();
    let answers = client.follow("SELECT 1").await;
    let last_uri = answers[answers.len() - 2].next_uri.clone().unwrap();
    let again = client.get(&last_uri).await.results();
    assert_eq!(again.stats.state, "FINISHED");
    let id: QueryId = again.id.parse().unwrap();
    assert_eq!(client.registry.get(&id).unwrap().state().name(), "FINISHED");
}

#[tokio::test]
async fn long_results_come_in_pages_of_about_a_megabyte() {
    let (runner, _) = numbers(40, 8_192, true);
    let client = Client::new(runner, Duration::from_secs(60));
    let mut next = client.post("x").await.next_uri;
    let (mut count, mut pages, mut before) = (0, 0, 0);
    while let Some(uri) = next {
        let reply = client.get(&uri).await;
        assert!(reply.body.len() < (1 << 20) + 10_000, "{}", reply.body.len());
        let results = reply.results();
        for row in results.data.iter().flatten() {
            assert_eq!(row[0], count);
            count += 1;
        }
        pages += usize::from(results.data.is_some());
        assert!(results.stats.elapsed_time_millis >= before);
        before = results.stats.elapsed_time_millis;
        next = results.next_uri;
    }
    assert_eq!(count, 40 * 8_192);
    assert!((2..=5).contains(&pages), "{pages}");
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_engine() {
    let (runner, taken) = numbers(10_000, 8_192, true);
    let client = Client::new(runner, Duration::from_secs(60));
    let queued = client.post("x").await.next_uri.unwrap();
    let executing = client.get(&queued).await.results().next_uri.unwrap();
    let next = client.get(&executing).await.results().next_uri.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stopped = taken.load(Ordering::SeqCst);
    // A page is some twenty batches: the one that was read, and one ahead.
    assert!(stopped < 60, "{stopped}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(taken.load(Ordering::SeqCst), stopped);
    client.get(&next).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(taken.load(Ordering::SeqCst) > stopped);
}

#[tokio::test]
async fn an_empty_page_comes_after_a_second_without_rows() {
    let (runner, _) = numbers(0, 1, false);
    let client = Client::new(runner, Duration::from_secs(60));
    let queued = client.post("x").await.next_uri.unwrap();
    let executing = client.get(&queued).await.results().next_uri.unwrap();
    let start = std::time::Instant::now();
    let page = client.get(&executing).await.results();
    assert!((900..2_000).contains(&start.elapsed().as_millis()));
    assert_eq!(page.stats.state, "RUNNING");
    assert!(page.data.is_none() && page.columns.is_some() && page.next_uri.is_some());
}

#[tokio::test]
async fn delete_cancels() {
    let (runner, taken) = numbers(10, 1, false);
    let client = Client::new(runner, Duration::from_secs(60));
    let queued = client.post("x").await.next_uri.unwrap();
    let executing = client.get(&queued).await.results().next_uri.unwrap();
    let next = client.get(&executing).await.results().next_uri.unwrap();
    assert_eq!(client.send("DELETE", &next, &[], "").await.status, StatusCode::NO_CONTENT);
    let start = std::time::Instant::now();
    let last = client.get(&next).await.results();
    assert!(start.elapsed() < Duration::from_millis(500));
    let error = last.error.unwrap();
    assert_eq!((error.error_name.as_str(), error.error_code), ("USER_CANCELED", 3));
    assert_eq!(error.message, "Query was canceled");
    assert_eq!(last.stats.state, "FAILED");
    assert!(last.next_uri.is_none());
    assert!(taken.load(Ordering::SeqCst) > 0);
    // Cancelling again changes nothing.
    assert_eq!(client.send("DELETE", &next, &[], "").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_abandoned_query_fails() {
    let (runner, _) = numbers(10, 1, false);
    let client = Client::new(runner, Duration::from_millis(200));
    let queued = client.post("x").await.next_uri.unwrap();
    let executing = client.get(&queued).await.results().next_uri.unwrap();
    // A heartbeat keeps it alive.
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(client.send("HEAD", &executing, &[], "").await.status, StatusCode::OK);
    }
    assert!(!client.registry.all()[0].state().is_done());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let query = &client.registry.all()[0];
    assert_eq!(query.failure().unwrap().code, ErrorCode::ABANDONED_QUERY);
    assert!(query.cancellation().is_cancelled());
}

#[tokio::test]
async fn failures_are_in_the_last_answer() {
    let client = Client::local();
    for (sql, name, code) in [
        ("SELEC 1", "SYNTAX_ERROR", 1),
        ("SELECT * FROM nope", "TABLE_NOT_FOUND", 46),
        ("SELECT n_nationkey / 0 FROM nation", "DIVISION_BY_ZERO", 8),
        ("SELECT CAST(n_name AS bigint) FROM nation", "INVALID_CAST_ARGUMENT", 9),
        ("SELECT * FROM nation TABLESAMPLE BERNOULLI (10)", "NOT_SUPPORTED", 13),
    ] {
        let answers = client.follow(sql).await;
        let last = answers.last().unwrap();
        let error = last.error.as_ref().unwrap();
        assert_eq!((error.error_name.as_str(), error.error_code), (name, code), "{sql}: {error}");
        assert_eq!(last.stats.state, "FAILED");
        assert!(answers.iter().rev().skip(1).all(|answer| answer.error.is_none()));
    }
}

#[tokio::test]
async fn a_panic_of_the_engine_is_an_internal_error() {
    struct Panics;
    #[async_trait]
    impl StatementRunner for Panics {
        async fn run(&self, _query: Arc<QueryHandle>) -> Result<Output, Failure> {
            panic!("on purpose");
        }
    }
    let client = Client::new(Arc::new(Panics), Duration::from_secs(60));
    let error = client.follow("x").await.last().unwrap().error.clone().unwrap();
    assert_eq!(error.error_name, "GENERIC_INTERNAL_ERROR");
}

#[tokio::test]
async fn use_sets_the_clients_schema_on_every_answer() {
    let client = Client::local();
    let queued = client.post("USE TPCH.Tiny").await.next_uri.unwrap();
    let executing = client.get(&queued).await.results().next_uri.unwrap();
    let reply = client.get(&executing).await;
    assert_eq!(reply.headers["x-trino-set-catalog"], "tpch");
    assert_eq!(reply.headers["x-trino-set-schema"], "tiny");
    let results = reply.results();
    assert_eq!(results.update_type.as_deref(), Some("USE"));
    assert_eq!(results.stats.state, "FINISHED");
}

#[tokio::test]
async fn bad_requests_are_turned_away() {
    const USER: (&str, &str) = ("X-Trino-User", "u");
    type Headers = &'static [(&'static str, &'static str)];
    let client = Client::local();
    let cases: [(Headers, &str, StatusCode); 6] = [
        (&[], "SELECT 1", StatusCode::UNAUTHORIZED),
        (&[USER], "", StatusCode::BAD_REQUEST),
        (&[USER], " \n", StatusCode::BAD_REQUEST),
        (&[USER, ("X-Trino-Schema", "s")], "SELECT 1", StatusCode::BAD_REQUEST),
        (&[USER, ("X-Trino-Session", "oops")], "SELECT 1", StatusCode::BAD_REQUEST),
        (&[USER, ("X-Forwarded-For", "10.0.0.1")], "SELECT 1", StatusCode::NOT_ACCEPTABLE),
    ];
    for (headers, body, status) in cases {
        let reply = client.send("POST", "/v1/statement", headers, body).await;
        assert_eq!(reply.status, status, "{body:?} {headers:?}");
    }
    let refused = client.send("POST", "/v1/statement", &[], "SELECT 1").await;
    assert_eq!(refused.headers["www-authenticate"], "Basic realm=\"Trino\"");
    assert_eq!(client.send("HEAD", "/v1/statement", &[USER], "").await.status, StatusCode::OK);
    let nobody = client.send("HEAD", "/v1/statement", &[], "").await.status;
    assert_eq!(nobody, StatusCode::UNAUTHORIZED);
    let bytes = Request::post("/v1/statement")
        .header("X-Trino-User", "u")
        .body(Body::from(vec![0xff, 0xfe]));
    let reply = client.app.clone().oneshot(bytes.unwrap()).await.unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_session_that_cannot_be_fails_its_statement() {
    let client = Client::local();
    for (header, value, name) in [
        ("X-Trino-Session", "nope=1", "INVALID_SESSION_PROPERTY"),
        ("X-Trino-Session", "retry_policy=QUERY", "NOT_SUPPORTED"),
        ("X-Trino-Time-Zone", "Mars/Olympus", "NOT_SUPPORTED"),
    ] {
        let headers = [("X-Trino-User", "u"), (header, value)];
        let post = client.send("POST", "/v1/statement", &headers, "SELECT 1").await.results();
        assert!(post.error.is_none());
        let mut answer = post;
        while let Some(next) = answer.next_uri.clone() {
            answer = client.get(&next).await.results();
        }
        assert_eq!(answer.error.unwrap().error_name, name, "{header}: {value}");
    }
    let long = format!("SELECT '{}'", "x".repeat(QueryLimits::default().length));
    let error = client.follow(&long).await.last().unwrap().error.clone().unwrap();
    assert_eq!(error.error_name, "QUERY_TEXT_TOO_LARGE");
}

#[tokio::test]
async fn queries_are_listed_shown_and_ended() {
    let (runner, _) = numbers(1, 1, false);
    let client = Client::new(runner, Duration::from_secs(60));
    let user = [("X-Trino-User", "u")];
    let post = client.post("SELECT x").await;
    client.get(&post.next_uri.unwrap()).await;
    let uri = format!("/v1/query/{}", post.id);
    assert_eq!(client.get(&uri).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(client.get("/v1/query").await.status, StatusCode::UNAUTHORIZED);
    let shown = client.send("GET", &uri, &user, "").await.json();
    assert_eq!(shown["query"], "SELECT x");
    assert_eq!(shown["session"]["user"], "alice");
    assert_eq!(shown["self"], format!("http://wb:8080{uri}"));
    let list = client.send("GET", "/v1/query", &user, "").await.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let failed = client.send("GET", "/v1/query?state=FAILED", &user, "").await.json();
    assert_eq!(failed.as_array().unwrap().len(), 0);
    let killed = client.send("PUT", &format!("{uri}/killed"), &user, "enough").await.status;
    assert_eq!(killed, StatusCode::ACCEPTED);
    let again = client.send("PUT", &format!("{uri}/killed"), &user, "").await.status;
    assert_eq!(again, StatusCode::CONFLICT);
    let shown = client.send("GET", &uri, &user, "").await.json();
    assert_eq!(shown["state"], "FAILED");
    assert_eq!(shown["failureInfo"]["message"], "Query killed. Message: enough");
    assert_eq!(shown["errorCode"]["name"], "ADMINISTRATIVELY_KILLED");
    let unknown = client.send("GET", "/v1/query/nope", &user, "").await.status;
    assert_eq!(unknown, StatusCode::GONE);
    let deleted = client.send("DELETE", "/v1/query/nope", &user, "").await.status;
    assert_eq!(deleted, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_request_that_is_dropped_loses_no_page() {
    let (runner, _) = numbers(3, 200_000, true);
    let client = Client::new(runner, Duration::from_secs(60));
    let queued = client.post("x").await.next_uri.unwrap();
    let mut next = client.get(&queued).await.results().next_uri;
    let mut rows = 0;
    while let Some(uri) = next {
        for patience in [0, 1, 3] {
            let hurry = Duration::from_millis(patience);
            let _ = tokio::time::timeout(hurry, client.get(&uri)).await;
        }
        let results = client.get(&uri).await.results();
        rows += results.data.map_or(0, |rows| rows.len());
        next = results.next_uri;
    }
    assert_eq!(rows, 600_000);
}

/// Gives a failure, or says what it did: what statements that write look like to a client.
struct Writes;

#[async_trait]
impl StatementRunner for Writes {
    async fn run(&self, query: Arc<QueryHandle>) -> Result<Output, Failure> {
        let count = async { Ok(7) };
        let mut output = Output::update(query.sql(), count);
        output.changes.set_session = vec![("a".to_owned(), "b c".to_owned())];
        output.changes.clear_transaction = true;
        Ok(output)
    }
}

#[tokio::test]
async fn writes_tell_how_many_rows_and_headers_are_on_every_answer() {
    let client = Client::new(Arc::new(Writes), Duration::from_secs(60));
    let queued = client.post("INSERT").await.next_uri.unwrap();
    let mut next = client.get(&queued).await.results().next_uri;
    let mut rows = Vec::new();
    let mut last = None;
    while let Some(uri) = next {
        let reply = client.get(&uri).await;
        assert_eq!(reply.headers["x-trino-set-session"], "a=b+c");
        assert_eq!(reply.headers["x-trino-clear-transaction-id"], "true");
        let results = reply.results();
        assert_eq!(results.update_type.as_deref(), Some("INSERT"));
        rows.extend(results.data.clone().into_iter().flatten());
        next = results.next_uri.clone();
        last = Some(results);
    }
    let last = last.unwrap();
    assert_eq!(rows, vec![vec![serde_json::json!(7)]]);
    assert_eq!(last.update_count, Some(7));
    let column = &last.columns.unwrap()[0];
    assert_eq!((column.name.as_str(), column.type_name.as_str()), ("rows", "bigint"));
}

#[tokio::test]
async fn queries_wait_for_their_turn() {
    let (runner, _) = numbers(1, 1, false);
    let limits = QueryLimits { concurrent: 1, queued: 1, ..QueryLimits::default() };
    let registry = Arc::new(QueryRegistry::new());
    let options = ClientApiOptions {
        client_timeout: Duration::from_secs(60),
        process_forwarded: Forwarded::Reject,
        alternate_header: None,
        limits,
        ready: Ready::when(|| true),
        https: false,
        runtime: Handle::current(),
        endings: Endings::default(),
    };
    let client = Client { app: routes(Arc::clone(&registry), runner, options), registry };
    let running = client.post("a").await.next_uri.unwrap();
    let executing = client.get(&running).await.results().next_uri.unwrap();
    let second = client.post("b").await.next_uri.unwrap();
    let waiting = client.get(&second).await.results();
    assert_eq!((waiting.stats.state.as_str(), waiting.stats.queued), ("QUEUED", true));
    let waiting = waiting.next_uri.unwrap();
    assert!(waiting.contains("/queued/"), "{waiting}");
    let third = client.post("c").await.next_uri.unwrap();
    let refused = client.get(&third).await.results();
    let refused = client.get(&refused.next_uri.unwrap()).await.results();
    assert_eq!(refused.error.unwrap().error_name, "QUERY_QUEUE_FULL");
    // One that is cancelled while it waits never starts.
    assert_eq!(client.send("DELETE", &waiting, &[], "").await.status, StatusCode::NO_CONTENT);
    let cancelled = client.get(&waiting).await.results();
    let cancelled = client.get(&cancelled.next_uri.unwrap()).await.results();
    assert_eq!(cancelled.error.unwrap().error_name, "USER_CANCELED");
    let fourth = client.post("d").await.next_uri.unwrap();
    let waiting = client.get(&fourth).await.results().next_uri.unwrap();
    assert!(waiting.contains("/queued/"), "{waiting}");
    client.send("DELETE", &executing, &[], "").await;
    let started = client.get(&waiting).await.results().next_uri.unwrap();
    assert!(started.contains("/executing/"), "{started}");
}

#[tokio::test]
async fn a_session_limits_its_queries() {
    let (runner, _) = numbers(1, 1, false);
    let client = Client::new(runner, Duration::from_secs(60));
    let headers = [("X-Trino-User", "u"), ("X-Trino-Session", "query_max_run_time=300ms")];
    let mut answer = client.send("POST", "/v1/statement", &headers, "x").await.results();
    while let Some(next) = answer.next_uri.clone() {
        answer = client.get(&next).await.results();
    }
    let error = answer.error.unwrap();
    assert_eq!(error.error_name, "EXCEEDED_TIME_LIMIT");
    assert_eq!(error.message, "Query exceeded the maximum run time limit of 300.00ms");
}

#[tokio::test]
async fn an_alternate_prefix_is_answered_with_itself() {
    let options = ClientApiOptions {
        client_timeout: Duration::from_secs(60),
        process_forwarded: Forwarded::Reject,
        alternate_header: Some("Presto".to_owned()),
        limits: QueryLimits::default(),
        ready: Ready::when(|| true),
        https: false,
        runtime: Handle::current(),
        endings: Endings::default(),
    };
    let registry = Arc::new(QueryRegistry::new());
    let app = routes(Arc::clone(&registry), Arc::new(Writes), options);
    let client = Client { app, registry };
    let user = [("X-Presto-User", "u")];
    let queued = client.send("POST", "/v1/statement", &user, "INSERT").await.results();
    let executing = client.get(&queued.next_uri.unwrap()).await.results().next_uri.unwrap();
    let reply = client.get(&executing).await;
    assert_eq!(reply.headers["x-presto-set-session"], "a=b+c");
    assert!(!reply.headers.contains_key("x-trino-set-session"));
    let mixed = [("X-Presto-User", "u"), ("X-Trino-Source", "s")];
    let refused = client.send("POST", "/v1/statement", &mixed, "INSERT").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn clients_come_again_while_the_coordinator_starts() {
    let known = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&known);
    let options = ClientApiOptions {
        client_timeout: Duration::from_secs(60),
        process_forwarded: Forwarded::Reject,
        alternate_header: None,
        limits: QueryLimits::default(),
        ready: Ready::when(move || seen.load(Ordering::SeqCst)),
        https: false,
        runtime: Handle::current(),
        endings: Endings::default(),
    };
    let registry = Arc::new(QueryRegistry::new());
    let app = routes(Arc::clone(&registry), Arc::new(Writes), options);
    let client = Client { app, registry };
    let user = [("X-Trino-User", "u")];
    let early = client.send("POST", "/v1/statement", &user, "x").await;
    assert_eq!(early.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(early.headers["retry-after"], "1");
    known.store(true, Ordering::SeqCst);
    assert_eq!(client.send("POST", "/v1/statement", &user, "x").await.status, StatusCode::OK);
    let moved = client.get("/").await;
    assert_eq!(moved.status, StatusCode::SEE_OTHER);
    assert_eq!(moved.headers["location"], "http://wb:8080/ui/");
    assert_eq!(client.get("/ui/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_coordinator_that_ends_fails_its_queries_and_takes_no_more() {
    let (runner, _) = numbers(1_000_000, 1, false);
    let client = Client::new(runner, Duration::from_secs(60));
    let running = client.post("a").await.next_uri.unwrap();
    let executing = client.get(&running).await.results().next_uri.unwrap();
    let text = "coordinator c1 is shutting down";
    client.registry.close(&Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, text));
    let mut next = Some(executing);
    let error = loop {
        let results = client.get(&next.unwrap()).await.results();
        match results.error {
            Some(error) => break error,
            None => next = results.next_uri,
        }
    };
    assert_eq!((error.error_name.as_str(), error.message.as_str()), ("SERVER_SHUTTING_DOWN", text));
    let late = client.send("POST", "/v1/statement", &[("X-Trino-User", "u")], "b").await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(late.headers["retry-after"], "1");
}
