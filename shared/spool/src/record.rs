//! The record in storage: what an attempt commits, sealed.

use waterbear_ids::AttemptId;
use waterbear_protocol::spool::{CommittedRecord, QueryKey};

use crate::error::FormatError;
use crate::seal::{FrameId, HEADER_BYTES, LENGTH_BYTES, ObjectKey, ObjectKind};

/// An output of so many bytes of pages, or fewer, lies in the record; there is no data object.
pub const INLINE_BYTES: usize = 64 << 10;

/// The partition that a record's frame says it is of; no output has it.
const RECORD: FrameId = FrameId { partition: u32::MAX, number: 0, end: true };

/// The record as it lies in storage.
///
/// # Errors
/// When the system has no randomness.
pub fn seal(record: &CommittedRecord, query: &QueryKey) -> Result<Vec<u8>, FormatError> {
    let json = serde_json::to_vec(record).map_err(|e| FormatError::Record(e.to_string()))?;
    let (key, header) = ObjectKey::create(query, &record.attempt, ObjectKind::Record)
        .map_err(|_| FormatError::Record("the system gives no random bytes".to_owned()))?;
    let mut bytes = header.to_vec();
    key.seal(RECORD, &json, &mut bytes);
    Ok(bytes)
}

/// Opens what lies in storage as this attempt's record.
///
/// # Errors
/// When it is not what the attempt wrote.
pub fn open(
    query: &QueryKey,
    attempt: &AttemptId,
    bytes: &[u8],
) -> Result<CommittedRecord, FormatError> {
    let key = ObjectKey::open(query, attempt, ObjectKind::Record, bytes)?;
    let truncated = || FormatError::Truncated { bytes: bytes.len() as u64, frame: 0 };
    let frame = bytes.get(HEADER_BYTES..).ok_or_else(truncated)?;
    let (length, sealed) = frame.split_first_chunk::<LENGTH_BYTES>().ok_or_else(truncated)?;
    if sealed.len() < u32::from_le_bytes(*length) as usize {
        return Err(truncated());
    }
    let mut sealed = sealed[..u32::from_le_bytes(*length) as usize].to_vec();
    let length = key.unseal(RECORD, &mut sealed)?;
    let record: CommittedRecord = serde_json::from_slice(&sealed[..length])
        .map_err(|error| FormatError::Record(error.to_string()))?;
    match record.attempt == *attempt {
        true => Ok(record),
        false => Err(FormatError::Record(format!("it is that of {}", record.attempt))),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use waterbear_protocol::spool::{InlinePage, Range};

    use super::*;

    const KEY: QueryKey = QueryKey::from_bytes([7; 32]);

    fn record() -> CommittedRecord {
        let range = |partition, offset| Range {
            partition,
            offset,
            length: 100,
            first_frame: u64::from(partition),
            frames: 1,
            rows: 3,
        };
        CommittedRecord {
            attempt: "q.1.2.3".parse().unwrap(),
            location: "/spool".to_owned(),
            header: Bytes::from_static(&[1; HEADER_BYTES]),
            data_bytes: 240,
            partitions: 2,
            rows: 6,
            ranges: vec![range(0, 40), range(1, 140)],
            inline: vec![InlinePage { partition: 1, rows: 1, page: Bytes::from_static(b"page") }],
        }
    }

    #[test]
    fn a_record_opens_as_it_was_sealed_and_for_its_attempt_alone() {
        let record = record();
        let sealed = seal(&record, &KEY).unwrap();
        assert_eq!(open(&KEY, &record.attempt, &sealed).unwrap(), record);
        let other = "q.1.2.4".parse().unwrap();
        let refused = open(&KEY, &other, &sealed).unwrap_err();
        assert_eq!(refused, FormatError::Seal { frame: 0 });
    }

    #[test]
    fn a_record_that_is_cut_short_anywhere_is_refused() {
        let record = record();
        let sealed = seal(&record, &KEY).unwrap();
        for length in 0..sealed.len() {
            let error = open(&KEY, &record.attempt, &sealed[..length]);
            let error = error.unwrap_err();
            assert!(matches!(error, FormatError::Truncated { .. }), "{length}: {error}");
        }
    }
}
