//! The rustls configurations: TLS 1.3, both sides verified, nothing resumed.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::ca::{ClusterCa, Error, Leaf};

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
/// for the dialled name. Offers HTTP/2 if `http2`, else HTTP/1.1, never both: the caller's
/// connection pool has to know beforehand.
pub fn client_config(leaf: &Leaf, ca: &ClusterCa, http2: bool) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(leaf.chain(), leaf.key())?;
    config.alpn_protocols = vec![if http2 { H2.to_vec() } else { HTTP_1_1.to_vec() }];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
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
