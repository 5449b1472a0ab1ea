//! A connection to a peer: TCP, then mutual TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use internal_tls::{HandshakeError, Leaf, PeerIdentity};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::timeout::error::Elapsed;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder};

use crate::resolve::Addresses;

/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long resolving, TCP and TLS may take together.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(7);

/// Connects to peers with one certificate.
pub(crate) type PeerConnector = BoxCloneSyncService<Uri, PeerStream, BoxError>;

/// A connector that presents the leaf. `tls` is the leaf's configuration: it verifies who answers.
pub(crate) fn peer_connector(
    addresses: Addresses,
    tls: ClientConfig,
    leaf: &Leaf,
    http2: bool,
) -> PeerConnector {
    let mut tcp = HttpConnector::new_with_resolver(addresses);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    // Never both: the connection pool has to know beforehand.
    let https = if http2 {
        builder.enable_http2().wrap_connector(tcp)
    } else {
        builder.enable_http1().wrap_connector(tcp)
    };
    let (environment, not_after) = (leaf.name().environment.clone(), leaf.not_after());
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .map_result(move |connected: Result<_, BoxError>| {
                let stream = connected.map_err(of_handshake)?;
                PeerStream::new(stream, &environment, not_after)
            })
            .timeout(HANDSHAKE_TIMEOUT)
            .service(https),
    )
}

/// Names the cause of a failed handshake. Errors of TCP stay what they are.
fn of_handshake(error: BoxError) -> BoxError {
    if error.is::<Elapsed>() {
        return Box::new(HandshakeError::Timeout(HANDSHAKE_TIMEOUT));
    }
    match error.downcast::<io::Error>() {
        Ok(error) => Box::new(HandshakeError::from(*error)),
        Err(error) => error,
    }
}

/// A connection to a peer.
pub(crate) struct PeerStream {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    facts: Facts,
}

/// What is known of a connection: an extension of every response that came over it, and of errors.
#[derive(Clone)]
pub(crate) struct Facts {
    /// From when on no new request should take it.
    retired_from: Option<Instant>,
    /// Why the peer refused us, if it did after the handshake.
    refusal: Arc<OnceLock<Arc<HandshakeError>>>,
}

impl Facts {
    /// True when no new request should take the connection.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired_from.is_some_and(|from| Instant::now() >= from)
    }

    /// Why the peer refused us after the handshake.
    pub(crate) fn refusal(&self) -> Option<Arc<HandshakeError>> {
        self.refusal.get().cloned()
    }
}

impl PeerStream {
    /// Admits the peer. `environment` and `not_after` are this node's.
    fn new(
        stream: MaybeHttpsStream<TokioIo<TcpStream>>,
        environment: &str,
        not_after: SystemTime,
    ) -> Result<Self, BoxError> {
        let mut facts = Facts { retired_from: None, refusal: Arc::default() };
        if let MaybeHttpsStream::Https(tls) = &stream {
            let certificates = tls.inner().get_ref().1.peer_certificates();
            let peer = PeerIdentity::of_connection(certificates, environment, not_after)?;
            // The listener ends the connection when a certificate ends. A request that is sent at
            // that moment would be lost: so none is sent in the last quarter of the connection's
            // life.
            let life = peer.not_after.duration_since(SystemTime::now()).unwrap_or_default();
            facts.retired_from = Instant::now().checked_add(life / 4 * 3);
        }
        Ok(Self { stream, facts })
    }

    /// Keeps a refusal for the request that will fail by it: HTTP/2 keeps only the text of an I/O
    /// error.
    fn note_refusal(&self, result: &Poll<io::Result<()>>) {
        if let Poll::Ready(Err(error)) = result
            && let Some(refusal) = HandshakeError::from_stream_error(error)
        {
            let _ = self.facts.refusal.set(Arc::new(refusal));
        }
    }
}

impl Connection for PeerStream {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.facts.clone())
    }
}

impl Read for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note_refusal(&result);
        result
    }
}

impl Write for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
