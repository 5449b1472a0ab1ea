//! One test for each way to get in without the right token.

use jsonwebtoken::{EncodingKey, Header as AnyHeader};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;
const KEY: [u8; 32] = [1; 32];
const THUMBPRINT: [u8; 32] = [9; 32];

fn key() -> TokenKey {
    TokenKey::new(&KEY, "k1")
}

fn caller() -> Caller {
    Caller { environment: "test".into(), role: "coordinator".into(), node_id: "c-1".into() }
}

fn token() -> String {
    key().sign(&caller(), "test/worker", Some(THUMBPRINT), NOW).unwrap()
}

fn claims() -> Value {
    json!({
        "exp": NOW + 60, "iat": NOW, "nbf": NOW, "iss": "test/coordinator", "sub": "c-1",
        "aud": "test/worker", "cnf": {"x5t#S256": BASE64URL.encode(THUMBPRINT)},
    })
}

fn header() -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": "k1"})
}

/// Any header and claims, rightly signed by the cluster's key.
fn signed(header: &Value, claims: &Value) -> String {
    signed_with(&KEY, header, claims)
}

fn signed_with(key: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!(
        "{}.{}",
        BASE64URL.encode(header.to_string()),
        BASE64URL.encode(claims.to_string())
    );
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn with(base: Value, field: &str, value: Value) -> Value {
    let mut changed = base;
    changed[field] = value;
    changed
}

fn without(base: Value, field: &str) -> Value {
    let mut changed = base;
    changed.as_object_mut().unwrap().remove(field);
    changed
}

fn check_at(token: &str, now: u64, binding: Binding) -> Result<Caller, Refusal> {
    let allowed_roles = ["coordinator".to_owned(), "worker".to_owned()];
    let expected =
        Expected { environment: "test", role: "worker", allowed_roles: &allowed_roles, binding };
    check(&key(), token, &expected, now)
}

fn checked(token: &str) -> Result<Caller, Refusal> {
    check_at(token, NOW, Binding::Certificate(THUMBPRINT))
}

fn refused(token: &str) -> Refusal {
    checked(token).unwrap_err()
}

#[test]
fn valid_token_is_accepted() {
    assert_eq!(checked(&token()), Ok(caller()));
    assert_eq!(checked(&signed(&header(), &claims())), Ok(caller()));
}

#[test]
fn algorithm_none_is_refused_in_any_case() {
    for alg in ["none", "None", "NONE", "nOnE", "", "hs256", " HS256"] {
        let header = with(header(), "alg", json!(alg));
        let signed = signed(&header, &claims());
        let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
        for token in [signed, unsigned] {
            assert_eq!(refused(&token), Refusal::Algorithm, "{alg}");
        }
    }
}

#[test]
fn other_algorithms_are_refused() {
    for alg in [
        "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
        "ES512", "EdDSA", "dir",
    ] {
        let token = signed(&with(header(), "alg", json!(alg)), &claims());
        assert_eq!(refused(&token), Refusal::Algorithm, "{alg}");
    }
    let header = AnyHeader { kid: Some("k1".into()), ..AnyHeader::new(Algorithm::HS512) };
    let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&KEY)).unwrap();
    assert_eq!(refused(&token), Refusal::Algorithm);
}

#[test]
fn key_confusion_is_refused() {
    // What is public must not work as the key: the key's name, a certificate's thumbprint, nothing.
    for key in [&b"k1"[..], &THUMBPRINT, b"", &[0; 32]] {
        assert_eq!(refused(&signed_with(key, &header(), &claims())), Refusal::Signature);
    }
    // Nor is a token of another algorithm read with the key as if it were HS256.
    let header = with(header(), "alg", json!("RS256"));
    assert_eq!(
        refused(&signed_with(b"-----BEGIN PUBLIC KEY-----", &header, &claims())),
        Refusal::Algorithm
    );
}

#[test]
fn header_fields_that_bring_their_own_key_are_refused() {
    let jwk = json!({"kty": "oct", "k": BASE64URL.encode([2; 32]), "alg": "HS256", "kid": "k1"});
    for (field, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("abc")),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
    ] {
        let tricked = with(header(), field, value);
        for key in [[2; 32], KEY] {
            let token = signed_with(&key, &tricked, &claims());
            assert_eq!(refused(&token), Refusal::Malformed("header"), "{field}");
        }
    }
    let wrong_type = with(header(), "typ", json!("JOSE"));
    assert_eq!(refused(&signed(&wrong_type, &claims())), Refusal::Malformed("header"));
}

