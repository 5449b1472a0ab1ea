//! The layers around each request.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use internal_auth::{Audience, SignInternalJwtLayer};
use metrics::Label;
use request_metrics::{RequestMetricsLayer, Route};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder};
use tracing::Instrument;
use tracing::instrument::Instrumented;

use crate::connect::PeerConnector;

/// A request under way to a peer, from the outside.
pub(crate) type Stack = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, BoxError>;

type HttpClient = hyper_util::client::legacy::Client<PeerConnector, Full<Bytes>>;

/// The outbound request stack; the first is met first. The client inside connects by mutual TLS
/// with the certificate that the signer binds its tokens to.
pub(crate) fn outbound_request(
    labels: Vec<Label>,
    sign: SignInternalJwtLayer,
    client: HttpClient,
) -> Stack {
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            // First, so that all that is logged below names the peer.
            .layer_fn(RequestSpan)
            // To the head of the response; connecting counts, reading the body does not.
            .layer_fn(HeadTimeout)
            // Inside the timeout: a request that is given up counts as dropped.
            .layer(RequestMetricsLayer::new("waterbear_outbound", labels))
            .map_request(name_route)
            // Last: a token is made for the moment and for the connection's certificate.
            .layer(sign)
            .service(client),
    )
}

/// Requests are counted by the called role: paths hold ids, and would be a series each.
fn name_route<B>(request: Request<B>) -> Request<B> {
    let extensions = request.extensions();
    if let (Some(route), Some(audience)) = (extensions.get::<Route>(), extensions.get::<Audience>())
    {
        route.name(audience.role.clone());
    }
    request
}

/// Request extension: how logs name the peer.
#[derive(Clone)]
pub(crate) struct PeerLabel(pub(crate) Arc<str>);

/// Runs each request in a span with its peer, method and path.
#[derive(Clone)]
struct RequestSpan<S>(S);

impl<S, B> Service<Request<B>> for RequestSpan<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<PeerLabel>().map_or("", |label| &label.0);
        let span = tracing::debug_span!(
            "outbound",
            peer,
            method = %request.method(),
            path = request.uri().path()
        );
        let _entered = span.enter();
        self.0.call(request).instrument(span.clone())
    }
}

/// Request extension: how long the head of the response may take.
#[derive(Clone, Copy)]
pub(crate) struct HeadWithin(pub(crate) Duration);

/// The head of the response did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(crate) struct HeadTimedOut(pub(crate) Duration);

/// Gives a request up after the time in its extension [`HeadWithin`].
#[derive(Clone)]
struct HeadTimeout<S>(S);

impl<S, B> Service<Request<B>> for HeadTimeout<S>
where
    S: Service<Request<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let limit = request.extensions().get::<HeadWithin>().copied();
        let response = self.0.call(request);
        Box::pin(async move {
            let Some(HeadWithin(limit)) = limit else { return response.await };
            tokio::time::timeout(limit, response).await.map_err(|_| HeadTimedOut(limit))?
        })
    }
}
