//! A connection to a peer: TCP, then mutual TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use internal_tls::{Connector, HandshakeError, identity};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower::{BoxError, Service};
use waterbear_protocol::membership::Role;

use crate::resolve::Addresses;

/// How long a TCP connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to peers with one certificate.
#[derive(Clone)]
pub(crate) struct PeerConnector {
    tcp: HttpConnector<Addresses>,
    tls: Connector,
    http2: bool,
}

impl PeerConnector {
    pub(crate) fn new(addresses: Addresses, tls: Connector, http2: bool) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(addresses);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, tls, http2 }
    }
}

impl Service<Uri> for PeerConnector {
    type Response = PeerStream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<PeerStream, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let connecting = self.tcp.call(uri);
        let (tls, http2) = (self.tls.clone(), self.http2);
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            if !https {
                return Ok(PeerStream::plain(tcp, http2));
            }
            // An identity name holds the role. What is dialled by anything else is a discovery.
            let identity = host.ends_with(identity::DOMAIN);
            let role = (!identity).then_some(Role::Discovery.name());
            let name = ServerName::try_from(host)?;
            let (stream, peer) = tls.connect(name, role, tcp).await.map_err(Arc::new)?;
            Ok(PeerStream::tls(stream, http2, peer.not_after))
        })
    }
}

/// A connection to a peer.
pub(crate) struct PeerStream {
    transport: Transport,
    facts: Facts,
    http2: bool,
}

enum Transport {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
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
    fn plain(stream: TcpStream, http2: bool) -> Self {
        let facts = Facts { retired_from: None, refusal: Arc::default() };
        Self { transport: Transport::Plain(TokioIo::new(stream)), facts, http2 }
    }

    fn tls(stream: TlsStream<TcpStream>, http2: bool, not_after: SystemTime) -> Self {
        // The listener ends the connection when a certificate ends. A request that is sent at that
        // moment would be lost: so none is sent in the last quarter of the connection's life.
        let life = not_after.duration_since(SystemTime::now()).unwrap_or_default();
        let facts = Facts {
            retired_from: Instant::now().checked_add(life / 4 * 3),
            refusal: Arc::default(),
        };
        Self { transport: Transport::Tls(Box::new(TokioIo::new(stream))), facts, http2 }
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
        let connected = Connected::new().extra(self.facts.clone());
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.transport {
            Transport::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Transport::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl Read for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = delegate!(self, stream => stream.poll_read(cx, buffer));
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
        delegate!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
