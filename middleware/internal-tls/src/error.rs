//! Why two nodes did not come together, in words that say what to do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

/// Why a handshake failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer sent something that is not TLS.
    #[error(
        "the peer does not speak TLS: is this its internal HTTPS port, and has it the same internal-communication.https.required?"
    )]
    NotTls,
    /// The peer offers no TLS 1.3 (or nothing else in common).
    #[error("the peer offers no TLS 1.3 that both sides speak")]
    Version,
    /// The peer presented no certificate.
    #[error("the peer presented no certificate: only nodes of the cluster may connect")]
    NoCertificate,
    /// The peer's certificate is not of our CA.
    #[error(
        "the peer's certificate is not of this cluster: internal-communication.shared-secret must be the same on all nodes"
    )]
    OtherSecret,
    /// The peer's certificate is past its end, or before its start.
    #[error(
        "the peer's certificate is not valid at this time ({0}): compare the clocks of both machines"
    )]
    Time(CertificateError),
    /// A certificate of the cluster, but of another name than the dialled one.
    #[error(
        "another node answers at this address: expected {expected}, its certificate names {presented}"
    )]
    OtherNode {
        /// The dialled name.
        expected: String,
        /// The names in the certificate.
        presented: String,
    },
    /// A node of another environment.
    #[error(
        "the peer belongs to environment '{theirs}', this node to '{ours}': node.environment must be the same on all nodes"
    )]
    Environment {
        /// Our environment.
        ours: String,
        /// The peer's.
        theirs: String,
    },
    /// A node of another role than expected.
    #[error("a {actual} answers at this address, expected a {expected}")]
    Role {
        /// The role that was dialled.
        expected: String,
        /// The peer's.
        actual: String,
    },
    /// A certificate of the cluster that names no node.
    #[error("the peer's certificate names no node")]
    Nobody,
    /// The peer refused our certificate, or what we offered.
    #[error("the peer refused this node ({alert:?}): {}", cure(*.alert))]
    RefusedByPeer {
        /// What it said.
        alert: AlertDescription,
    },
    /// The handshake took too long.
    #[error("no TLS handshake within {0:?}")]
    Timeout(Duration),
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(Arc<io::Error>),
    /// Anything else that rustls found wrong.
    #[error("the TLS handshake failed: {0}")]
    Tls(rustls::Error),
}

impl HandshakeError {
    /// Finds the cause in an I/O error of a TLS stream. With TLS 1.3 a server's refusal of our
    /// certificate arrives on the first *read*, when the handshake already looked done: streams
    /// ask here too. None if the error is not TLS's.
    pub fn from_stream_error(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::from(error.clone()))
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        // hyper-rustls puts the TLS stream's error into another one.
        let error = error.downcast::<io::Error>().unwrap_or_else(|error| error);
        Self::from_stream_error(&error).unwrap_or_else(|| Self::Io(Arc::new(error)))
    }
}

impl From<rustls::Error> for HandshakeError {
    fn from(error: rustls::Error) -> Self {
        use CertificateError as Invalid;
        use rustls::Error as Tls;
        if let Tls::InvalidCertificate(Invalid::Other(OtherError(cause))) = &error
            && let Some(ours) = cause.downcast_ref::<Self>()
        {
            return ours.clone();
        }
        match error {
            Tls::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            Tls::PeerIncompatible(_) | Tls::AlertReceived(AlertDescription::ProtocolVersion) => {
                Self::Version
            }
            Tls::NoCertificatesPresented => Self::NoCertificate,
            // All our CAs have the same subject, so that a certificate of another secret is found
            // wrong by its signature; any other stranger's by its issuer.
            Tls::InvalidCertificate(
                Invalid::UnknownIssuer | Invalid::BadSignature | Invalid::BadEncoding,
            ) => Self::OtherSecret,
            Tls::InvalidCertificate(
                reason @ (Invalid::Expired
                | Invalid::ExpiredContext { .. }
                | Invalid::NotValidYet
                | Invalid::NotValidYetContext { .. }),
            ) => Self::Time(reason),
            Tls::InvalidCertificate(Invalid::NotValidForNameContext { expected, presented }) => {
                Self::OtherNode {
                    expected: expected.to_str().into_owned(),
                    presented: presented.join(", "),
                }
            }
            Tls::InvalidCertificate(
                Invalid::UnsupportedSignatureAlgorithmContext { .. }
                | Invalid::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => Self::OtherSecret,
            Tls::AlertReceived(alert) => Self::RefusedByPeer { alert },
            other => Self::Tls(other),
        }
    }
}

/// What a user can do when the peer ended the handshake with this alert.
fn cure(alert: AlertDescription) -> &'static str {
    match alert {
        // What rustls sends for an issuer that it does not know, and for a signature of another key.
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "internal-communication.shared-secret must be the same on all nodes"
        }
        AlertDescription::CertificateExpired => {
            "to its clock our certificate is not valid now: compare the clocks of both machines"
        }
        AlertDescription::CertificateRequired => "it asks for a certificate",
        AlertDescription::BadCertificate => {
            "our certificate is not the one that it expects at this address"
        }
        _ => "its log says why",
    }
}
