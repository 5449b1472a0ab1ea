//! The inbound stacks: each one expression, top = met first. Each wraps the finished router, so
//! that limits hold for all its routes together and unknown paths pass through them too.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use internal_auth::RequireInternalJwtLayer;
use request_metrics::{RequestMetricsLayer, Route};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::trace::{DefaultOnResponse, MakeSpan, TraceLayer};
use tracing::{Level, Span};
use waterbear_telemetry::{LogLimit, ServiceMetrics, variant_name};

use crate::rescue;

/// Announce, watch, create, status, abort. Nothing here is shed and nothing waits in a queue:
/// heartbeats must not die of load.
pub fn internal_control(
    routes: Router,
    require: RequireInternalJwtLayer,
    metrics: &ServiceMetrics,
    body_limit: usize,
) -> Router {
    let service = ServiceBuilder::new()
        .layer(span_layer())
        // Outside of rescue: what it answers is counted by the status that the peer sees.
        .layer(metrics_layer(metrics))
        // Panics are all there is to rescue: no layer below fails.
        .layer(CatchPanicLayer::custom(rescue::panicked))
        // Sees the refusals of the layer below.
        .map_response(refusals_logged())
        // Before the body is looked at: a stranger's bytes are not read.
        .layer(require)
        .map_response(boxed)
        .layer(RequestBodyLimitLayer::new(body_limit))
        .layer(DefaultBodyLimit::disable())
        .service(named(routes));
    Router::new().fallback_service(service)
}

/// Exchange pages.
pub fn internal_data(
    routes: Router,
    require: RequireInternalJwtLayer,
    metrics: &ServiceMetrics,
    concurrency: usize,
) -> Router {
    let service = ServiceBuilder::new()
        .layer(span_layer())
        .layer(metrics_layer(metrics))
        .layer(HandleErrorLayer::new(rescue::failed))
        .layer(CatchPanicLayer::custom(rescue::panicked))
        // Shedding needs the limit below it, which is what says "not ready".
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(concurrency))
        .map_response(refusals_logged())
        // Below the limit: verifying tokens is work too.
        .layer(require)
        .layer(DefaultBodyLimit::max(64 << 10))
        .service(named(routes));
    Router::new().fallback_service(service)
}

/// The client API.
pub fn client(
    routes: Router,
    metrics: &ServiceMetrics,
    concurrency: usize,
    body_limit: usize,
) -> Router {
    let service = ServiceBuilder::new()
        .layer(span_layer())
        .layer(metrics_layer(metrics))
        .layer(HandleErrorLayer::new(rescue::failed))
        .layer(CatchPanicLayer::custom(rescue::panicked))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(concurrency))
        .layer(RequestBodyLimitLayer::new(body_limit))
        .layer(DefaultBodyLimit::disable())
        // Nearest to the routes: it touches only pages that are really sent. Fastest, since pages
        // are read at once and the processor is shared with the planner.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .service(named(routes));
    Router::new().fallback_service(service)
}

/// The limits of bodies change the type of the answer's body, which `require` must be able to make.
fn boxed<B>(response: http::Response<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(Body::new)
}

/// Says why requests were refused, at most once a minute per reason.
fn refusals_logged() -> impl Fn(Response) -> Response + Clone {
    let limit = Arc::new(LogLimit::per_minute());
    move |response| {
        if let Some(refusal) = response.extensions().get::<internal_auth::Refusal>()
            && let Some(held_back) = limit.admit(&variant_name(refusal), Instant::now())
        {
            tracing::warn!(reason = %refusal, held_back, "internal request refused");
        }
        response
    }
}

/// What makes spans and does nothing but that.
type SpanLayer = TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    RequestSpan,
    (),
    DefaultOnResponse,
    (),
    (),
    (),
>;

/// One span for each request, from its head to the end of its answer's body.
fn span_layer() -> SpanLayer {
    TraceLayer::new_for_http()
        .make_span_with(RequestSpan)
        .on_request(())
        .on_response(DefaultOnResponse::new().level(Level::DEBUG))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

#[derive(Clone)]
struct RequestSpan;

impl<B> MakeSpan<B> for RequestSpan {
    fn make_span(&mut self, request: &http::Request<B>) -> Span {
        let path = shown(request.uri().path());
        tracing::info_span!("request", method = %request.method(), path)
    }
}

/// The path as far as a log may show it: what follows the query's id in the client API is the
/// secret by which its owner is known.
fn shown(path: &str) -> &str {
    let end = path.match_indices('/').nth(4).map_or(path.len(), |(index, _)| index);
    &path[..end]
}

fn metrics_layer(metrics: &ServiceMetrics) -> RequestMetricsLayer {
    RequestMetricsLayer::new("waterbear_http", metrics.labels())
}

/// The routes, each telling the metrics outside of the router which template it matched.
fn named(routes: Router) -> Router {
    async fn name(path: MatchedPath, request: Request, next: Next) -> Response {
        if let Some(route) = request.extensions().get::<Route>() {
            route.name(path.as_str().to_owned());
        }
        next.run(request).await
    }
    // route_layer panics on a router without routes, which has nothing to name.
    if routes.has_routes() { routes.route_layer(from_fn(name)) } else { routes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_the_query_but_not_the_secret_of_its_uri() {
        let path = "/v1/statement/executing/20260101_000000_00000_abcde/y0123/7";
        assert_eq!(shown(path), "/v1/statement/executing/20260101_000000_00000_abcde");
        assert_eq!(shown("/v1/task/q.0.0.0/status"), "/v1/task/q.0.0.0/status");
        assert_eq!(shown("/"), "/");
    }
}
