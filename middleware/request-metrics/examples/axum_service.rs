//! A stranger's axum service with request metrics: `cargo run --example axum_service`, then
//! `curl http://127.0.0.1:3000/items/7`. Install any recorder of the crate `metrics` to read them.

use axum::Router;
use axum::extract::{MatchedPath, Path, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use metrics::Label;
use request_metrics::{RequestMetricsLayer, Route};
use tower::ServiceBuilder;

/// Tells the metrics, which stand outside of the router, which route was matched.
async fn name_route(path: MatchedPath, request: Request, next: Next) -> Response {
    if let Some(route) = request.extensions().get::<Route>() {
        route.name(path.as_str().to_owned());
    }
    next.run(request).await
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let routes = Router::new()
        .route("/items/{id}", get(|Path(id): Path<u32>| async move { format!("item {id}\n") }))
        .route_layer(from_fn(name_route));

    let labels = vec![Label::new("instance", "shop-1")];
    let service =
        ServiceBuilder::new().layer(RequestMetricsLayer::new("shop_http", labels)).service(routes);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, Router::new().fallback_service(service)).await
}
