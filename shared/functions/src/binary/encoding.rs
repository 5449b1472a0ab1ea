//! Bytes as text and as numbers, and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Bytes, Call, Evaluated, TextArgument, function, invalid};

/// Java reads texts with and without padding, and does not look at bits that are left over.
const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("from_base64", |call| decode(call, |text| from_base64(&STANDARD, text))),
        function("from_base64url", |call| decode(call, |text| from_base64(&URL, text))),
        function("from_big_endian_32", |call| to_number::<Int32Type, 4>(call, i32::from_be_bytes)),
        function("from_big_endian_64", |call| to_number::<Int64Type, 8>(call, i64::from_be_bytes)),
        function("from_hex", |call| decode(call, from_hex)),
        function("from_ieee754_32", |call| to_number::<Float32Type, 4>(call, f32::from_be_bytes)),
        function("from_ieee754_64", |call| to_number::<Float64Type, 8>(call, f64::from_be_bytes)),
        function("from_utf8", from_utf8),
        function("to_base64", |call| encode(call, |bytes| STANDARD.encode(bytes))),
        function("to_base64url", |call| encode(call, |bytes| URL.encode(bytes))),
        function("to_big_endian_32", |call| of_number::<Int32Type, 4>(call, i32::to_be_bytes)),
        function("to_big_endian_64", |call| of_number::<Int64Type, 8>(call, i64::to_be_bytes)),
        function("to_hex", |call| encode(call, to_hex)),
        function("to_ieee754_32", |call| of_number::<Float32Type, 4>(call, f32::to_be_bytes)),
        function("to_ieee754_64", |call| of_number::<Float64Type, 8>(call, f64::to_be_bytes)),
        function("to_utf8", |call| {
            let text = call.text(0)?;
            call.make_bytes(|row| Some(Ok(text.get(row)?.as_bytes())))
        }),
    ]
}

fn encode(call: &Call<'_>, of: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    call.make_texts(|row| Some(Ok(of(bytes.get(row)?))))
}

/// Encoded text, which may also come as bytes.
enum Encoded {
    Text(TextArgument),
    Bytes(Bytes),
}

fn decode(call: &Call<'_>, of: fn(&[u8]) -> Evaluated<Vec<u8>>) -> Result<ArrayRef> {
    let encoded = match call.array(0)?.0.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Encoded::Bytes(call.bytes(0)?)
        }
        _ => Encoded::Text(call.text(0)?),
    };
    call.make_bytes(|row| {
        Some(of(match &encoded {
            Encoded::Text(text) => text.get(row)?.as_bytes(),
            Encoded::Bytes(bytes) => bytes.get(row)?,
        }))
    })
}

fn from_base64(engine: &GeneralPurpose, text: &[u8]) -> Evaluated<Vec<u8>> {
    engine.decode(text).map_err(|error| invalid(format!("Invalid base64: {error}")))
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn from_hex(text: &[u8]) -> Evaluated<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return Err(invalid("Invalid input length in hex string"));
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .map(|digit| digit as u8)
            .ok_or_else(|| invalid(format!("Invalid hex character: {}", char::from(byte))))
    };
    text.chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn to_number<T: ArrowPrimitiveType, const N: usize>(
    call: &Call<'_>,
    of: fn([u8; N]) -> T::Native,
) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    call.make_numbers::<T>(|row| {
        let bytes = bytes.get(row)?;
        Some(bytes.try_into().map(of).map_err(|_| {
            let text = format!("expected {N}-byte input, but got instead: {}", bytes.len());
            invalid(text)
        }))
    })
}

fn of_number<T: ArrowPrimitiveType, const N: usize>(
    call: &Call<'_>,
    of: fn(T::Native) -> [u8; N],
) -> Result<ArrayRef> {
    let numbers = call.numbers::<T>(0)?;
    call.make_bytes(|row| Some(Ok(of(numbers.get(row)?))))
}

/// What is no UTF-8 becomes U+FFFD, or the character that the call names (none for an empty text).
fn from_utf8(call: &Call<'_>) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    if call.arity() < 2 {
        return call.make_texts(|row| Some(Ok(String::from_utf8_lossy(bytes.get(row)?))));
    }
    if call.array(1)?.0.data_type() == &DataType::Int64 {
        let numbers = call.integers(1)?;
        return call.make_texts(|row| {
            let (bytes, number) = (bytes.get(row)?, numbers.get(row)?);
            let by = u32::try_from(number).ok().and_then(char::from_u32);
            Some(match by {
                Some(by) => Ok(repaired(bytes, by.encode_utf8(&mut [0; 4]))),
                None => Err(invalid(format!("Invalid replacement character {number}"))),
            })
        });
    }
    let by = call.text(1)?;
    call.make_texts(|row| {
        let (bytes, by) = (bytes.get(row)?, by.get(row)?);
        Some(match by.chars().count() {
            0 | 1 => Ok(repaired(bytes, by)),
            _ => Err(invalid("Replacement character string must empty or a single character")),
        })
    })
}

fn repaired(bytes: &[u8], by: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push_str(by);
        }
    }
    text
}
