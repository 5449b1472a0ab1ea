//! What is derived from `internal-communication.shared-secret`: HKDF-SHA256 (RFC 5869) with an
//! empty salt and one label for each use, so that nothing derived is ever used for two things.
//! `docs/security/derivation.md` is the recipe, with test vectors.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use internal_auth::TokenKey;
use internal_tls::ClusterCa;

/// Label of the seed of the cluster CA's Ed25519 key (32 bytes).
pub const CLUSTER_CA: &str = "waterbear/1/cluster-ca";
/// Label of the key that signs tokens (32 bytes).
pub const TOKEN_KEY: &str = "waterbear/1/token-key";
/// Label of the public name of that key, the token header's `kid` (8 bytes).
pub const TOKEN_KEY_ID: &str = "waterbear/1/token-key-id";
/// Label of the cluster's public name in a shared spool (4 bytes).
pub const SPOOL_NAMESPACE: &str = "waterbear/1/spool-namespace";

/// All that a node derives from the cluster's secret.
#[derive(Clone)]
pub struct ClusterKeys {
    ca_seed: [u8; 32],
    token_key: [u8; 32],
    token_key_id: String,
    spool_namespace: String,
}

impl ClusterKeys {
    /// Derives them. White space must have been removed from the secret before.
    pub fn derive(secret: &[u8]) -> Self {
        let key = Salt::new(HKDF_SHA256, &[]).extract(secret);
        Self {
            ca_seed: expand(&key, CLUSTER_CA),
            token_key: expand(&key, TOKEN_KEY),
            token_key_id: hex(&expand::<8>(&key, TOKEN_KEY_ID)),
            spool_namespace: hex(&expand::<4>(&key, SPOOL_NAMESPACE)),
        }
    }

    /// The cluster's certificate authority.
    pub fn cluster_ca(&self) -> Result<ClusterCa, internal_tls::Error> {
        ClusterCa::derive(&self.ca_seed)
    }

    /// The key that signs tokens.
    pub fn token_key(&self) -> TokenKey {
        TokenKey::new(&self.token_key, &*self.token_key_id)
    }

    /// The public name of the token key: 16 hexadecimal digits. Two nodes with the same one have
    /// the same secret.
    pub fn token_key_id(&self) -> &str {
        &self.token_key_id
    }

    /// The cluster's public name in a shared spool: 8 hexadecimal digits.
    pub fn spool_namespace(&self) -> &str {
        &self.spool_namespace
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKeys")
            .field("token_key_id", &self.token_key_id)
            .finish_non_exhaustive()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[allow(clippy::expect_used)]
fn expand<const N: usize>(key: &Prk, label: &str) -> [u8; N] {
    let mut output = [0; N];
    // HKDF-SHA256 fails only above 255 * 32 bytes, and when the lengths differ.
    key.expand(&[label.as_bytes()], Length(N))
        .and_then(|expanded| expanded.fill(&mut output))
        .expect("a constant length of at most 32 bytes");
    output
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::*;

    /// The `name = value` lines of the documented test vectors, one map for each secret.
    fn documented() -> Vec<Vec<(&'static str, &'static str)>> {
        let text = include_str!("../../../docs/security/derivation.md");
        let blocks = text.split("```vector\n").skip(1);
        blocks
            .map(|block| {
                let lines = block.split("```").next().unwrap().lines();
                lines.map(|line| line.split_once(" = ").unwrap()).collect()
            })
            .collect()
    }

    #[test]
    fn documented_vectors_are_what_the_code_derives() {
        let vectors = documented();
        assert!(vectors.len() >= 2);
        for vector in vectors {
            let value = |name| vector.iter().find(|(key, _)| *key == name).unwrap().1;
            let keys = ClusterKeys::derive(value("secret").as_bytes());
            assert_eq!(hex(&keys.ca_seed), value(CLUSTER_CA));
            assert_eq!(hex(&keys.token_key), value(TOKEN_KEY));
            assert_eq!(keys.token_key_id(), value(TOKEN_KEY_ID));
            assert_eq!(keys.spool_namespace(), value(SPOOL_NAMESPACE));
            let certificate = keys.cluster_ca().unwrap().certificate_der();
            assert_eq!(hex(&certificate), value("CA certificate DER"));
            let fingerprint = digest(&SHA256, &certificate);
            assert_eq!(hex(fingerprint.as_ref()), value("SHA-256 of the CA certificate DER"));
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?}", ClusterKeys::derive(&[1; 32]));
        assert_eq!(printed.matches("token_key").count(), 1, "{printed}");
    }
}
