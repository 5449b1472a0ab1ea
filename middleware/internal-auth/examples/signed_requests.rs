//! A stranger's axum service that requires tokens, and a client that signs its requests.
//!
//! `cargo run --release -p internal-auth --example signed_requests`

use axum::body::Body;
use axum::{Extension, Router, routing::get};
use http::Request;
use http_body_util::BodyExt;
use internal_auth::{
    Audience, Caller, RequireInternalJwtLayer, Requirements, SignInternalJwtLayer, Signer, TokenKey,
};
use tower::{ServiceBuilder, ServiceExt};

async fn greet(Extension(caller): Extension<Caller>) -> String {
    format!("hello {} {}", caller.role, caller.node_id)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let key = TokenKey::new(&[42; 32], "example-key");
    let requirements = Requirements {
        environment: "example".into(),
        role: "server".into(),
        allowed_roles: vec!["client".into()],
        // True where a TLS acceptor inserts `CertificateThumbprint` into each request.
        certificate_bound: false,
    };
    let server = ServiceBuilder::new()
        .layer(RequireInternalJwtLayer::new(key.clone(), requirements))
        .service(Router::new().route("/", get(greet)));

    let caller =
        Caller { environment: "example".into(), role: "client".into(), node_id: "two".into() };
    // Where the network would be, the client calls the service itself.
    let client = ServiceBuilder::new()
        .layer(SignInternalJwtLayer::new(Signer::new(key, caller, None)))
        .service(server.clone());

    let audience = Audience { environment: "example".into(), role: "server".into() };
    let request = Request::get("/").extension(audience).body(Body::empty())?;
    let response = client.oneshot(request).await?;
    println!("{} {:?}", response.status(), response.into_body().collect().await?.to_bytes());

    let unsigned = server.oneshot(Request::get("/").body(Body::empty())?).await?;
    println!("{} {:?}", unsigned.status(), unsigned.into_body().collect().await?.to_bytes());
    Ok(())
}
