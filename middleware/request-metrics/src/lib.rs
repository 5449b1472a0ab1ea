//! A Tower layer that counts HTTP requests, their outcomes and their durations with the crate
//! `metrics`.
//!
//! Layout: [`RequestMetricsLayer`] makes [`RequestMetrics`]; [`Route`] is the slot through which
//! whoever routes the request tells its name.
//!
//! What is recorded, each with the labels that the caller gave to the layer (`NAME` is the prefix
//! that the caller gave):
//!
//! | metric | kind | labels |
//! |---|---|---|
//! | `NAME_requests_total` | counter | `route`, `method`, `status` (`2xx`, …, `error`, `dropped`) |
//! | `NAME_request_duration_seconds` | histogram, to the head of the response | `route` |
//! | `NAME_requests_in_flight` | gauge | |
//!
//! The layer may stand outside of the router, where the route is not known yet: it puts a
//! [`Route`] into the request's extensions, and the router's own middleware names it. Requests
//! that nobody named count under `other`, so that a stranger who invents paths makes no new time
//! series.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Method, Request, Response};
use metrics::{Label, SharedString};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// The name of the route that answers a request: a slot in the request's extensions, empty until
/// the router names it.
#[derive(Debug, Clone, Default)]
pub struct Route(Arc<OnceLock<SharedString>>);

impl Route {
    /// Names the route. The first name stays. Names must be few: templates, not paths.
    pub fn name(&self, name: impl Into<SharedString>) {
        let _ = self.0.set(name.into());
    }

    fn label(&self) -> SharedString {
        self.0.get().cloned().unwrap_or_else(|| SharedString::const_str("other"))
    }
}

/// Makes [`RequestMetrics`].
#[derive(Debug, Clone)]
pub struct RequestMetricsLayer {
    names: Arc<Names>,
}

/// Counts the requests that pass through it.
#[derive(Debug, Clone)]
pub struct RequestMetrics<S> {
    inner: S,
    names: Arc<Names>,
}

#[derive(Debug)]
struct Names {
    requests: SharedString,
    duration: SharedString,
    in_flight: SharedString,
    labels: Vec<Label>,
}

pin_project! {
    /// Future of [`RequestMetrics`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        recording: Recording,
    }
}

/// One request under way: its end is recorded once, on drop at the latest.
#[derive(Debug)]
struct Recording {
    names: Arc<Names>,
    route: Route,
    method: &'static str,
    started: Instant,
    recorded: bool,
}

// === impl RequestMetricsLayer ===

impl RequestMetricsLayer {
    /// A layer whose metrics start with `prefix` (for example `shop_http`) and carry `labels`.
    pub fn new(prefix: &str, labels: Vec<Label>) -> Self {
        let names = Names {
            requests: format!("{prefix}_requests_total").into(),
            duration: format!("{prefix}_request_duration_seconds").into(),
            in_flight: format!("{prefix}_requests_in_flight").into(),
            labels,
        };
        Self { names: Arc::new(names) }
    }
}

impl<S> Layer<S> for RequestMetricsLayer {
    type Service = RequestMetrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestMetrics { inner, names: self.names.clone() }
    }
}

// === impl RequestMetrics ===

impl<S, B, R> Service<Request<B>> for RequestMetrics<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let route = Route::default();
        request.extensions_mut().insert(route.clone());
        let recording = Recording::start(self.names.clone(), route, request.method());
        ResponseFuture { inner: self.inner.call(request), recording }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let status = match &result {
            Ok(response) => status_class(response.status().as_u16()),
            Err(_) => "error",
        };
        this.recording.record(status);
        Poll::Ready(result)
    }
}

// === impl Recording ===

impl Recording {
    fn start(names: Arc<Names>, route: Route, method: &Method) -> Self {
        let method = known_method(method);
        metrics::gauge!(names.in_flight.clone(), names.labels.iter()).increment(1.0);
        Self { names, route, method, started: Instant::now(), recorded: false }
    }

