//! Requests from node to node: identity epochs, signing, mutual TLS, timeouts.
