//! `waterbear health`: asks a node whether it is ready.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use crate::sql::request::HttpClient;

/// Health checks are themselves given a few seconds.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Flags of `waterbear health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The node's HTTP port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
}

#[derive(Deserialize)]
struct Info {
    state: String,
    starting: bool,
}

/// Exits with 0 when the node is active and has started; else says why not and exits with 1.
pub async fn run(args: HealthArgs) -> ExitCode {
    match check(&args.url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("not healthy: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn check(url: &str) -> Result<(), String> {
    let url = url.trim_end_matches('/');
    let scheme = if url.contains("://") { "" } else { "http://" };
    let uri = format!("{scheme}{url}/v1/info");
    let http = HttpClient::new();
    let answer = http.send(Method::GET, &uri, HeaderMap::new(), Bytes::new(), TIMEOUT).await?;
    if answer.status != StatusCode::OK {
        return Err(format!("{uri} answered {}", answer.status));
    }
    let info: Info = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{uri} does not answer as a node: {error}"))?;
    match (info.state.as_str(), info.starting) {
        ("ACTIVE", false) => Ok(()),
        (_, true) => Err("still starting".to_owned()),
        (state, false) => Err(format!("state is {state}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    async fn node_that_says(body: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/v1/info", get(move || async move { body }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    #[tokio::test]
    async fn only_an_active_started_node_is_healthy() {
        let url = node_that_says(r#"{"state":"ACTIVE","starting":false,"nodeId":"n"}"#).await;
        assert_eq!(check(&url).await, Ok(()));
        assert_eq!(check(url.trim_start_matches("http://")).await, Ok(()));
        let url = node_that_says(r#"{"state":"ACTIVE","starting":true}"#).await;
        assert_eq!(check(&url).await, Err("still starting".to_owned()));
        let url = node_that_says(r#"{"state":"DRAINING","starting":false}"#).await;
        assert_eq!(check(&url).await, Err("state is DRAINING".to_owned()));
        let url = node_that_says("hello").await;
        assert!(check(&url).await.unwrap_err().contains("does not answer as a node"));
    }

    #[tokio::test]
    async fn nobody_there_is_not_healthy() {
        let reason = check("http://127.0.0.1:1").await.unwrap_err();
        assert!(reason.contains("127.0.0.1:1") && reason.contains("refused"), "{reason}");
    }
}
