//! What a stack answers when something went wrong inside it: the whole error policy of a port.

use std::any::Any;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tower::BoxError;
use tower::load_shed::error::Overloaded;

/// Maps the causes that layers fail with to answers. Texts of unknown causes stay in the log: they
/// are not for a peer's eyes.
pub(crate) async fn failed(error: BoxError) -> Response {
    if error.is::<Overloaded>() {
        let text = "overloaded: try again later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")], text).into_response();
    }
    tracing::error!(error = error.as_ref(), "request failed");
    internal_error()
}

/// Answers for a handler that panicked. The panic's text is logged here and by the panic hook.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("not a text"), "request handler panicked");
    internal_error()
}

fn internal_error() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "internal error: see the node's log\n").into_response()
}
