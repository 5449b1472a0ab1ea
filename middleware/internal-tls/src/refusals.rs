//! One test for each peer that must not get in, over real sockets.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::ca::ClusterCa;
use crate::config::client_config;
use crate::identity::NodeName;

const HOUR: Duration = Duration::from_secs(3600);

fn ca() -> ClusterCa {
    ClusterCa::derive(&[1; 32]).unwrap()
}

fn name(environment: &str, role: &str, node_id: &str) -> NodeName {
    NodeName { environment: environment.into(), role: role.into(), node_id: node_id.into() }
}

fn worker() -> NodeName {
    name("test", "worker", "w")
}

fn coordinator() -> NodeName {
    name("test", "coordinator", "c")
}

fn dialled(name: &NodeName) -> ServerName<'static> {
    name.server_name().try_into().unwrap()
}

/// What the listener says of the peer that `peer` plays.
async fn accepted<F>(
    peer: impl FnOnce(TcpStream) -> F,
) -> (Result<PeerIdentity, HandshakeError>, F::Output)
where
    F: Future,
{
    let leaf = ca().issue(&worker(), &["127.0.0.1".to_owned()], HOUR).unwrap();
    let acceptor = Acceptor::new(&leaf, &ca()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listening = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, peer) = acceptor.accept(stream).await?;
        stream.write_all(b"welcome").await.map_err(HandshakeError::from)?;
        stream.shutdown().await.map_err(HandshakeError::from)?;
        let mut byte = [0; 1];
        let _ = stream.read(&mut byte).await;
        Ok(peer)
    };
    let peer = async { peer(TcpStream::connect(address).await.unwrap()).await };
    tokio::join!(listening, peer)
}

/// Plays a TLS client: sends a request at once, as HTTP clients do, and reads the first byte.
async fn request(config: Arc<ClientConfig>, stream: TcpStream) -> Result<(), HandshakeError> {
    let mut stream = TlsConnector::from(config).connect(dialled(&worker()), stream).await?;
    stream.write_all(&[b'x'; 20_000]).await?;
    let mut byte = [0; 1];
    stream.read_exact(&mut byte).await?;
    Ok(())
}

fn config_of(leaf: &Leaf) -> Arc<ClientConfig> {
    Arc::new(client_config(leaf, &ca(), "discovery").unwrap())
}

/// Connects as the leaf's node does, to a peer dialled by the name.
async fn connect(
    leaf: &Leaf,
    dialled: ServerName<'static>,
    stream: TcpStream,
) -> Result<PeerIdentity, HandshakeError> {
    connect_with(config_of(leaf), leaf, dialled, stream).await
}

