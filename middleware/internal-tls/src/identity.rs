//! Who a node is: the name that it is dialled by and the identity that its certificate carries.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::HandshakeError;

/// The domain of all identity names. It exists in no DNS: names are resolved by the caller.
pub const DOMAIN: &str = "node.waterbear";

/// Scheme of the URI name in a node's certificate: `waterbear://environment/role/node-id`.
const SCHEME: &str = "waterbear://";

/// What a node is called in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeName {
    /// The cluster; nodes of different environments refuse each other.
    pub environment: String,
    /// What the node does: 1 to 16 characters of `a-z`, `0-9` and `-`.
    pub role: String,
    /// Its id, unique in the cluster.
    pub node_id: String,
}

impl NodeName {
    /// The DNS name that the node is dialled by: `<first 32 hex digits of SHA-256(node id)>.<role>.node.waterbear`.
    /// The id is hashed since it may hold what no DNS label may.
    pub fn server_name(&self) -> String {
        let hash = digest(&SHA256, self.node_id.as_bytes());
        format!("{}.{}.{DOMAIN}", hex(&hash.as_ref()[..16]), self.role)
    }

    /// True if a certificate can carry the name.
    pub(crate) fn is_valid(&self) -> bool {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let role = (1..=16).contains(&self.role.len()) && self.role.chars().all(label);
        let edges = !self.role.starts_with('-') && !self.role.ends_with('-');
        let text = |text: &str| (1..=256).contains(&text.len());
        role && edges && text(&self.environment) && text(&self.node_id)
    }

    pub(crate) fn to_uri(&self) -> String {
        let Self { environment, role, node_id } = self;
        format!("{SCHEME}{}/{role}/{}", percent_encode(environment), percent_encode(node_id))
    }

    fn from_uri(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix(SCHEME)?.split('/');
        let (environment, role, node_id) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let name = Self {
            environment: percent_decode(environment)?,
            role: role.to_owned(),
            node_id: percent_decode(node_id)?,
        };
        name.is_valid().then_some(name)
    }
}

/// Who is at the other end of a verified connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The peer's environment.
    pub environment: String,
    /// The peer's role.
    pub role: String,
    /// The peer's id.
    pub node_id: String,
    /// SHA-256 of its certificate (RFC 8705): what its tokens are bound to.
    pub thumbprint: [u8; 32],
    /// When the connection must end: the earlier of both certificates' ends.
    pub not_after: SystemTime,
}

impl PeerIdentity {
    /// The peer of a connection, after a handshake that verified its certificates. `environment`
    /// and `not_after` are this end's.
    ///
    /// # Errors
    /// Fails when the peer is no node of the environment: the connection must not be used then.
    pub fn of_connection(
        certificates: Option<&[CertificateDer<'_>]>,
        environment: &str,
        not_after: SystemTime,
    ) -> Result<Self, HandshakeError> {
        let mut peer = certificates
            .and_then(|chain| Self::from_certificate(chain.first()?))
            .ok_or(HandshakeError::Nobody)?;
        if peer.environment != environment {
            let ours = environment.to_owned();
            return Err(HandshakeError::Environment { ours, theirs: peer.environment });
        }
        peer.not_after = peer.not_after.min(not_after);
        Ok(peer)
    }

    /// Reads the identity from a certificate that was verified before; none if it has no such name.
    pub fn from_certificate(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => NodeName::from_uri(uri),
            _ => None,
        });
        let name = uris.next()?;
        if uris.next().is_some() {
            return None;
        }
        let end = certificate.validity().not_after.timestamp();
        Some(Self {
            environment: name.environment,
            role: name.role,
            node_id: name.node_id,
            thumbprint: thumbprint(der),
            not_after: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(u64::try_from(end).ok()?))?,
        })
    }

    /// The same peer as a name.
    pub fn name(&self) -> NodeName {
        NodeName {
            environment: self.environment.clone(),
            role: self.role.clone(),
            node_id: self.node_id.clone(),
        }
    }
}

/// True for names as [`NodeName::server_name`] makes them.
pub(crate) fn is_identity_name(name: &str) -> bool {
    name.strip_suffix(DOMAIN).is_some_and(|labels| labels.ends_with('.'))
}

/// The certificate's RFC 8705 thumbprint: SHA-256 of its DER.
pub(crate) fn thumbprint(der: &CertificateDer<'_>) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, der).as_ref());
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(environment: &str, role: &str, node_id: &str) -> NodeName {
        NodeName { environment: environment.into(), role: role.into(), node_id: node_id.into() }
    }

    #[test]
    fn server_name_is_the_hash_of_the_id_and_the_role() {
        // printf worker-1 | sha256sum
        assert_eq!(
            name("test", "worker", "worker-1").server_name(),
            "13029f9e83d15b3d437c2a7568fc1ca7.worker.node.waterbear"
        );
    }

    #[test]
    fn any_environment_and_id_survive_the_uri() {
        for name in [
            name("test", "worker", "a"),
            name("p/r%o d", "x", "näme/../?#"),
            name("e", "r-1", "%2F"),
        ] {
            assert_eq!(NodeName::from_uri(&name.to_uri()), Some(name));
        }
    }

    #[test]
    fn uris_that_name_no_node_are_refused() {
        for uri in [
            "",
            "https://a/worker/b",
            "waterbear://a/worker",
            "waterbear://a/worker/b/c",
            "waterbear:///worker/b",
            "waterbear://a/wor%6Ber/b",
            "waterbear://a/worker/%ff",
            "waterbear://a/worker/%f",
            "waterbear://a/worker/",
        ] {
            assert_eq!(NodeName::from_uri(uri), None, "{uri}");
        }
    }
}
