//! The types of CAST and of literals that `operators` plans: booleans, numbers and texts.

use datafusion::sql::sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo};
use waterbear_functions::cast::Target;
use waterbear_protocol::ErrorCode;

use super::operators::{CAST, LITERAL};

/// The longest char that there is.
const MAX_CHAR: u64 = 65_536;

/// The type that a statement names; `None` for types of other kinds.
///
/// # Errors
/// The code and message for digits or lengths that there are not.
pub(super) fn target(data_type: &DataType) -> Result<Option<Target>, (ErrorCode, String)> {
    use arrow::datatypes::DataType::{Int8, Int16, Int32, Int64};
    Ok(Some(match data_type {
        DataType::Boolean => Target::Boolean,
        DataType::TinyInt(None) => Target::Integer(Int8),
        DataType::SmallInt(None) => Target::Integer(Int16),
        DataType::Int(None) | DataType::Integer(None) => Target::Integer(Int32),
        DataType::BigInt(None) => Target::Integer(Int64),
        DataType::Real => Target::Real,
        DataType::Double(ExactNumberInfo::None) | DataType::DoublePrecision => Target::Double,
        DataType::Decimal(info) | DataType::Dec(info) | DataType::Numeric(info) => decimal(info)?,
        DataType::Varchar(None) => Target::Varchar(None),
        DataType::Varchar(Some(length)) => match characters(length)? {
            // The length that means any.
            length if length == i32::MAX as u64 => Target::Varchar(None),
            length => Target::Varchar(Some(u32::try_from(length).unwrap_or(u32::MAX))),
        },
        DataType::Char(None) | DataType::Character(None) => Target::Char(1),
        DataType::Char(Some(length)) | DataType::Character(Some(length)) => {
            match characters(length)? {
                length if length <= MAX_CHAR => {
                    Target::Char(u32::try_from(length).unwrap_or(u32::MAX))
                }
                length => {
                    let text =
                        format!("CHAR length must be in range [0, {MAX_CHAR}], got {length}");
                    return Err((ErrorCode::INVALID_FUNCTION_ARGUMENT, text));
                }
            }
        }
        _ => return Ok(None),
    }))
}

fn decimal(info: &ExactNumberInfo) -> Result<Target, (ErrorCode, String)> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (38, 0),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let digits = u8::try_from(precision).ok().filter(|precision| (1..=38).contains(precision));
    match digits.zip(u8::try_from(scale).ok()) {
        Some((precision, scale)) if scale <= precision => Ok(Target::Decimal(precision, scale)),
        _ => {
            let text = format!("Invalid decimal type: decimal({precision},{scale})");
            Err((ErrorCode::TYPE_MISMATCH, text))
        }
    }
}

fn characters(length: &CharacterLength) -> Result<u64, (ErrorCode, String)> {
    match length {
        CharacterLength::IntegerLength { length, unit: None } if *length <= i32::MAX as u64 => {
            Ok(*length)
        }
        other => Err((ErrorCode::TYPE_NOT_FOUND, format!("Unknown type: varchar({other})"))),
    }
}

/// The operator that makes the value of `BIGINT '1'`, `DECIMAL '1.0'`, `CHAR 'x'` of its text.
pub(super) fn literal_operator(target: &Target, written: &DataType, text: &str) -> String {
    let length = || u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    match (target, written) {
        (Target::Decimal(..), DataType::Decimal(ExactNumberInfo::None)) => {
            format!("{LITERAL} decimal")
        }
        (Target::Char(_), DataType::Char(None) | DataType::Character(None)) => {
            format!("{CAST}char({})", length())
        }
        (target, _) => format!("{CAST}{}", target.trino_type().listing()),
    }
}
