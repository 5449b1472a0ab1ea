//! The dialling end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ca::{ClusterCa, Error, Leaf};
use crate::config::client_config;
use crate::error::HandshakeError;
use crate::identity::PeerIdentity;

/// How long a peer may take for its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to nodes of this cluster, with one certificate.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    environment: Arc<str>,
    not_after: SystemTime,
}

impl Connector {
    /// A connector that presents the leaf. It speaks HTTP/2 if `http2`, else HTTP/1.1.
    pub fn new(leaf: &Leaf, ca: &ClusterCa, http2: bool) -> Result<Self, Error> {
        Ok(Self {
            config: client_config(leaf, ca, http2)?,
            environment: leaf.name().environment.as_str().into(),
            not_after: leaf.not_after(),
        })
    }

    /// Does the handshake over a TCP connection. The peer must have a certificate of this cluster
    /// and environment for `name`: its identity name, or an address or host name, in which case
    /// `role` says what it must be. Bounded by [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    /// Fails when the peer is someone else. That the *peer* refuses *us* shows only at the first
    /// read: [`HandshakeError::from_stream_error`].
    pub async fn connect(
        &self,
        name: ServerName<'static>,
        role: Option<&str>,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, PeerIdentity), HandshakeError> {
        let handshake = TlsConnector::from(self.config.clone()).connect(name, stream);
        let stream = timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| HandshakeError::Timeout(HANDSHAKE_TIMEOUT))??;
        let certificates = stream.get_ref().1.peer_certificates();
        let mut peer = certificates
            .and_then(|chain| PeerIdentity::from_certificate(chain.first()?))
            .ok_or(HandshakeError::Nobody)?;
        if *peer.environment != *self.environment {
            return Err(HandshakeError::Environment {
                ours: self.environment.to_string(),
                theirs: peer.environment,
            });
        }
        if let Some(expected) = role.filter(|role| *role != peer.role) {
            return Err(HandshakeError::Role { expected: expected.to_owned(), actual: peer.role });
        }
        peer.not_after = peer.not_after.min(self.not_after);
        Ok((stream, peer))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("environment", &self.environment).finish_non_exhaustive()
    }
}
