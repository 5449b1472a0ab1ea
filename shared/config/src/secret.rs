//! The cluster's secret: read, made, never printed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;
use zeroize::Zeroizing;

/// The least length of a secret, without white space, in bytes.
pub const SHORTEST: usize = 32;

/// The least number of different bytes in a secret.
pub const LEAST_DIFFERENT: usize = 10;

/// Secrets that stand in the documentation: known to everybody, so refused.
pub const DOCS_EXAMPLES: &[&str] = &[
    "0123456789abcdef0123456789abcdef",
    "e+3bLcQGdU/SbQRfCm8QkY1uX/nHXv4Kw2N/swdEIhpDnIaXYbTX+mGuALFiFN7A5fFWbv4jL9y/T76YSnixeG4K7o\
     d+KQR1EynRbcx6ssC0x4yutZ9jogobq2sfouEMHnev4vUGfq/iUhY9MDMAygQ7A1Jl7wCFXeeislEiOASMb+MFQM2i\
     7cdUH73+0UmPkXyDn4/i9VLjsjRWHSoEJ5ZVcdn/9TUcdVV2flDHkTKHuzmQ4FvStBmFtpn2TAGgG48Y3yAiKQZQOq\
     03pYx62AgE4FpkRSaiG3ZZpqisEMFnaV0trUPZyFbXndfxNjD+gJ2MdCVH9tD7r0bzN1HG3Ajt24LBMBc1agw6u7x7\
     pycFr/IQ8L41qnRuFQcTNQWX/Cu4gcB4SawkLuMI96dLCADB42WbT8rBSSynK7ZmMHWUskQcIHR7aMWgA8lpiLk/U0\
     QbwewpUV2H7yilTocOV0NlCsT/wDbqkJ3Qb0Sw5J8yRuo1194hO5vQL8DGHcr91vpeR4EUyjZEIOu2ghmLaeAtYlou\
     XwlzyE0u5ye0pHm6HFDUfgsCC85VsOJqo6YGb6aq3E7TMHMG1w0URH3Pr0WUpbVxcBXtbje0nujg2bovSFMpGtn5nJ\
     Djxv7wQqykJnSgEfFpN7tiIugRAYh5ek52uYHAagUpIeYL19QJ/3k=",
];

/// Why a text is not taken as a secret. Never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Fewer than [`SHORTEST`] bytes.
    #[error("is too short: {0} bytes without white space, and the least is 32")]
    TooShort(usize),
    /// Fewer than [`LEAST_DIFFERENT`] different bytes.
    #[error("is too simple: it has only {0} different bytes")]
    TooSimple(usize),
    /// One of [`DOCS_EXAMPLES`].
    #[error("is an example from the documentation, which everybody knows")]
    Example,
    /// The system gives no random bytes.
    #[error("cannot be made: the system gives no random bytes")]
    NoRandomness,
}

/// The shared secret of a cluster. Cleared from memory on drop; `Debug` and `Display` show nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text, without any white space in it: `openssl rand 512 | base64` prints several lines.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut secret = Zeroizing::new(String::with_capacity(text.len()));
        secret.extend(text.chars().filter(|c| !is_white_space(*c)));
        if DOCS_EXAMPLES.contains(&secret.as_str()) {
            return Err(SecretError::Example);
        }
        if secret.len() < SHORTEST {
            return Err(SecretError::TooShort(secret.len()));
        }
        let mut seen = [false; 256];
        secret.bytes().for_each(|byte| seen[usize::from(byte)] = true);
        let different = seen.iter().filter(|seen| **seen).count();
        if different < LEAST_DIFFERENT {
            return Err(SecretError::TooSimple(different));
        }
        Ok(Self(secret))
    }

    /// A new one: 64 random bytes of the operating system, in base64.
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0_u8; 64]);
        let filled = rand::rngs::OsRng.try_fill_bytes(bytes.as_mut_slice());
        filled.map_err(|_| SecretError::NoRandomness)?;
        Self::parse(&Zeroizing::new(STANDARD.encode(bytes.as_slice())))
    }

    /// The secret itself, to derive keys from or to hand to who asked for a new one. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What does not count in a secret: part of the recipe in docs/security/derivation.md.
fn is_white_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn white_space_in_a_secret_does_not_count() {
        let one = Secret::parse("zyxwvutsrqponmlk0123456789abcdef").unwrap();
        let other = Secret::parse(" zyxwvutsrqponmlk\r\n\t0123456789abcdef\n\n").unwrap();
        assert_eq!(one.expose(), other.expose());
    }

    #[test]
    fn weak_secrets_and_examples_are_refused() {
        let refused = |text: &str| Secret::parse(text).unwrap_err();
        assert_eq!(refused("0123456789abcdef 0123456789abcde"), SecretError::TooShort(31));
        assert_eq!(refused(&"abcabcabc".repeat(10)), SecretError::TooSimple(3));
        assert_eq!(refused(&"123456789".repeat(10)), SecretError::TooSimple(9));
        assert!(Secret::parse(&"0123456789".repeat(10)).is_ok());
        for example in DOCS_EXAMPLES {
            assert_eq!(refused(example), SecretError::Example);
        }
    }

    #[test]
    fn generated_secrets_differ_and_are_accepted() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(STANDARD.decode(one.expose()).unwrap().len(), 64);
        assert!(Secret::parse(one.expose()).is_ok());
    }

    #[test]
    fn secrets_are_never_printed() {
        let secret = Secret::generate().unwrap();
        let printed = format!("{secret} {secret:?} {:?}", Some(&secret));
        assert!(!printed.contains(&secret.expose()[..8]), "{printed}");
        let error = Secret::parse("hunter2-hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
