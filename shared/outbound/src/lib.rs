//! Requests from node to node: who we are, whom we call, and how a call fails.
//!
//! A [`NodeSecurity`] is made once per process from the cluster's secret. It gives the listener's
//! half (an acceptor, a layer that requires tokens) and the [`InternalClient`]s, and renews the
//! node's certificate. Everything that hangs on one certificate is one *identity epoch*: key, TLS
//! configurations, connection pools and token signer. A request takes one epoch for its token and
//! its connection; when the epoch is replaced, the old one drains.
//!
//! Layout: [`keys`] what is derived from the secret, [`security`] the epochs, [`client`] requests,
//! `stack` the layers around a request, `connect` and `resolve` the way to a peer, [`peer`] whom
//! one can call, [`error`] how a call fails.

pub mod client;
mod connect;
pub mod error;
pub mod keys;
pub mod peer;
mod resolve;
pub mod security;
mod stack;

pub use client::{Channel, InternalClient};
pub use error::OutboundError;
pub use keys::ClusterKeys;
pub use peer::Peer;
pub use security::{NodeSecurity, SecurityError, SecurityOptions};
