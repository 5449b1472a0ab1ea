//! Keys and frames: how an object is sealed.
//!
//! Each object begins with a header: [`MAGIC`], the format's version, and 32 random bytes. Its key
//! is HKDF-SHA256 (RFC 5869) of the query's key with these bytes as salt, and with version, kind
//! and attempt as info; so no two objects have one key, and a frame can have its number as nonce.
//! A frame is a length, then AES-256-GCM's ciphertext and tag; what it belongs to is authenticated
//! with it. The tag is the frame's checksum as well.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use waterbear_ids::AttemptId;
use waterbear_protocol::spool::QueryKey;
use zeroize::Zeroize;

use crate::error::FormatError;

/// What every object of a spool begins with.
pub const MAGIC: [u8; 7] = *b"WBSPOOL";
/// The version of the format, the byte after [`MAGIC`].
pub const VERSION: u8 = 1;
/// Bytes of the salt in the header.
pub const SALT_BYTES: usize = 32;
/// Bytes of the header.
pub const HEADER_BYTES: usize = MAGIC.len() + 1 + SALT_BYTES;
/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = 4;
/// Bytes that a frame has beyond what is in it and its length.
pub const TAG_BYTES: usize = 16;

/// Which of an attempt's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Its output.
    Data,
    /// Its record.
    Record,
}

impl ObjectKind {
    /// The object's name in the attempt's folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Record => "committed",
        }
    }
}

/// A random key for a query.
///
/// # Errors
/// When the system has no randomness.
pub fn random_query_key() -> Result<QueryKey, aws_lc_rs::error::Unspecified> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key)?;
    Ok(QueryKey::from_bytes(key))
}

/// What a frame is: authenticated, not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameId {
    /// The output partition.
    pub partition: u32,
    /// The frame's number, from zero at the object's start.
    pub number: u64,
    /// True for the last frame of a range: a range cannot be cut short unseen.
    pub end: bool,
}

/// The key of one object.
pub struct ObjectKey {
    key: LessSafeKey,
    attempt: Vec<u8>,
}