async fn connect_with(
    config: Arc<ClientConfig>,
    leaf: &Leaf,
    dialled: ServerName<'static>,
    stream: TcpStream,
) -> Result<PeerIdentity, HandshakeError> {
    let stream = TlsConnector::from(config).connect(dialled, stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    PeerIdentity::of_connection(certificates, &leaf.name().environment, leaf.not_after())
}

fn alert(result: Result<(), HandshakeError>) -> AlertDescription {
    match result {
        Err(HandshakeError::RefusedByPeer { alert }) => alert,
        other => panic!("no alert but {other:?}"),
    }
}

/// A client that trusts the cluster but has another way to present itself.
fn stranger(with: impl FnOnce(&mut RootCertStore)) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(ca().certificate_der()).unwrap();
    with(&mut roots);
    roots
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[tokio::test]
async fn node_of_the_cluster_is_accepted_by_its_name() {
    let leaf = ca().issue(&coordinator(), &[], HOUR).unwrap();
    let (accepted, asked) = accepted(|stream| request(config_of(&leaf), stream)).await;
    asked.unwrap();
    let peer = accepted.unwrap();
    assert_eq!(peer.name(), coordinator());
    assert_eq!(peer.thumbprint, leaf.thumbprint());
}

#[tokio::test]
async fn plain_http_is_refused() {
    let (accepted, answer) = accepted(|mut stream| async move {
        stream.write_all(b"POST /v1/task HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    })
    .await;
    assert!(matches!(accepted, Err(HandshakeError::NotTls)), "{accepted:?}");
    assert!(!answer.windows(4).any(|bytes| bytes == b"HTTP"));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let leaf = ca().issue(&coordinator(), &[], HOUR).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(stranger(|_| {}))
        .with_client_auth_cert(leaf.chain(), leaf.key())
        .unwrap();
    let (accepted, asked) = accepted(|stream| request(Arc::new(config), stream)).await;
    assert!(matches!(accepted, Err(HandshakeError::Version)), "{accepted:?}");
    assert!(matches!(asked, Err(HandshakeError::Version)), "{asked:?}");
}

#[tokio::test]
async fn no_certificate_is_refused() {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(stranger(|_| {}))
        .with_no_client_auth();
    let (accepted, asked) = accepted(|stream| request(Arc::new(config), stream)).await;
    assert!(matches!(accepted, Err(HandshakeError::NoCertificate)), "{accepted:?}");
    assert_eq!(alert(asked), AlertDescription::CertificateRequired);
}

#[tokio::test]
async fn self_signed_certificate_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([worker().server_name()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(stranger(|_| {}))
        .with_client_auth_cert(
            vec![certificate.into()],
            rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let (accepted, asked) = accepted(|stream| request(Arc::new(config), stream)).await;
    assert!(matches!(accepted, Err(HandshakeError::OtherSecret)), "{accepted:?}");
    assert_eq!(alert(asked), AlertDescription::UnknownCA);
}

#[tokio::test]
async fn certificate_of_another_secret_is_refused() {
    let other = ClusterCa::derive(&[2; 32]).unwrap();
    let leaf = other.issue(&coordinator(), &[], HOUR).unwrap();
    // A client that accepts us, as one with both secrets would.
    let (accepted, asked) = accepted(|stream| request(config_of(&leaf), stream)).await;
    assert!(matches!(accepted, Err(HandshakeError::OtherSecret)), "{accepted:?}");
    let refusal = asked.unwrap_err().to_string();
    assert!(refusal.contains("internal-communication.shared-secret"), "{refusal}");
}

#[tokio::test]
async fn listener_of_another_secret_is_refused_by_the_client() {
    let other = ClusterCa::derive(&[2; 32]).unwrap();
    let leaf = other.issue(&coordinator(), &[], HOUR).unwrap();
    let config = client_config(&leaf, &other, "discovery").unwrap();
    let (accepted, asked) = accepted(|stream| request(Arc::new(config), stream)).await;
    assert!(matches!(asked, Err(HandshakeError::OtherSecret)), "{asked:?}");
    let refusal = accepted.unwrap_err().to_string();
    assert!(refusal.contains("internal-communication.shared-secret"), "{refusal}");
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    let now = SystemTime::now();
    let leaf = ca()
        .issue_between(&coordinator(), &[], now - 2 * HOUR, now - Duration::from_secs(1))
        .unwrap();
    let (accepted, asked) = accepted(|stream| request(config_of(&leaf), stream)).await;
    assert!(matches!(accepted, Err(HandshakeError::Time(_))), "{accepted:?}");
    assert_eq!(alert(asked), AlertDescription::CertificateExpired);
}

#[tokio::test]
async fn certificate_of_the_future_is_refused() {
    let now = SystemTime::now();
    let leaf = ca().issue_between(&coordinator(), &[], now + HOUR, now + 2 * HOUR).unwrap();
    let (accepted, asked) = accepted(|stream| request(config_of(&leaf), stream)).await;
    assert!(matches!(accepted, Err(HandshakeError::Time(_))), "{accepted:?}");
    assert_eq!(alert(asked), AlertDescription::CertificateExpired);
}

#[tokio::test]
async fn node_of_another_environment_is_refused_by_both() {
    let leaf = ca().issue(&name("prod", "coordinator", "c"), &[], HOUR).unwrap();
    let (accepted, connected) = accepted(|stream| connect(&leaf, dialled(&worker()), stream)).await;
    for (result, ours) in [(accepted, "test"), (connected, "prod")] {
        match result {
            Err(HandshakeError::Environment { ours: said, .. }) => assert_eq!(said, ours),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn another_node_at_the_address_is_refused() {
    let leaf = ca().issue(&coordinator(), &[], HOUR).unwrap();
    // Another id, another role, an address that its certificate does not name.
    for expected in [
        dialled(&name("test", "worker", "other")),
        dialled(&name("test", "coordinator", "w")),
        "127.0.0.2".try_into().unwrap(),
    ] {
        let (_, connected) = accepted(|stream| connect(&leaf, expected, stream)).await;
        assert!(matches!(connected, Err(HandshakeError::OtherNode { .. })), "{connected:?}");
    }
}

#[tokio::test]
async fn peer_dialled_by_address_must_have_the_role() {
    let leaf = ca().issue(&coordinator(), &[], HOUR).unwrap();
    let address: ServerName<'static> = "127.0.0.1".try_into().unwrap();
    let dial = async |role: &'static str| {
        let config = Arc::new(client_config(&leaf, &ca(), role).unwrap());
        accepted(|stream| connect_with(config, &leaf, address.clone(), stream)).await.1
    };
    assert_eq!(dial("worker").await.unwrap().name(), worker());
    assert!(matches!(dial("discovery").await, Err(HandshakeError::Role { .. })));
}

#[tokio::test]
async fn nothing_is_resumed() {
    let leaf = ca().issue(&coordinator(), &[], HOUR).unwrap();
    // A client that would resume if it were given a ticket.
    let mut config = (*config_of(&leaf)).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(16);
    let config = Arc::new(config);
    let acceptor = Acceptor::new(&ca().issue(&worker(), &[], HOUR).unwrap(), &ca()).unwrap();
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut stream, _) = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        let asking = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let connector = TlsConnector::from(config.clone());
            let mut stream = connector.connect(dialled(&worker()), stream).await.unwrap();
            // Tickets come after the handshake: read, so that one would be kept.
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        let (server, client) = tokio::join!(listening, asking);
        for kind in [server, client] {
            // One more round trip is still a full handshake.
            assert!(
                matches!(
                    kind,
                    Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
                ),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn renewed_certificate_is_presented_to_the_next_peer() {
    let first = ca().issue(&worker(), &[], HOUR).unwrap();
    let acceptor = Acceptor::new(&first, &ca()).unwrap();
    let leaf = ca().issue(&coordinator(), &[], 2 * HOUR).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = async || {
        let listening = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let stream = TcpStream::connect(address).await.unwrap();
        let (accepted, connected) =
            tokio::join!(listening, connect(&leaf, dialled(&worker()), stream));
        (accepted.unwrap().1.not_after, connected.unwrap())
    };
    let (ends, peer) = seen().await;
    assert_eq!(peer.thumbprint, first.thumbprint());
    // The earlier end counts, on both sides.
    assert_eq!((ends, peer.not_after), (first.not_after(), first.not_after()));
    let second = ca().issue(&worker(), &[], 3 * HOUR).unwrap();
    acceptor.clone().renew(&second, &ca()).unwrap();
    assert_eq!(seen().await.1.thumbprint, second.thumbprint());
}
