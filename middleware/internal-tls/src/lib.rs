//! Mutual TLS from one shared secret: a derived CA, a certificate per node, peers verified by identity.
