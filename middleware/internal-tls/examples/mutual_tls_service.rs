//! A stranger's axum service over mutual TLS, and one call to it.
//!
//! `cargo run --release -p internal-tls --example mutual_tls_service`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use internal_tls::{Acceptor, ClusterCa, NodeName, PeerIdentity, client_config};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Whoever has these 32 bytes is in the cluster. Derive them from a secret, with HKDF.
    let ca = ClusterCa::derive(&[42; 32])?;
    let name = |role: &str, id: &str| NodeName {
        environment: "example".into(),
        role: role.into(),
        node_id: id.into(),
    };
    let day = Duration::from_secs(24 * 60 * 60);

    let server = name("server", "one");
    let acceptor = Acceptor::new(&ca.issue(&server, &[], day)?, &ca)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, acceptor));

    let leaf = ca.issue(&name("client", "two"), &[], day)?;
    let connector = TlsConnector::from(Arc::new(client_config(&leaf, &ca, "server")?));
    let tcp = TcpStream::connect(address).await?;
    // Dialled by identity: the address may be anything.
    let stream = connector.connect(server.server_name().try_into()?, tcp).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let peer = PeerIdentity::of_connection(certificates, "example", leaf.not_after())?;
    println!("connected to {} {}", peer.role, peer.node_id);

    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get("/").body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));
    Ok(())
}

async fn serve(listener: TcpListener, acceptor: Acceptor) {
    async fn greet(Extension(peer): Extension<PeerIdentity>) -> String {
        format!("hello {} {}", peer.role, peer.node_id)
    }
    let app = Router::new().route("/", get(greet));
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            match acceptor.accept(tcp).await {
                Ok((stream, peer)) => {
                    let service = TowerToHyperService::new(app.layer(Extension(peer)));
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                }
                Err(error) => eprintln!("refused: {error}"),
            }
        });
    }
}
