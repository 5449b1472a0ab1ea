//! Signed requests between the nodes of one cluster: JSON Web Tokens of one shared key, each bound
//! to its audience, to a short time and, under TLS, to the caller's certificate (RFC 8705).
//!
//! The header is [`HEADER`]. The token is HS256 with exactly the header fields `alg`, `typ` and
//! `kid`; the claims `exp`, `iat`, `nbf`, `iss`, `sub`, `aud` and (under TLS) `cnf` are all
//! required. `iss` is `environment/role` of the caller, `sub` its node id, `aud`
//! `environment/role` of the called node.
//!
//! Layout: [`token`] makes and checks tokens, [`sign`] the client's layer, [`require`] the server's
//! layer, [`refusal`] why a token was refused.

pub mod refusal;
pub mod require;
pub mod sign;
pub mod token;

pub use refusal::Refusal;
pub use require::{RequireInternalJwt, RequireInternalJwtLayer, Requirements};
pub use sign::{Audience, SignError, SignInternalJwt, SignInternalJwtLayer, Signer};
pub use token::TokenKey;

/// The request header that carries the token, as Trino names it.
pub const HEADER: http::HeaderName = http::HeaderName::from_static("x-trino-internal-bearer");

/// The header of a refusal that carries the server's time, in milliseconds since the Unix epoch.
pub const TIME_HEADER: http::HeaderName = http::HeaderName::from_static("x-waterbear-time");

/// Request extension: SHA-256 of the certificate that the peer of this connection presented. Who
/// accepts the connection inserts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateThumbprint(pub [u8; 32]);

/// Request extension: who made the request. [`RequireInternalJwt`] inserts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The caller's environment.
    pub environment: String,
    /// The caller's role.
    pub role: String,
    /// The caller's node id.
    pub node_id: String,
}
