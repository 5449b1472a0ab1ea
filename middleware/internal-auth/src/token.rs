//! Tokens: made for one request, checked claim by claim. Pure but for the signature.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde::{Deserialize, Serialize};

use crate::{Caller, Refusal};

/// How long a token that we make is valid, in seconds.
pub const LIFE: u64 = 60;
/// The longest life that is accepted, in seconds.
pub const LONGEST_LIFE: u64 = 120;
/// How far two clocks may differ, in seconds.
pub const LEEWAY: u64 = 10;
/// The longest token that is read, in bytes. Ours have about 500.
pub const LONGEST_TOKEN: usize = 4096;

/// The cluster's key for tokens, and its name in the field `kid`.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl TokenKey {
    /// A key of 32 bytes, for HS256. `id` tells keys apart and is no secret.
    pub fn new(key: &[u8; 32], id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Makes a token at time `now` (seconds since the Unix epoch).
    pub(crate) fn sign(
        &self,
        caller: &Caller,
        audience: &str,
        thumbprint: Option<[u8; 32]>,
        now: u64,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let header =
            jsonwebtoken::Header { kid: Some(self.id.clone()), ..jsonwebtoken::Header::default() };
        let claims = Claims {
            exp: Some(now + LIFE),
            iat: Some(now),
            nbf: Some(now),
            iss: Some(format!("{}/{}", caller.environment, caller.role)),
            sub: Some(caller.node_id.clone()),
            aud: Some(audience.to_owned()),
            cnf: thumbprint.map(|bytes| Confirmation { thumbprint: BASE64URL.encode(bytes) }),
        };
        jsonwebtoken::encode(&header, &claims, &self.encoding)
    }

    /// The claims of a token with a right header and a right signature, not checked otherwise.
    fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        if token.len() > LONGEST_TOKEN {
            return Err(Refusal::TooLong { limit: LONGEST_TOKEN });
        }
        let header = token.split('.').next().unwrap_or_default();
        let header = BASE64URL.decode(header).map_err(|_| Refusal::Malformed("header"))?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| Refusal::Malformed("header"))?;
        if header.alg != "HS256" {
            return Err(Refusal::Algorithm);
        }
        if header.typ.is_some_and(|typ| typ != "JWT") {
            return Err(Refusal::Malformed("header"));
        }
        if header.kid != self.id {
            return Err(Refusal::UnknownKey);
        }
        // Only the signature is checked here: the claims below, each with its own reason.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        use jsonwebtoken::errors::ErrorKind;
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)
            .map(|token| token.claims)
            .map_err(|error| match error.kind() {
                ErrorKind::Json(_) | ErrorKind::Utf8(_) => Refusal::Malformed("claims"),
                ErrorKind::InvalidToken => Refusal::Malformed("form"),
                _ => Refusal::Signature,
            })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All that a header may hold. An unknown field (`jwk`, `jku`, `x5u`, `crit`, …) is refused: each
/// of them asks the reader to trust something else than the key it has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: String,
}

/// What a token says. Optional, so that an absent claim is refused by its name.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    exp: Option<u64>,
    iat: Option<u64>,
    nbf: Option<u64>,
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// RFC 8705, section 3.1.
#[derive(Debug, Serialize, Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

/// To what a token must be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// To nothing: the connection is not TLS.
    None,
    /// To the certificate with this thumbprint.
    Certificate([u8; 32]),
}

/// What a token is checked against.
#[derive(Debug, Clone)]
pub(crate) struct Expected<'a> {
    pub(crate) environment: &'a str,
    pub(crate) role: &'a str,
    pub(crate) allowed_roles: &'a [String],
    pub(crate) binding: Binding,
}

/// Checks the signature and every claim at time `now` (seconds since the Unix epoch).
pub(crate) fn check(
    key: &TokenKey,
    token: &str,
    expected: &Expected<'_>,
    now: u64,
) -> Result<Caller, Refusal> {
    let claims = key.verify(token)?;
    let exp = claims.exp.ok_or(Refusal::MissingClaim("exp"))?;
    let iat = claims.iat.ok_or(Refusal::MissingClaim("iat"))?;
    let nbf = claims.nbf.ok_or(Refusal::MissingClaim("nbf"))?;
    let iss = claims.iss.ok_or(Refusal::MissingClaim("iss"))?;
    let sub = claims.sub.filter(|sub| !sub.is_empty()).ok_or(Refusal::MissingClaim("sub"))?;
    let aud = claims.aud.ok_or(Refusal::MissingClaim("aud"))?;
    check_time(exp, iat, nbf, now)?;

    let ours = format!("{}/{}", expected.environment, expected.role);
    if aud != ours {
        return Err(Refusal::Audience { theirs: excerpt(&aud), ours });
    }
    let (environment, role) = iss.rsplit_once('/').ok_or(Refusal::Malformed("claim 'iss'"))?;
    if environment != expected.environment {
        return Err(Refusal::Environment {
            theirs: excerpt(environment),
            ours: expected.environment.to_owned(),
        });
    }
    if !expected.allowed_roles.iter().any(|allowed| allowed == role) {
        return Err(Refusal::Role { role: excerpt(role) });
    }
    if let Binding::Certificate(thumbprint) = expected.binding {
        let cnf = claims.cnf.ok_or(Refusal::MissingClaim("cnf"))?;
        // Thumbprints are public: no need to compare in constant time.
        if cnf.thumbprint != BASE64URL.encode(thumbprint) {
            return Err(Refusal::OtherCertificate);
        }
    }
    Ok(Caller { environment: environment.to_owned(), role: role.to_owned(), node_id: sub })
}

fn check_time(exp: u64, iat: u64, nbf: u64, now: u64) -> Result<(), Refusal> {
    if exp <= iat || exp - iat > LONGEST_LIFE {
        return Err(Refusal::Life { limit: LONGEST_LIFE });
    }
    if now.saturating_sub(LEEWAY) >= exp {
        return Err(Refusal::Expired { seconds: now - exp });
    }
    let start = nbf.max(iat);
    if start > now.saturating_add(LEEWAY) {
        return Err(Refusal::NotYetValid { seconds: start - now });
    }
    Ok(())
}

/// What is shown of a text that came from outside.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "attacks.rs"]
mod attacks;