impl ObjectKey {
    /// A key for a new object, and its header.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn create(
        query: &QueryKey,
        attempt: &AttemptId,
        kind: ObjectKind,
    ) -> Result<(Self, [u8; HEADER_BYTES]), aws_lc_rs::error::Unspecified> {
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt)?;
        Ok((Self::derive(query, attempt, kind, &salt), header(&salt)))
    }

    /// The key of an object with this header; what follows the header is ignored.
    ///
    /// # Errors
    /// When the bytes are no header of this version.
    pub fn open(
        query: &QueryKey,
        attempt: &AttemptId,
        kind: ObjectKind,
        object: &[u8],
    ) -> Result<Self, FormatError> {
        let known = object.len().min(MAGIC.len());
        if object[..known] != MAGIC[..known] {
            return Err(FormatError::NotASpool);
        }
        if let Some(&found) = object.get(MAGIC.len())
            && found != VERSION
        {
            return Err(FormatError::Version { found, known: VERSION });
        }
        let Some(salt) = object.get(MAGIC.len() + 1..HEADER_BYTES) else {
            return Err(FormatError::Truncated { bytes: object.len() as u64, frame: 0 });
        };
        Ok(Self::derive(query, attempt, kind, salt))
    }

    /// The key for this salt.
    pub(crate) fn derive(
        query: &QueryKey,
        attempt: &AttemptId,
        kind: ObjectKind,
        salt: &[u8],
    ) -> Self {
        let attempt = attempt.to_string().into_bytes();
        let info: [&[u8]; 4] = [b"waterbear/spool/", &[VERSION], kind.name().as_bytes(), &attempt];
        let expanded = Salt::new(HKDF_SHA256, salt).extract(query.as_bytes());
        let mut bytes = [0; 32];
        // Neither can fail: the length is one block of the hash, and the cipher's.
        #[allow(clippy::expect_used)]
        let key = {
            let output = expanded.expand(&info, KeyBytes).expect("32 bytes are one block");
            output.fill(&mut bytes).expect("the length that was asked for");
            UnboundKey::new(&AES_256_GCM, &bytes).expect("32 bytes are a key")
        };
        bytes.zeroize();
        Self { key: LessSafeKey::new(key), attempt }
    }

    /// Appends a frame with `contents` to `out`. Each number must be used once.
    pub fn seal(&self, frame: FrameId, contents: &[u8], out: &mut Vec<u8>) {
        let length = (contents.len() + TAG_BYTES) as u32;
        out.extend_from_slice(&length.to_le_bytes());
        let start = out.len();
        out.extend_from_slice(contents);
        // AES-GCM takes 64 GiB; a frame's length is 32 bits.
        #[allow(clippy::expect_used)]
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(frame.number), self.aad(frame), &mut out[start..])
            .expect("a frame is not too long");
        out.extend_from_slice(tag.as_ref());
    }

    /// Opens a frame in place: ciphertext and tag become its contents, whose length is returned.
    ///
    /// # Errors
    /// When the bytes are not those that were sealed as this frame.
    pub fn unseal(&self, frame: FrameId, bytes: &mut [u8]) -> Result<usize, FormatError> {
        let opened = self.key.open_in_place(nonce(frame.number), self.aad(frame), bytes);
        opened.map(|contents| contents.len()).map_err(|_| FormatError::Seal { frame: frame.number })
    }

    fn aad(&self, frame: FrameId) -> Aad<Vec<u8>> {
        let mut bytes = self.attempt.clone();
        // No attempt's text has a zero byte: what follows cannot be taken for a part of it.
        bytes.push(0);
        bytes.extend_from_slice(&frame.partition.to_le_bytes());
        bytes.extend_from_slice(&frame.number.to_le_bytes());
        bytes.push(u8::from(frame.end));
        Aad::from(bytes)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

/// An object's header.
pub(crate) fn header(salt: &[u8; SALT_BYTES]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    header[MAGIC.len()] = VERSION;
    header[MAGIC.len() + 1..].copy_from_slice(salt);
    header
}

/// 96 bits: the frame's number, little-endian, and zeros.
fn nonce(frame: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&frame.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const KEY: QueryKey = QueryKey::from_bytes([7; 32]);

    fn attempt(text: &str) -> AttemptId {
        text.parse().unwrap()
    }

    fn key() -> ObjectKey {
        ObjectKey::derive(&KEY, &attempt("q.1.2.3"), ObjectKind::Data, &[9; SALT_BYTES])
    }

    const FRAME: FrameId = FrameId { partition: 5, number: 11, end: false };

    fn sealed(contents: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        key().seal(FRAME, contents, &mut out);
        out.split_off(LENGTH_BYTES)
    }

    #[test]
    fn a_frame_opens_to_what_was_sealed() {
        for contents in [&b""[..], b"x", &[3; 100_000]] {
            let mut bytes = sealed(contents);
            let length = key().unseal(FRAME, &mut bytes).unwrap();
            assert_eq!(&bytes[..length], contents);
        }
    }

    #[test]
    fn a_frame_opens_as_nothing_else() {
        let others = [
            FrameId { partition: 4, ..FRAME },
            FrameId { number: 12, ..FRAME },
            FrameId { end: true, ..FRAME },
        ];
        for other in others {
            let refused = key().unseal(other, &mut sealed(b"rows")).unwrap_err();
            assert_eq!(refused, FormatError::Seal { frame: other.number });
        }
        let salt = [9; SALT_BYTES];
        let keys = [
            ObjectKey::derive(&KEY, &attempt("q.1.2.4"), ObjectKind::Data, &salt),
            ObjectKey::derive(&KEY, &attempt("q.1.2.3"), ObjectKind::Record, &salt),
            ObjectKey::derive(&KEY, &attempt("q.1.2.3"), ObjectKind::Data, &[8; SALT_BYTES]),
            ObjectKey::derive(
                &QueryKey::from_bytes([6; 32]),
                &attempt("q.1.2.3"),
                ObjectKind::Data,
                &salt,
            ),
        ];
        for other in keys {
            assert!(other.unseal(FRAME, &mut sealed(b"rows")).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let whole = sealed(b"some rows");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(key().unseal(FRAME, &mut bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn headers_of_other_things_are_told_apart() {
        let open = |bytes: &[u8]| {
            ObjectKey::open(&KEY, &attempt("q.1.2.3"), ObjectKind::Data, bytes).unwrap_err()
        };
        let whole = header(&[1; SALT_BYTES]);
        assert_eq!(open(b"PAR1"), FormatError::NotASpool);
        assert_eq!(open(&whole[..20]), FormatError::Truncated { bytes: 20, frame: 0 });
        assert_eq!(open(&[]), FormatError::Truncated { bytes: 0, frame: 0 });
        let mut newer = whole;
        newer[MAGIC.len()] = 2;
        assert_eq!(open(&newer), FormatError::Version { found: 2, known: 1 });
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = (0..hex.len()).step_by(2);
        digits.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn documented_vectors_hold() {
        let text = include_str!("../../../docs/spool-format.md");
        let mut vectors = 0;
        for block in text.split("```vector\n").skip(1) {
            let lines = block.split("```").next().unwrap().lines();
            let fields: BTreeMap<_, _> = lines.map(|line| line.split_once(" =").unwrap()).collect();
            let field = |name: &str| fields[name].trim();
            let number = |name: &str| field(name).parse::<u64>().unwrap();
            let query = QueryKey::from_bytes(bytes(field("query_key")).try_into().unwrap());
            let salt: [u8; SALT_BYTES] = bytes(field("salt")).try_into().unwrap();
            let kinds = [ObjectKind::Data, ObjectKind::Record];
            let kind = kinds.into_iter().find(|kind| kind.name() == field("object")).unwrap();
            let attempt = attempt(field("attempt"));
            let key = ObjectKey::open(&query, &attempt, kind, &header(&salt)).unwrap();
            let frame = FrameId {
                partition: number("partition") as u32,
                number: number("frame"),
                end: number("end") == 1,
            };
            let mut sealed = Vec::new();
            key.seal(frame, &bytes(field("contents")), &mut sealed);
            assert_eq!(sealed, bytes(field("sealed")), "{fields:?}");
            vectors += 1;
        }
        assert_eq!(vectors, 3);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", key()), "ObjectKey(..)");
    }
}
