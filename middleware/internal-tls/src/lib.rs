//! Mutual TLS between the nodes of one cluster, from one shared seed and without certificate files.
//!
//! Every node derives the same certificate authority from the cluster's seed and issues a
//! certificate of its own with a random key. Both sides of a connection present one and verify
//! the other's. A peer is dialled by its *identity name*, which its certificate carries, so that
//! the standard verifier proves which node and which role answers, whatever its address is.
//! TLS 1.3 only; no session is ever resumed, since rustls resumes without asking the verifier.
//!
//! Layout: [`ca`] the authority and the certificates, [`identity`] who a peer is, [`config`] the
//! rustls configurations, `verify` what a client checks of a listener, [`accept`] the listening
//! end (the dialling one is any TLS connector with [`client_config`]), [`error`] why a handshake
//! failed and what cures it.

pub mod accept;
pub mod ca;
pub mod config;
pub mod error;
pub mod identity;
mod verify;

pub use accept::Acceptor;
pub use ca::{ClusterCa, Error, Leaf};
pub use config::{client_config, server_config};
pub use error::HandshakeError;
/// Why an incoming connection was refused.
pub use error::HandshakeError as AcceptError;
pub use identity::{NodeName, PeerIdentity};
