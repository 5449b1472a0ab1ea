//! What other nodes ask of a worker: see `waterbear_protocol::task` for the requests.

mod control;
mod results;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::StatusCode;
use http::request::Parts;
use internal_auth::Caller;
use tower::ServiceExt;
use waterbear_outbound::NodeSecurity;
use waterbear_protocol::membership::Role;
use waterbear_protocol::task::INCARNATION_HEADER;
use waterbear_serve::{stacks, state};
use waterbear_telemetry::ServiceMetrics;

use crate::Worker;

/// Bytes that a request to create a task may have.
const TASK_REQUEST_BYTES: usize = 64 << 20;

/// The task API, each half behind its own stack: statuses must not wait behind pages.
pub(crate) fn router(
    worker: &Arc<Worker>,
    security: &NodeSecurity,
    metrics: &ServiceMetrics,
) -> Router {
    let control = Router::new()
        .route("/v1/task/{attempt}", post(control::create).delete(control::abort))
        .route("/v1/task/{attempt}/status", get(control::status))
        .with_state(Arc::clone(worker))
        .merge(state::internal(worker.lifecycle.clone()));
    let control = stacks::internal_control(
        control,
        security.require(&[Role::Coordinator, Role::Operator]),
        metrics,
        TASK_REQUEST_BYTES,
    );
    let data = Router::new()
        .route("/v1/task/{attempt}/results/{partition}/{reader}/{token}", get(results::read))
        .route("/v1/task/{attempt}/results/{partition}/{reader}", delete(results::close))
        .with_state(Arc::clone(worker));
    let data = stacks::internal_data(
        data,
        security.require(&[Role::Worker, Role::Coordinator]),
        metrics,
        worker.limits.data_concurrency,
    );
    // A route per half would hand its own parameters on to the half's routes.
    Router::new().fallback(move |request: Request| {
        let half = if is_for_results(request.uri().path()) { &data } else { &control };
        half.clone().oneshot(request)
    })
}

fn is_for_results(path: &str) -> bool {
    path.split('/').nth(4) == Some("results")
}

/// The request names this process: not one that was at this address before it.
pub(crate) struct ForThisProcess;

impl FromRequestParts<Arc<Worker>> for ForThisProcess {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        worker: &Arc<Worker>,
    ) -> Result<Self, Self::Rejection> {
        let named = parts.headers.get(INCARNATION_HEADER).map(|value| value.as_bytes());
        let own = worker.node.incarnation.to_string();
        match named {
            Some(named) if named == own.as_bytes() => Ok(Self),
            Some(_) => {
                let text = format!(
                    "worker {} was restarted: this is another process than the one meant",
                    worker.node.node_id
                );
                Err((StatusCode::CONFLICT, text).into_response())
            }
            None => {
                let text = format!("the header {INCARNATION_HEADER} is missing");
                Err((StatusCode::BAD_REQUEST, text).into_response())
            }
        }
    }
}

/// The request comes from a coordinator.
pub(crate) struct FromCoordinator;

impl<S: Sync> FromRequestParts<S> for FromCoordinator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match parts.extensions.get::<Caller>() {
            Some(caller) if caller.role == Role::Coordinator.name() => Ok(Self),
            _ => Err((StatusCode::FORBIDDEN, "only a coordinator may do this").into_response()),
        }
    }
}
