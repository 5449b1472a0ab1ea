//! What is said of outputs in the spool. `docs/spool-format.md` is the format of the spool itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use waterbear_ids::AttemptId;
use zeroize::Zeroize;

use crate::base64_bytes;

/// The secret with which everything that a query spools is sealed. Made at random for each query;
/// it travels to workers over mutual TLS and is never in storage.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryKey([u8; 32]);

impl QueryKey {
    /// This key: 32 random bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for deriving keys of objects.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for QueryKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for QueryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryKey(..)")
    }
}

impl Serialize for QueryKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for QueryKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        let bytes = bytes.try_into().map_err(|_| serde::de::Error::custom("not 32 bytes"))?;
        Ok(Self(bytes))
    }
}

/// One partition's part of one run: frames that lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The output partition.
    pub partition: u32,
    /// Where the first frame begins, in bytes from the object's start.
    pub offset: u64,
    /// Bytes of the frames, lengths and seals included.
    pub length: u64,
    /// The first frame's number.
    pub first_frame: u64,
    /// How many frames there are; never zero.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
}

/// A page of an output that is small enough to lie in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlinePage {
    /// The output partition.
    pub partition: u32,
    /// Rows in it.
    pub rows: u64,
    /// The page.
    #[serde(with = "base64_bytes")]
    pub page: Bytes,
}

/// An attempt's output: the last thing that an attempt writes, and what its status carries. For a
/// consumer it is cut down to the consumer's partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedRecord {
    /// Whose output it is.
    pub attempt: AttemptId,
    /// The base directory in which it lies, as it is configured.
    pub location: String,
    /// The header of the data object; empty when there is none.
    #[serde(with = "base64_bytes")]
    pub header: Bytes,
    /// Bytes of the data object; zero when there is none.
    pub data_bytes: u64,
    /// Output partitions.
    pub partitions: u32,
    /// Rows of all partitions.
    pub rows: u64,
    /// What lies where in the data object, in the order of the object.
    pub ranges: Vec<Range>,
    /// What lies here, in the order in which it was made.
    pub inline: Vec<InlinePage>,
}

impl CommittedRecord {
    /// The part of it that a reader of these partitions needs.
    pub fn only(&self, wanted: impl Fn(u32) -> bool) -> Self {
        let ranges = self.ranges.iter().filter(|range| wanted(range.partition));
        let inline = self.inline.iter().filter(|page| wanted(page.partition));
        Self {
            attempt: self.attempt.clone(),
            location: self.location.clone(),
            header: self.header.clone(),
            data_bytes: self.data_bytes,
            partitions: self.partitions,
            rows: self.rows,
            ranges: ranges.copied().collect(),
            inline: inline.cloned().collect(),
        }
    }

    /// Bytes of pages and frames, here and in the data object.
    pub fn bytes(&self) -> u64 {
        let inline: usize = self.inline.iter().map(|page| page.page.len()).sum();
        let ranges: u64 = self.ranges.iter().map(|range| range.length).sum();
        inline as u64 + ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_sees_its_own_partitions_only() {
        let range = |partition| Range {
            partition,
            offset: 40,
            length: 100,
            first_frame: 0,
            frames: 1,
            rows: 3,
        };
        let page = |partition| InlinePage { partition, rows: 1, page: Bytes::from_static(b"page") };
        let record = CommittedRecord {
            attempt: "q.1.2.3".parse().unwrap(),
            location: "/spool".to_owned(),
            header: Bytes::new(),
            data_bytes: 240,
            partitions: 2,
            rows: 6,
            ranges: vec![range(0), range(1)],
            inline: vec![page(1), page(0)],
        };
        let part = record.only(|partition| partition == 1);
        assert_eq!((part.ranges, part.inline), (vec![range(1)], vec![page(1)]));
        assert_eq!(record.bytes(), 208);
    }

    #[test]
    fn a_key_travels_and_is_not_shown() {
        let key = QueryKey::from_bytes([7; 32]);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<QueryKey>(&json).unwrap(), key);
        assert_eq!(format!("{key:?}"), "QueryKey(..)");
        assert!(serde_json::from_str::<QueryKey>("\"AAAA\"").is_err());
    }
}