#[test]
fn key_id_must_match_exactly() {
    for kid in ["", "K1", "k1 ", "k", "k11", "../k1", "k1' OR '1'='1", "/dev/null"] {
        let token = signed(&with(header(), "kid", json!(kid)), &claims());
        assert_eq!(refused(&token), Refusal::UnknownKey, "{kid}");
    }
    for kid in [json!(null), json!(1), json!(["k1"])] {
        let token = signed(&with(header(), "kid", kid), &claims());
        assert_eq!(refused(&token), Refusal::Malformed("header"));
    }
    assert_eq!(
        refused(&signed(&without(header(), "kid"), &claims())),
        Refusal::Malformed("header")
    );
}

#[test]
fn another_clusters_token_is_refused() {
    let other = TokenKey::new(&[2; 32], "k2");
    let token = other.sign(&caller(), "test/worker", Some(THUMBPRINT), NOW).unwrap();
    let refusal = refused(&token);
    assert_eq!(refusal, Refusal::UnknownKey);
    assert!(refusal.to_string().contains("internal-communication.shared-secret"));
    let same_name = TokenKey::new(&[2; 32], "k1");
    let token = same_name.sign(&caller(), "test/worker", Some(THUMBPRINT), NOW).unwrap();
    assert_eq!(refused(&token), Refusal::Signature);
}

#[test]
fn empty_and_altered_signatures_are_refused() {
    let token = token();
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(refused(&format!("{message}.")), Refusal::Signature);
    assert_eq!(refused(message), Refusal::Malformed("form"));
    for position in 0..signature.len() - 1 {
        let mut altered = signature.as_bytes().to_vec();
        altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(refused(&format!("{message}.{altered}")), Refusal::Signature);
    }
    assert_eq!(refused(&format!("{message}.{}", &signature[..20])), Refusal::Signature);
    // Other claims under the old signature.
    let header = message.split('.').next().unwrap();
    let forged = BASE64URL.encode(with(claims(), "sub", json!("evil")).to_string());
    assert_eq!(refused(&format!("{header}.{forged}.{signature}")), Refusal::Signature);
}

#[test]
fn expired_token_is_refused() {
    let (token, binding) = (token(), Binding::Certificate(THUMBPRINT));
    assert!(check_at(&token, NOW + LIFE + LEEWAY - 1, binding).is_ok());
    let refusal = check_at(&token, NOW + LIFE + LEEWAY, binding);
    assert_eq!(refusal, Err(Refusal::Expired { seconds: LEEWAY }));
    assert_eq!(check_at(&token, u64::MAX, binding).ok(), None);
}

#[test]
fn token_of_the_future_is_refused() {
    let (token, binding) = (token(), Binding::Certificate(THUMBPRINT));
    assert!(check_at(&token, NOW - LEEWAY, binding).is_ok());
    let refusal = check_at(&token, NOW - LEEWAY - 1, binding);
    assert_eq!(refusal, Err(Refusal::NotYetValid { seconds: LEEWAY + 1 }));
    for claim in ["nbf", "iat"] {
        let claims = with(claims(), claim, json!(NOW + 30));
        assert_eq!(refused(&signed(&header(), &claims)), Refusal::NotYetValid { seconds: 30 });
    }
    assert!(check_at(&token, 0, binding).is_err());
}

#[test]
fn long_lives_are_refused() {
    for exp in [NOW + LONGEST_LIFE + 1, NOW + 86_400, u64::MAX, NOW, NOW - 1, 0] {
        let token = signed(&header(), &with(claims(), "exp", json!(exp)));
        assert_eq!(refused(&token), Refusal::Life { limit: LONGEST_LIFE }, "{exp}");
    }
    let longest = with(claims(), "exp", json!(NOW + LONGEST_LIFE));
    assert!(checked(&signed(&header(), &longest)).is_ok());
}