    fn record(&mut self, status: &'static str) {
        if std::mem::replace(&mut self.recorded, true) {
            return;
        }
        let Names { requests, duration, in_flight, labels } = self.names.as_ref();
        metrics::gauge!(in_flight.clone(), labels.iter()).decrement(1.0);

        let mut labels = labels.clone();
        labels.push(Label::new("route", self.route.label()));
        let seconds = self.started.elapsed().as_secs_f64();
        metrics::histogram!(duration.clone(), labels.iter()).record(seconds);

        labels.push(Label::from_static_parts("method", self.method));
        labels.push(Label::from_static_parts("status", status));
        metrics::counter!(requests.clone(), labels.iter()).increment(1);
    }
}

impl Drop for Recording {
    // A caller that goes away drops the future: its request must leave the gauge too.
    fn drop(&mut self) {
        self.record("dropped");
    }
}

fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// Methods are free text on the wire: unknown ones share a label.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use http::StatusCode;
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
    use tower::{ServiceBuilder, ServiceExt};

    use super::*;

    fn layer() -> RequestMetricsLayer {
        RequestMetricsLayer::new("shop_http", vec![Label::new("node", "n1")])
    }

    /// Runs on one thread, so that the local recorder sees everything.
    fn recorded(run: impl AsyncFnOnce(PrometheusHandle)) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        metrics::with_local_recorder(&recorder, || runtime.block_on(run(handle)));
    }

    #[track_caller]
    fn assert_has(handle: &PrometheusHandle, line: &str) {
        let text = handle.render();
        assert!(text.lines().any(|l| l == line), "{line} not in {text}");
    }

    #[test]
    fn requests_count_by_route_method_and_status_class() {
        recorded(async |metrics| {
            let service = ServiceBuilder::new().layer(layer()).service_fn(
                |request: Request<()>| async move {
                    let route: &Route = request.extensions().get().unwrap();
                    route.name("/items/{id}");
                    let response = Response::builder().status(StatusCode::NOT_FOUND);
                    Ok::<_, Infallible>(response.body(()).unwrap())
                },
            );
            for _ in 0..2 {
                service.clone().oneshot(Request::get("/items/7").body(()).unwrap()).await.unwrap();
            }
            assert_has(
                &metrics,
                r#"shop_http_requests_total{node="n1",route="/items/{id}",method="GET",status="4xx"} 2"#,
            );
            assert_has(&metrics, r#"shop_http_requests_in_flight{node="n1"} 0"#);
            assert_has(
                &metrics,
                r#"shop_http_request_duration_seconds_count{node="n1",route="/items/{id}"} 2"#,
            );
        });
    }

    #[test]
    fn dropped_request_leaves_the_gauge_and_counts_as_dropped() {
        recorded(async |metrics| {
            let mut service = ServiceBuilder::new().layer(layer()).service_fn(|_: Request<()>| {
                std::future::pending::<Result<Response<()>, Infallible>>()
            });
            let request = Request::builder().method("BREW").uri("/pot").body(()).unwrap();
            let response = service.ready().await.unwrap().call(request);
            assert_has(&metrics, r#"shop_http_requests_in_flight{node="n1"} 1"#);
            drop(response);
            assert_has(&metrics, r#"shop_http_requests_in_flight{node="n1"} 0"#);
            assert_has(
                &metrics,
                r#"shop_http_requests_total{node="n1",route="other",method="other",status="dropped"} 1"#,
            );
        });
    }

    #[test]
    fn failed_service_counts_as_error() {
        recorded(async |metrics| {
            let service = ServiceBuilder::new()
                .layer(layer())
                .service_fn(|_: Request<()>| async { Err::<Response<()>, _>("broken") });
            assert!(service.oneshot(Request::put("/").body(()).unwrap()).await.is_err());
            assert_has(
                &metrics,
                r#"shop_http_requests_total{node="n1",route="other",method="PUT",status="error"} 1"#,
            );
        });
    }
}
