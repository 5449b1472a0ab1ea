//! Plain HTTP requests.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client that keeps its connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl HttpClient {
    /// A client without connections.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// One request; `within` bounds the time to the end of its answer. Errors are texts for users.
    pub async fn send(
        &self,
        method: Method,
        uri: &str,
        headers: HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, String> {
        let request = Request::builder().method(method).uri(uri).body(Full::new(body));
        let mut request =
            request.map_err(|error| format!("'{uri}' is not a valid URL: {error}"))?;
        request.headers_mut().extend(headers);
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| causes(&e))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| causes(&e))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        let answer = tokio::time::timeout(within, exchange).await;
        answer
            .unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
            .map_err(|reason: String| format!("{}: {reason}", server_of(uri)))
    }
}

/// `http://host:port` of a URI: the rest may hold a secret.
fn server_of(uri: &str) -> &str {
    let after_scheme = uri.find("://").map_or(0, |index| index + 3);
    let path = uri[after_scheme..].find('/');
    path.map_or(uri, |index| &uri[..after_scheme + index])
}

/// The last cause says what users understand ("Connection refused").
fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
