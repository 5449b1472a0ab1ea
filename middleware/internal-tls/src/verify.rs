//! What the dialling end checks of a listener's certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::HandshakeError;
use crate::identity::{PeerIdentity, is_identity_name};

/// The standard verifier, and then: the certificate must name a node, which must have a certain
/// role if it was dialled by something else than its identity name (that one holds the role).
///
/// The environment is not checked here but right after the handshake
/// ([`PeerIdentity::of_connection`]): the client's certificate is the last thing that a handshake
/// sends, and only with that the listener can say as well whom it refused.
#[derive(Debug)]
pub(crate) struct NodeVerifier {
    pub(crate) certificates: Arc<WebPkiServerVerifier>,
    pub(crate) role_by_address: String,
}

impl NodeVerifier {
    fn check(&self, peer: &CertificateDer<'_>, dialled: &str) -> Result<(), HandshakeError> {
        let peer = PeerIdentity::from_certificate(peer).ok_or(HandshakeError::Nobody)?;
        if is_identity_name(dialled) || peer.role == self.role_by_address {
            return Ok(());
        }
        let expected = self.role_by_address.clone();
        Err(HandshakeError::Role { expected, actual: peer.role })
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.certificates.verify_server_cert(end_entity, intermediates, name, ocsp, now)?;
        self.check(end_entity, &name.to_str())
            .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.certificates.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.certificates.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.certificates.supported_verify_schemes()
    }
}
