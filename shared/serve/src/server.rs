//! Accepts connections, and drains them at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http::Extensions;
use internal_auth::CertificateThumbprint;
use internal_tls::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use waterbear_telemetry::{LogLimit, variant_name};

use crate::connection::{Connection, PeerAddress};

/// Handshakes at once: a flood of them must not take all memory. More are refused.
const MAX_HANDSHAKES: usize = 1024;

/// Pause after a failed accept: the process has no file handle left, and hammering frees none.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// Serves HTTP/1.1 and HTTP/2 on a listener until it is told to stop.
///
/// Every request carries a [`PeerAddress`] extension; under TLS also the peer's
/// [`internal_tls::PeerIdentity`] and [`CertificateThumbprint`]. Connections end with their
/// peer's certificate. Once `shutdown` is cancelled the port closes at once and requests under
/// way have 5 s to end; then the returned task ends.
pub struct Server {
    app: Router,
    security: Option<Security>,
    refusals: LogLimit,
    shutdown: CancellationToken,
}

struct Security {
    acceptor: Acceptor,
    handshakes: Semaphore,
}

impl Server {
    /// Serves `app` in clear.
    pub fn plain(
        listener: TcpListener,
        app: Router,
        shutdown: CancellationToken,
    ) -> JoinHandle<()> {
        Self::start(listener, app, None, shutdown)
    }

    /// Serves `app` to peers that prove who they are by their certificate.
    pub fn mutual_tls(
        listener: TcpListener,
        acceptor: Acceptor,
        app: Router,
        shutdown: CancellationToken,
    ) -> JoinHandle<()> {
        let handshakes = Semaphore::new(MAX_HANDSHAKES);
        Self::start(listener, app, Some(Security { acceptor, handshakes }), shutdown)
    }

    fn start(
        listener: TcpListener,
        app: Router,
        security: Option<Security>,
        shutdown: CancellationToken,
    ) -> JoinHandle<()> {
        let server = Self { app, security, refusals: LogLimit::per_minute(), shutdown };
        tokio::spawn(Arc::new(server).run(listener))
    }

    async fn run(self: Arc<Self>, listener: TcpListener) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // A task each, so that a slow handshake holds up nobody else.
                Ok((stream, peer)) => {
                    connections.spawn(self.clone().serve(stream, peer));
                }
                Err(error) => self.accept_failed(&error).await,
            }
        }
        // From here on the port refuses, which tells peers that this node is going.
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn accept_failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
            return;
        }
        let reason = error.kind().to_string();
        if let Some(held_back) = self.refusals.admit(&reason, Instant::now()) {
            tracing::error!(%error, held_back, "cannot accept connections");
        }
        tokio::time::sleep(ACCEPT_BACK_OFF).await;
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Answers are small and awaited: never held back for more.
        let _ = stream.set_nodelay(true);
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddress(peer));
        let connection = Connection {
            app: self.app.clone(),
            extensions,
            ends_at: None,
            shutdown: self.shutdown.clone(),
        };
        match &self.security {
            None => connection.serve(stream).await,
            Some(security) => self.serve_secured(security, connection, stream, peer).await,
        }
    }

    async fn serve_secured(
        &self,
        security: &Security,
        mut connection: Connection,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        let Ok(permit) = security.handshakes.try_acquire() else {
            let text = "too many handshakes at once";
            return self.refused(peer, text, text);
        };
        let accepted = tokio::select! {
            () = self.shutdown.cancelled() => return,
            accepted = security.acceptor.accept(stream) => accepted,
        };
        drop(permit);
        match accepted {
            Ok((stream, identity)) => {
                connection.extensions.insert(CertificateThumbprint(identity.thumbprint));
                connection.ends_at = Some(identity.not_after);
                connection.extensions.insert(identity);
                connection.serve(stream).await;
            }
            Err(error) => self.refused(peer, &variant_name(&error), &error.to_string()),
        }
    }

    fn refused(&self, peer: SocketAddr, cause: &str, reason: &str) {
        if let Some(held_back) = self.refusals.admit(cause, Instant::now()) {
            tracing::warn!(%peer, reason, held_back, "connection refused");
        }
    }
}
