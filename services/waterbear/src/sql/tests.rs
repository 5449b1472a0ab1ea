//! The client against a scripted server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::*;

/// Answers with the next of its answers, whatever is asked, and notes what was.
#[derive(Default)]
struct Script {
    answers: Vec<Response>,
    asked: Vec<String>,
}

struct Server {
    script: Arc<Mutex<Script>>,
    url: String,
}

impl Server {
    async fn start(answers: impl FnOnce(&str) -> Vec<Response>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut answers = answers(&url);
        answers.reverse();
        let script = Arc::new(Mutex::new(Script { answers, asked: Vec::new() }));
        let app = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { script, url }
    }

    fn runner(&self) -> Runner<Vec<u8>> {
        Runner {
            client: Client::new(&self.url, Duration::from_secs(30)).unwrap(),
            session: Session::new(Some("ann".to_owned()), None, None, Vec::new()),
            format: OutputFormat::Csv,
            out: Vec::new(),
            shows: Shows::default(),
            ignore_errors: false,
            passed_over: false,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.clone()
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| {
        head.headers.get(name).map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned())
    };
    let session = format!("{}.{}", header("x-trino-catalog"), header("x-trino-schema"));
    let body = String::from_utf8_lossy(&body);
    let mut script = script.lock().unwrap();
    script.asked.push(format!("{} {} {session} {body}", head.method, head.uri.path()));
    script.answers.pop().unwrap_or_else(|| StatusCode::NO_CONTENT.into_response())
}

fn page(mut page: Value) -> Response {
    page["id"] = "20260101_000000_00000_abcde".into();
    page["stats"] = json!({"state": "RUNNING"});
    ([("content-type", "application/json")], page.to_string()).into_response()
}

fn columns() -> Value {
    json!([{"name": "n", "type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}])
}

fn failure(stop: Stop) -> String {
    match stop {
        Stop::Failed(text) => text,
        _ => panic!("not a failure"),
    }
}

#[tokio::test]
async fn pages_are_followed_to_the_end_through_busy_answers() {
    let server = Server::start(|url| {
        let next = |token: u32| format!("{url}/v1/statement/executing/q/slug/{token}");
        vec![
            page(json!({"nextUri": next(0)})),
            (StatusCode::SERVICE_UNAVAILABLE, "overloaded").into_response(),
            page(json!({"nextUri": next(1), "columns": columns(), "data": [[9223372036854775807_i64]]})),
            page(json!({"nextUri": next(2), "columns": columns(), "data": [[2]]})),
            page(json!({"columns": columns()})),
        ]
    })
    .await;
    let mut runner = server.runner();
    assert!(runner.run_text("select n from t;").await.is_ok());
    assert_eq!(String::from_utf8(runner.out).unwrap(), "\"9223372036854775807\"\n\"2\"\n");
    let asked = server.asked();
    assert_eq!(asked[0], "POST /v1/statement -.- select n from t");
    assert_eq!(asked[1], asked[2], "the busy answer is asked for again");
    assert_eq!(asked.len(), 5);
}

#[tokio::test]
async fn use_changes_the_session_of_later_statements() {
    let server = Server::start(|_| {
        let used = page(json!({"updateType": "USE"}));
        let headers = [("x-trino-set-catalog", "tpch"), ("x-trino-set-schema", "tiny")];
        vec![(headers, used).into_response(), page(json!({"columns": columns()}))]
    })
    .await;
    let mut runner = server.runner();
    assert!(runner.run_text("use tpch.tiny; select 1").await.is_ok());
    assert_eq!(String::from_utf8(runner.out).unwrap(), "USE\n");
    assert_eq!(
        server.asked(),
        ["POST /v1/statement -.- use tpch.tiny", "POST /v1/statement tpch.tiny select 1"]
    );
}

#[tokio::test]
async fn failed_query_names_its_place_and_ends_the_run() {
    let server = Server::start(|_| {
        let error = json!({
            "message": "line 2:6: Table 'tpch.tiny.x' does not exist", "errorCode": 46,
            "errorName": "TABLE_NOT_FOUND", "errorType": "USER_ERROR",
            "errorLocation": {"lineNumber": 2, "columnNumber": 6},
        });
        vec![page(json!({"error": error}))]
    })
    .await;
    let stop = server.runner().run_text("select *\nfrom x;\nselect 2").await.unwrap_err();
    assert_eq!(
        failure(stop),
        "Query 20260101_000000_00000_abcde failed: line 2:6: Table 'tpch.tiny.x' does not exist\n\
         LINE 2: from x\n             ^"
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn errors_can_be_passed_over() {
    let error = json!({"message": "no", "errorCode": 1, "errorName": "SYNTAX_ERROR",
        "errorType": "USER_ERROR"});
    let answers = |_: &str| {
        vec![page(json!({"error": error})), page(json!({"columns": columns(), "data": [[1]]}))]
    };
    let server = Server::start(answers).await;
    let mut runner = server.runner();
    runner.ignore_errors = true;
    assert!(runner.run_text("x; select 1").await.is_ok());
    assert_eq!(String::from_utf8(runner.out.clone()).unwrap(), "\"1\"\n");
    assert!(matches!(runner.end(), Err(Stop::PassedOver)));
}

#[tokio::test]
async fn garbage_and_refusals_are_one_clear_error() {
    let garbage = Server::start(|_| vec!["<html>".into_response()]).await;
    let text = failure(garbage.runner().run_text("select 1").await.unwrap_err());
    assert!(
        text.starts_with("Error running command: the answer is not Trino's protocol"),
        "{text}"
    );

    let refusal = (StatusCode::UNAUTHORIZED, "who are you?\n");
    let refusing = Server::start(|_| vec![refusal.into_response()]).await;
    let text = failure(refusing.runner().run_text("select 1").await.unwrap_err());
    assert_eq!(text, "Error running command: the server answered 401 Unauthorized: who are you?");

    let mut runner = refusing.runner();
    runner.client = Client::new("127.0.0.1:1", Duration::from_secs(1)).unwrap();
    let text = failure(runner.run_text("select 1").await.unwrap_err());
    assert!(text.contains("http://127.0.0.1:1: Connection refused"), "{text}");
}

#[tokio::test]
async fn query_is_cancelled_when_its_output_is_closed() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start(|url| {
        let next = format!("{url}/v1/statement/executing/q/slug/1");
        vec![page(json!({"nextUri": next, "columns": columns(), "data": [[1]]}))]
    })
    .await;
    let Runner { client, session, format, shows, ignore_errors, passed_over, .. } = server.runner();
    let mut runner =
        Runner { client, session, format, out: Closed, shows, ignore_errors, passed_over };
    assert!(matches!(runner.run_text("select 1").await, Err(Stop::OutputClosed)));
    assert_eq!(server.asked()[1], "DELETE /v1/statement/executing/q/slug/1 -.- ");
}

#[test]
fn flags_are_those_of_trinos_cli() {
    use clap::Parser;
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        sql: SqlArgs,
    }
    let parse = |args: &[&str]| Cli::try_parse_from([&["sql"], args].concat()).map(|cli| cli.sql);
    let args = parse(&["--session", "a=b=c", "--execute", "x", "--output-format", "tsv_header"]);
    let args = args.unwrap();
    assert_eq!(args.session, [("a".to_owned(), "b=c".to_owned())]);
    assert_eq!(args.output_format, Some(OutputFormat::TsvHeader));
    assert_eq!(args.server_and_session().unwrap().0, "http://127.0.0.1:8080");
    let args = parse(&["http://db:1/tpch/tiny", "--client-request-timeout", "2m"]).unwrap();
    let (server, session) = args.server_and_session().unwrap();
    assert_eq!((server.as_str(), session.place()), ("http://db:1", (Some("tpch"), Some("tiny"))));
    assert_eq!(args.client_request_timeout, Duration::from_secs(120));
    assert!(parse(&["db:1/a/b/c"]).unwrap().server_and_session().is_err());
    assert!(parse(&["--client-request-timeout", "2 weeks"]).is_err());
    assert!(parse(&["--execute", "x", "--file", "y"]).is_err());
    assert!(parse(&["--session", "novalue"]).is_err());
}