#[test]
fn each_missing_claim_is_refused() {
    for claim in ["exp", "iat", "nbf", "iss", "sub", "aud", "cnf"] {
        let token = signed(&header(), &without(claims(), claim));
        assert_eq!(refused(&token), Refusal::MissingClaim(claim));
        let token = signed(&header(), &with(claims(), claim, Value::Null));
        assert_eq!(refused(&token), Refusal::MissingClaim(claim));
    }
}

#[test]
fn each_claim_of_a_wrong_type_is_refused() {
    for (claim, value) in [
        ("exp", json!("1800000060")),
        ("exp", json!(1.8e9)),
        ("exp", json!(-1)),
        ("iat", json!(true)),
        ("nbf", json!([NOW])),
        ("iss", json!(["test/coordinator"])),
        ("sub", json!(1)),
        // An array that names us among others is another form of the claim, which no node makes.
        ("aud", json!(["test/worker"])),
        ("cnf", json!("abc")),
        ("cnf", json!({"jkt": "abc"})),
    ] {
        let token = signed(&header(), &with(claims(), claim, value));
        assert_eq!(refused(&token), Refusal::Malformed("claims"), "{claim}");
    }
    assert_eq!(refused(&signed(&header(), &json!([1]))), Refusal::Malformed("claims"));
}

#[test]
fn repeated_claim_is_refused() {
    let twice = format!(r#"{{"aud":"prod/worker",{}"#, &claims().to_string()[1..]);
    let message = format!("{}.{}", BASE64URL.encode(header().to_string()), BASE64URL.encode(twice));
    let key = EncodingKey::from_secret(&KEY);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    assert_eq!(refused(&format!("{message}.{signature}")), Refusal::Malformed("claims"));
}

#[test]
fn token_for_another_node_is_refused() {
    for aud in ["test/coordinator", "prod/worker", "worker", "test/worker/", "", "TEST/worker"] {
        let token = signed(&header(), &with(claims(), "aud", json!(aud)));
        assert!(matches!(refused(&token), Refusal::Audience { .. }), "{aud}");
    }
}

#[test]
fn token_of_another_environment_or_role_is_refused() {
    let refusal = |iss: &str| refused(&signed(&header(), &with(claims(), "iss", json!(iss))));
    assert_eq!(
        refusal("prod/coordinator"),
        Refusal::Environment { theirs: "prod".into(), ours: "test".into() }
    );
    assert_eq!(refusal("test/operator"), Refusal::Role { role: "operator".into() });
    assert_eq!(refusal("test/"), Refusal::Role { role: String::new() });
    assert_eq!(refusal("coordinator"), Refusal::Malformed("claim 'iss'"));
    let nobody = signed(&header(), &with(claims(), "sub", json!("")));
    assert_eq!(refused(&nobody), Refusal::MissingClaim("sub"));
}

#[test]
fn token_without_its_certificate_is_refused() {
    let stolen = check_at(&token(), NOW, Binding::Certificate([8; 32]));
    assert_eq!(stolen, Err(Refusal::OtherCertificate));
    let unbound = key().sign(&caller(), "test/worker", None, NOW).unwrap();
    assert_eq!(refused(&unbound), Refusal::MissingClaim("cnf"));
    assert_eq!(check_at(&unbound, NOW, Binding::None), Ok(caller()));
}

#[test]
fn huge_and_shapeless_tokens_are_refused() {
    assert_eq!(refused(&"a".repeat(1 << 20)), Refusal::TooLong { limit: LONGEST_TOKEN });
    let padded = with(claims(), "padding", json!("x".repeat(1 << 20)));
    let padded = signed(&header(), &padded);
    assert_eq!(refused(&padded), Refusal::TooLong { limit: LONGEST_TOKEN });
    for token in ["", ".", "..", "a.b.c", "....", "Bearer x", "\u{0}", "eyJhbGciOiJIUzI1NiJ9"] {
        assert!(matches!(refused(token), Refusal::Malformed(_)), "{token}");
    }
    let token = token();
    assert!(checked(&format!("{token}.x")).is_err());
    assert!(checked(&format!("{token} ")).is_err());
    assert!(checked(&format!("Bearer {token}")).is_err());
    assert!(token.len() < 600, "{}", token.len());
}
