//! The life of one connection: its requests, its end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Extensions, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Who sent a request, by address: in the extensions of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Time for a request's head, and for a connection to send its first request at all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time that requests under way have once their connection is to end.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// A peer that answers no ping this long is gone, whatever TCP says.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
const MAX_FRAME: u32 = 1 << 20;
/// Long polls of many tasks share one connection.
const MAX_STREAMS: u32 = 1024;

/// What a connection is served with.
pub(crate) struct Connection {
    /// Answers the requests.
    pub app: Router,
    /// Put into each request.
    pub extensions: Extensions,
    /// When the peer's proof of identity ends, and so the connection.
    pub ends_at: Option<SystemTime>,
    /// The process is about to end.
    pub shutdown: CancellationToken,
}

impl Connection {
    /// Serves `io` until the peer closes it or the connection's time is over.
    pub async fn serve<I>(self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connection { app, extensions, ends_at, shutdown } = self;
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let asked = asked.clone();
            hyper::service::service_fn(move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                answer(app.clone(), extensions.clone(), request)
            })
        };
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));

        tokio::select! {
            result = connection.as_mut() => return log_end(result),
            () = shutdown.cancelled() => {}
            () = passed(ends_at) => {}
            () = nothing_asked(&asked) => {}
        }
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(DRAIN_LIMIT, connection).await {
            Ok(result) => log_end(result),
            Err(_) => tracing::debug!("connection ended with requests under way"),
        }
    }
}

fn answer(
    app: Router,
    extensions: Extensions,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> {
    request.extensions_mut().extend(extensions);
    app.oneshot(request.map(Body::new))
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_TIMEOUT)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Resolves when `end` has come.
async fn passed(end: Option<SystemTime>) {
    match end {
        None => std::future::pending().await,
        // The wall clock may be set while we wait: look again at least each minute.
        Some(end) => {
            while let Ok(left) = end.duration_since(SystemTime::now()) {
                tokio::time::sleep(left.min(Duration::from_secs(60))).await;
            }
        }
    }
}

/// Resolves when the connection is old enough to have asked something and has not. The server's
/// own timeouts begin only once the protocol is known.
async fn nothing_asked(asked: &AtomicBool) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn log_end(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection broke");
    }
}
