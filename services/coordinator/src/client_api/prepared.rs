//! Prepared statements as headers carry them: the text, or `$zstd:` and the text compressed.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};

const PREFIX: &str = "$zstd:";
/// Shorter texts are sent as they are.
const MIN_LENGTH: usize = 2_048;
/// So many characters must be saved.
const MIN_GAIN: usize = 512;
/// The longest text that is decompressed.
const MAX_LENGTH: u64 = 16 << 20;

/// Padding is written; clients may leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text, compressed where that pays.
pub(super) fn compressed(sql: &str) -> String {
    if sql.len() < MIN_LENGTH {
        return sql.to_owned();
    }
    let packed = zstd::bulk::compress(sql.as_bytes(), 0)
        .map(|bytes| format!("{PREFIX}{}", BASE64.encode(bytes)));
    match packed {
        Ok(packed) if packed.len() + MIN_GAIN <= sql.len() => packed,
        _ => sql.to_owned(),
    }
}

/// The text of a header's value; nothing when it is no text.
pub(super) fn decompressed(value: &str) -> Option<String> {
    let Some(packed) = value.strip_prefix(PREFIX) else { return Some(value.to_owned()) };
    let packed = BASE64.decode(packed).ok()?;
    let mut text = String::new();
    let reader = zstd::stream::read::Decoder::new(packed.as_slice()).ok()?;
    let read = reader.take(MAX_LENGTH + 1).read_to_string(&mut text).ok()?;
    (read as u64 <= MAX_LENGTH).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_compressed_and_come_back() {
        let short = "SELECT ?";
        assert_eq!(compressed(short), short);
        let long = format!("SELECT {}", "?, ".repeat(2_000));
        let packed = compressed(&long);
        assert!(packed.starts_with(PREFIX) && packed.len() < 512, "{}", packed.len());
        assert_eq!(decompressed(&packed).as_deref(), Some(long.as_str()));
        assert_eq!(decompressed(packed.trim_end_matches('=')).as_deref(), Some(long.as_str()));
        assert_eq!(decompressed(short).as_deref(), Some(short));
        for bad in ["$zstd:", "$zstd:!!", "$zstd:AAAA"] {
            assert_eq!(decompressed(bad), None, "{bad}");
        }
    }
}
