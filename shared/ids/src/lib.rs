//! Identifiers of queries, stages, tasks, attempts and nodes: newtypes with one text form.
//!
//! Text forms, as Trino writes them: a query is `20261122_020500_00000_ab2cd`, a stage
//! `query.stage`, a task `query.stage.task`, an attempt `query.stage.task.attempt`; numbers count
//! from zero. Every type parses exactly what it prints.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a valid {kind}: expected {expected}")]
pub struct ParseIdError {
    text: String,
    kind: &'static str,
    expected: &'static str,
}

/// FNV-1a (Fowler, Noll, Vo): the same on all nodes and in all processes, unlike the standard
/// hasher.
pub fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Serialises through the text form.
macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A query: `yyyyMMdd_HHmmss_NNNNN_ccccc` (UTC time of submission, counter, the coordinator's
/// start id). Only characters of `[a-z0-9_]`, at most 64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(String);

text_serde!(QueryId);

impl QueryId {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stage of this query with the given number.
    pub fn stage(&self, number: u32) -> StageId {
        StageId { query: self.clone(), number }
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for QueryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            return Err(ParseIdError {
                text: text.chars().take(80).collect(),
                kind: "query id",
                expected: "1 to 64 characters of a-z, 0-9 and _",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// Splits `prefix.number`; the number has no sign and no leading zeros.
fn split_number(text: &str) -> Option<(&str, u32)> {
    let (prefix, digits) = text.rsplit_once('.')?;
    let canonical = digits == "0" || digits.starts_with(|c: char| ('1'..='9').contains(&c));
    let number = digits.parse().ok()?;
    canonical.then_some((prefix, number))
}

macro_rules! numbered_id {
    ($(#[$doc:meta])* $name:ident, $parent:ident: $parent_type:ident, $kind:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// What it is a part of.
            pub $parent: $parent_type,
            /// Its number within that, from zero.
            pub number: u32,
        }

        text_serde!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.$parent, self.number)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let parsed = split_number(text)
                    .and_then(|(parent, number)| Some(Self { $parent: parent.parse().ok()?, number }));
                parsed.ok_or_else(|| ParseIdError {
                    text: text.chars().take(120).collect(),
                    kind: $kind,
                    expected: $expected,
                })
            }
        }
    };
}

numbered_id!(
    /// A stage of a query: one fragment of its plan. Stage 0 is the root.
    StageId, query: QueryId, "stage id", "query.stage"
);
numbered_id!(
    /// A task: one stage's plan over fixed splits; the unit of retry.
    TaskId, stage: StageId, "task id", "query.stage.task"
);
numbered_id!(
    /// One attempt to run a task. Attempt numbers are never reused within a query.
    AttemptId, task: TaskId, "attempt id", "query.stage.task.attempt"
);

impl StageId {
    /// The task of this stage with the given number.
    pub fn task(&self, number: u32) -> TaskId {
        TaskId { stage: self.clone(), number }
    }
}

impl TaskId {
    /// The attempt at this task with the given number.
    pub fn attempt(&self, number: u32) -> AttemptId {
        AttemptId { task: self.clone(), number }
    }
}

impl AttemptId {
    /// The query that the attempt belongs to.
    pub fn query(&self) -> &QueryId {
        &self.task.stage.query
    }
}

/// A node's name in its cluster (`node.id`): 1 to 64 characters of letters, digits, `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(String);

text_serde!(NodeId);

impl NodeId {
    /// A random id, for a node that was given none.
    pub fn random() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            return Err(ParseIdError {
                text: text.chars().take(80).collect(),
                kind: "node id",
                expected: "1 to 64 characters of letters, digits, '-', '_' and '.'",
            });
        }
        Ok(Self(text.to_owned()))
    }
}

/// One life of a node's process: random at each start, so that a restarted node is told from the
/// one before. Text form: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(u64);

text_serde!(Incarnation);

impl Incarnation {
    /// A new random incarnation.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The number behind it.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() != 16 || !text.chars().all(hex) {
            return Err(ParseIdError {
                text: text.chars().take(80).collect(),
                kind: "incarnation",
                expected: "16 hexadecimal digits",
            });
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseIdError {
            text: text.to_owned(),
            kind: "incarnation",
            expected: "16 hexadecimal digits",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse_the_same_text() {
        let text = "20261122_020500_00000_ab2cd.3.0.12";
        let attempt: AttemptId = text.parse().unwrap();
        assert_eq!(attempt.number, 12);
        assert_eq!(attempt.task.stage.number, 3);
        assert_eq!(attempt.to_string(), text);
        assert_eq!(attempt.query().stage(3).task(0).attempt(12), attempt);
        let incarnation = Incarnation::random();
        assert_eq!(incarnation.to_string().parse(), Ok(incarnation));
    }

    #[test]
    fn the_hash_is_the_same_in_every_build() {
        // Test vectors of draft-eastlake-fnv.
        assert_eq!(stable_hash(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable_hash(*b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn texts_that_are_not_ids_are_refused_by_name() {
        for text in [
            "",
            "q.1",
            "q.1.2.-3",
            "q.1.2.03",
            "Q.1.2.3",
            "q.1.2.+3",
            "q.1.2.4294967296",
            "../x.1.2.3",
        ] {
            let error = text.parse::<AttemptId>().unwrap_err().to_string();
            assert!(error.contains("attempt id"), "{error}");
        }
        for text in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
        for text in ["", "0", "00000000000000ZZ", "+000000000000000", "ABCDEF0123456789"] {
            assert!(text.parse::<Incarnation>().is_err(), "{text}");
        }
    }
}
