//! The listening end.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ca::{ClusterCa, Error, Leaf};
use crate::config::server_config;
use crate::error::HandshakeError;
use crate::identity::PeerIdentity;

/// How long a peer may take for its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refused peer may take to read why.
const LINGER: Duration = Duration::from_millis(500);

/// Accepts connections of this cluster's nodes. A clone shares the certificate: [`Acceptor::renew`]
/// on one is seen by all, from the next connection on.
#[derive(Clone)]
pub struct Acceptor {
    environment: Arc<str>,
    presented: Arc<RwLock<Presented>>,
}

#[derive(Clone)]
struct Presented {
    config: Arc<ServerConfig>,
    not_after: SystemTime,
}

impl Acceptor {
    /// An acceptor that presents the leaf and admits the nodes of the leaf's environment.
    pub fn new(leaf: &Leaf, ca: &ClusterCa) -> Result<Self, Error> {
        Ok(Self {
            environment: leaf.name().environment.as_str().into(),
            presented: Arc::new(RwLock::new(Presented::new(leaf, ca)?)),
        })
    }

    /// Presents another certificate to whoever connects from now on.
    pub fn renew(&self, leaf: &Leaf, ca: &ClusterCa) -> Result<(), Error> {
        let renewed = Presented::new(leaf, ca)?;
        *self.presented.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Does the handshake and says who the peer is. Bounded by [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    /// Fails when the peer is no node of this cluster and environment; it was then told by a TLS
    /// alert where TLS has one.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, PeerIdentity), HandshakeError> {
        let Presented { config, not_after } =
            self.presented.read().unwrap_or_else(PoisonError::into_inner).clone();
        let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
        let stream = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                linger(stream).await;
                return Err(error.into());
            }
            Err(_) => return Err(HandshakeError::Timeout(HANDSHAKE_TIMEOUT)),
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = PeerIdentity::of_connection(certificates, &self.environment, not_after)?;
        Ok((stream, peer))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl Presented {
    fn new(leaf: &Leaf, ca: &ClusterCa) -> Result<Self, Error> {
        Ok(Self { config: server_config(leaf, ca)?, not_after: leaf.not_after() })
    }
}

/// Lets the peer read the alert: closing a socket with unread bytes resets the connection, and the
/// peer, which has usually sent its request already, would only see that.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        let _ = stream.shutdown().await;
        let mut discarded = [0; 4096];
        let mut left: usize = 256 * 1024;
        while let Ok(read) = stream.read(&mut discarded).await {
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "refusals.rs"]
mod refusals;
