//! Pages over the internal HTTP client.

use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use waterbear_outbound::{InternalClient, OutboundError, Peer};
use waterbear_protocol::Failure;
use waterbear_protocol::task::INCARNATION_HEADER;
use waterbear_protocol::task::results::{COMPLETE_HEADER, NEXT_TOKEN_HEADER};

use crate::fetch::{Answer, Fetch, FetchError, Fetched, PageRequest, Source};
use crate::page::{MAX_PAGE_BYTES, PageAssembler};

/// How long a producer may take beyond the wait that it was allowed.
const GRACE: Duration = Duration::from_secs(10);
/// How long a body may stand still.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal's text is read.
const REFUSAL_BYTES: usize = 64 << 10;

/// Asks producers with signed requests, on the connections of `client`.
#[derive(Clone)]
pub struct HttpFetch {
    client: InternalClient,
}

impl HttpFetch {
    /// Asks through `client`, which should be one of the exchange channel.
    pub fn new(client: InternalClient) -> Self {
        Self { client }
    }

    async fn send(
        &self,
        source: &Source,
        method: Method,
        path: &str,
        timeout: Duration,
    ) -> Result<http::Response<Incoming>, FetchError> {
        let node = &source.producer.node;
        let mut headers = HeaderMap::new();
        let incarnation = HeaderValue::try_from(node.incarnation.to_string())
            .map_err(|error| FetchError::Refused(error.to_string()))?;
        headers.insert(HeaderName::from_static(INCARNATION_HEADER), incarnation);
        let peer = Peer::Node(node.clone());
        let response = self.client.send(&peer, method, path, headers, Default::default(), timeout);
        let response = response.await.map_err(fetch_error)?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    async fn fetch(&self, source: &Source, request: PageRequest) -> Result<Answer, FetchError> {
        let path = format!(
            "{}/{}?max_wait_ms={}&max_bytes={}",
            results_path(source),
            request.token,
            request.max_wait.as_millis(),
            request.max_bytes,
        );
        let response = self.send(source, Method::GET, &path, request.max_wait + GRACE).await?;
        let (head, mut body) = response.into_parts();
        let mut pages = PageAssembler::new(request.max_bytes + MAX_PAGE_BYTES + 4);
        let malformed =
            |error: crate::page::TransferError| FetchError::Malformed(error.to_string());
        loop {
            let frame = tokio::time::timeout(PROGRESS_TIMEOUT, body.frame()).await;
            let Ok(frame) = frame else {
                let text = format!("no byte came for {} s", PROGRESS_TIMEOUT.as_secs());
                return Err(FetchError::TimedOut(text));
            };
            match frame {
                None => break,
                Some(Err(error)) => return Err(FetchError::Broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        pages.feed(data).map_err(malformed)?;
                    }
                }
            }
        }
        Ok(Answer {
            next_token: header(&head.headers, NEXT_TOKEN_HEADER)?,
            complete: header(&head.headers, COMPLETE_HEADER)?,
            wire_bytes: pages.received(),
            pages: pages.finish().map_err(malformed)?.into_iter().map(Fetched::Page).collect(),
        })
    }
}

impl Fetch for HttpFetch {
    fn pages<'a>(
        &'a self,
        source: &'a Source,
        request: PageRequest,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        Box::pin(self.fetch(source, request))
    }

    fn close<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<(), FetchError>> {
        Box::pin(async move {
            let path = results_path(source);
            self.send(source, Method::DELETE, &path, GRACE).await.map(drop)
        })
    }
}

fn results_path(source: &Source) -> String {
    let attempt = &source.producer.attempt;
    format!("/v1/task/{attempt}/results/{}/{}", source.partition, source.reader)
}

fn header<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Result<T, FetchError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| FetchError::Malformed(format!("the answer has no valid header {name}")))
}

fn fetch_error(error: OutboundError) -> FetchError {
    let text = error.to_string();
    match error {
        OutboundError::Refused { .. } => FetchError::Gone(text),
        OutboundError::Timeout { .. } => FetchError::TimedOut(text),
        OutboundError::Reset { .. } | OutboundError::Unreachable { .. } => FetchError::Broken(text),
        _ => FetchError::Refused(text),
    }
}

/// What an answer that is not a success means.
async fn refusal(response: http::Response<Incoming>) -> FetchError {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_BYTES).collect();
    let body = match tokio::time::timeout(PROGRESS_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => Default::default(),
    };
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    match status {
        StatusCode::GONE => match serde_json::from_slice::<Failure>(&body) {
            Ok(failure) => FetchError::Failed(Box::new(failure)),
            Err(_) => FetchError::Dropped(text),
        },
        StatusCode::CONFLICT => FetchError::Gone(text),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => FetchError::Overloaded,
        _ => FetchError::Refused(format!("it answered {status}: {text}")),
    }
}

impl std::fmt::Debug for HttpFetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpFetch").finish_non_exhaustive()
    }
}
