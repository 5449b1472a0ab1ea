//! The rustls configurations: TLS 1.3, both sides verified, nothing resumed.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::ca::{ClusterCa, Error, Leaf};
use crate::verify::NodeVerifier;

/// ALPN name of HTTP/2.
pub const H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// What a listener needs: it presents the leaf and refuses peers without a certificate of the CA.
/// Offers HTTP/2 and HTTP/1.1.
pub fn server_config(leaf: &Leaf, ca: &ClusterCa) -> Result<Arc<ServerConfig>, Error> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(leaf.chain(), leaf.key())?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    // A resumed session would skip the verifier, and so outlive a certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a client needs: it presents the leaf and refuses servers without a certificate of the CA
/// for the dialled name: the identity name, or an address or host name, and then the server must
/// have the role `role_by_address`. Ask [`PeerIdentity::of_connection`] once connected. The
/// protocols to offer (ALPN) are left to the HTTP client.
///
/// [`PeerIdentity::of_connection`]: crate::PeerIdentity::of_connection
pub fn client_config(
    leaf: &Leaf,
    ca: &ClusterCa,
    role_by_address: &str,
) -> Result<ClientConfig, Error> {
    let certificates =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), provider()).build()?;
    let role_by_address = role_by_address.to_owned();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // What is set here asks the standard verifier first.
        .with_custom_certificate_verifier(Arc::new(NodeVerifier { certificates, role_by_address }))
        .with_client_auth_cert(leaf.chain(), leaf.key())?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Passed explicitly: a process-wide default may be absent or another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(ca: &ClusterCa) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate_der())?;
    Ok(roots)
}
