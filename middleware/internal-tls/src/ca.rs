//! The cluster's certificate authority and the certificates that it issues.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::identity::{NodeName, thumbprint};

/// The CA's subject: the same for all clusters, so that certificates tell strangers nothing.
const SUBJECT: &str = "Waterbear Cluster CA";

/// How far back a certificate's start lies, for clocks that are behind the issuer's.
const BACKDATED: Duration = Duration::from_secs(300);

/// An Ed25519 private key in PKCS #8 (RFC 8410): this, then the 32 bytes of the seed.
const ED25519_PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why a certificate or a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be carried by a certificate.
    #[error("node name {0:?} is not valid in a certificate")]
    InvalidName(NodeName),
    /// An alternative name is neither an IP address nor a host name.
    #[error("'{0}' is neither an IP address nor a host name")]
    InvalidAltName(String),
    /// The certificate could not be built.
    #[error("certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused the certificate or key.
    #[error("TLS configuration could not be made")]
    Tls(#[from] rustls::Error),
    /// The verifier of the peer's certificates could not be built.
    #[error("TLS configuration could not be made")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The certificate authority that every node derives from the cluster's seed: byte for byte the
/// same everywhere.
pub struct ClusterCa {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterCa {
    /// Derives the authority: an Ed25519 key of the seed, with fixed subject, serial and validity.
    pub fn derive(seed: &[u8; 32]) -> Result<Self, Error> {
        let pkcs8 = PrivatePkcs8KeyDer::from([&ED25519_PKCS8_PREFIX[..], seed].concat());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ED25519)?;
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(vec![1]));
        params.not_before = date_time_ymd(2000, 1, 1);
        // RFC 5280 4.1.2.5: this very second means "no well-defined expiration date".
        params.not_after = date_time_ymd(9999, 12, 31) + Duration::from_secs(24 * 60 * 60 - 1);
        params.distinguished_name = common_name(SUBJECT);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?.into();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate.
    pub fn certificate_der(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// Issues a certificate with a random key, valid from five minutes ago for `lifetime` from now.
    /// `alt_names` are the IP addresses and host names by which the node may be dialled besides
    /// its identity name.
    pub fn issue(
        &self,
        id: &NodeName,
        alt_names: &[String],
        lifetime: Duration,
    ) -> Result<Leaf, Error> {
        let now = SystemTime::now();
        self.issue_between(id, alt_names, now - BACKDATED, now + lifetime)
    }

    /// Issues a certificate with the given validity.
    pub fn issue_between(
        &self,
        id: &NodeName,
        alt_names: &[String],
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<Leaf, Error> {
        if !id.is_valid() {
            return Err(Error::InvalidName(id.clone()));
        }
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(not_after);
        params.distinguished_name = common_name(&id.server_name());
        params.subject_alt_names = alternative_names(id, alt_names)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.issuer)?.into();
        Ok(Leaf {
            name: id.clone(),
            thumbprint: thumbprint(&certificate),
            certificate,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            // Certificates count whole seconds.
            not_after: SystemTime::UNIX_EPOCH
                + Duration::from_secs(since_epoch(not_after).as_secs()),
        })
    }
}

impl fmt::Debug for ClusterCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterCa").finish_non_exhaustive()
    }
}

/// A node's certificate with its private key.
pub struct Leaf {
    name: NodeName,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    thumbprint: [u8; 32],
    not_after: SystemTime,
}

impl Leaf {
    /// Whom it was issued to.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The certificate.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the certificate (RFC 8705).
    pub fn thumbprint(&self) -> [u8; 32] {
        self.thumbprint
    }

    /// The end of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, not_after, .. } = self;
        f.debug_struct("Leaf")
            .field("name", name)
            .field("not_after", not_after)
            .finish_non_exhaustive()
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn alternative_names(id: &NodeName, others: &[String]) -> Result<Vec<SanType>, Error> {
    let mut names =
        vec![SanType::DnsName(id.server_name().try_into()?), SanType::URI(id.to_uri().try_into()?)];
    for name in others.iter().collect::<BTreeSet<_>>() {
        let invalid = || Error::InvalidAltName(name.clone());
        names.push(match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            // The verifier compares only what is a DNS name; anything else would never match.
            Err(_) if rustls_pki_types::DnsName::try_from(name.as_str()).is_err() => {
                return Err(invalid());
            }
            Err(_) => SanType::DnsName(name.clone().try_into().map_err(|_| invalid())?),
        });
    }
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::identity::PeerIdentity;

    fn name() -> NodeName {
        NodeName { environment: "test".into(), role: "worker".into(), node_id: "w-1".into() }
    }

    #[test]
    fn every_node_derives_the_same_bytes() {
        let seed = [7; 32];
        let one = ClusterCa::derive(&seed).unwrap().certificate_der();
        let other = ClusterCa::derive(&seed).unwrap().certificate_der();
        assert_eq!(one, other);
        assert_ne!(one, ClusterCa::derive(&[8; 32]).unwrap().certificate_der());
        // A change here changes what other builds derive: nodes of the old and the new build
        // would refuse each other. docs/security/derivation.py makes the same bytes.
        assert_eq!(
            hex(&thumbprint(&one)),
            "f22b93e28e0228d9258622feaea9ee5a9ffc08d1eb244d6d8fd78e3f0ad6d401"
        );
    }

    #[test]
    fn leaf_carries_its_identity() {
        let ca = ClusterCa::derive(&[7; 32]).unwrap();
        let lifetime = Duration::from_secs(60);
        let names = ["10.0.0.1".to_owned(), "::1".to_owned(), "worker-1.example".to_owned()];
        let leaf = ca.issue(&name(), &names, lifetime).unwrap();
        let identity = PeerIdentity::from_certificate(leaf.certificate_der()).unwrap();
        assert_eq!(identity.name(), name());
        assert_eq!(identity.thumbprint, leaf.thumbprint());
        assert_eq!(identity.not_after, leaf.not_after());
        let left = leaf.not_after().duration_since(SystemTime::now()).unwrap();
        assert!(left <= lifetime && left > lifetime - Duration::from_secs(5), "{left:?}");
    }

    #[test]
    fn names_that_no_certificate_can_carry_are_refused() {
        let ca = ClusterCa::derive(&[7; 32]).unwrap();
        let lifetime = Duration::from_secs(60);
        for role in ["", "Worker", "a.b", "-a", "seventeen-letters"] {
            let name = NodeName { role: role.into(), ..name() };
            assert!(matches!(ca.issue(&name, &[], lifetime), Err(Error::InvalidName(_))), "{role}");
        }
        for alt in ["", "a b", "höst", "http://x"] {
            let result = ca.issue(&name(), &[alt.to_owned()], lifetime);
            assert!(matches!(result, Err(Error::InvalidAltName(_))), "{alt}");
        }
    }

    #[test]
    fn a_certificate_without_a_node_is_nobody() {
        let ca = ClusterCa::derive(&[7; 32]).unwrap();
        assert_eq!(PeerIdentity::from_certificate(&ca.certificate_der()), None);
        assert_eq!(PeerIdentity::from_certificate(&CertificateDer::from(vec![0x30, 0x80])), None);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
