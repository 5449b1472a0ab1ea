//! Types as a column's definition has them.

use datafusion::sql::sqlparser::tokenizer::Token;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_types::TrinoType;

use super::{expect, expect_token};
use crate::lexer::{failure_at, place};
use crate::metadata::Cursor;

/// Types without arguments.
const PLAIN: [&str; 13] = [
    "bigint",
    "boolean",
    "date",
    "double",
    "integer",
    "ipaddress",
    "json",
    "real",
    "smallint",
    "tinyint",
    "uuid",
    "varbinary",
    "unknown",
];

/// Reads a type, with Trino's defaults for arguments that are left out.
///
/// # Errors
/// TYPE_NOT_FOUND for names that Trino does not have; SYNTAX_ERROR.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<TrinoType, Failure> {
    let at = place(cursor.peek().span.start);
    let Token::Word(word) = cursor.peek().token.clone() else {
        return Err(cursor.mismatched("<type>"));
    };
    let name = word.value.to_lowercase();
    cursor.next();
    let unknown = || failure_at(at, ErrorCode::TYPE_NOT_FOUND, format!("Unknown type: {name}"));
    let invalid = |text: String| failure_at(at, ErrorCode::TYPE_MISMATCH, text);
    Ok(match name.as_str() {
        "int" => TrinoType::Plain("integer"),
        "double" => {
            cursor.take("PRECISION");
            TrinoType::Plain("double")
        }
        "varchar" => match arguments(cursor, 1)?.first() {
            None => TrinoType::Varchar(None),
            Some(length) => TrinoType::Varchar(Some(*length)),
        },
        "char" | "character" => {
            let length = arguments(cursor, 1)?.first().copied().unwrap_or(1);
            if length > 65_536 {
                let text = format!("CHAR length must be in range [0, 65536], got {length}");
                return Err(invalid(text));
            }
            TrinoType::Char(length)
        }
        "decimal" | "dec" | "numeric" => {
            let arguments = arguments(cursor, 2)?;
            let precision = arguments.first().copied().unwrap_or(38);
            let scale = arguments.get(1).copied().unwrap_or(0);
            match (u8::try_from(precision), u8::try_from(scale)) {
                (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => {
                    TrinoType::Decimal(precision, scale)
                }
                _ => {
                    return Err(invalid(format!(
                        "Invalid decimal type: decimal({precision},{scale})"
                    )));
                }
            }
        }
        "time" | "timestamp" => {
            let precision = arguments(cursor, 1)?.first().copied().unwrap_or(3);
            let Ok(precision @ 0..=12) = u8::try_from(precision) else {
                let kind = name.to_uppercase();
                return Err(invalid(format!(
                    "{kind} precision must be in range [0, 12]: {precision}"
                )));
            };
            let zoned = zone(cursor)?;
            match (name.as_str(), zoned) {
                ("time", false) => TrinoType::Time(precision),
                ("timestamp", false) => TrinoType::Timestamp(precision),
                ("timestamp", true) => TrinoType::TimestampWithTimeZone(precision),
                _ => {
                    let text = "Type time with time zone is not supported";
                    return Err(failure_at(at, ErrorCode::NOT_SUPPORTED, text));
                }
            }
        }
        "array" => {
            let mut items = nested(cursor)?;
            match (items.pop(), items.pop()) {
                (Some(item), None) => TrinoType::Array(Box::new(item)),
                _ => return Err(unknown()),
            }
        }
        "map" => {
            let mut items = nested(cursor)?;
            match (items.pop(), items.pop(), items.pop()) {
                (Some(value), Some(key), None) => TrinoType::Map(Box::new(key), Box::new(value)),
                _ => return Err(unknown()),
            }
        }
        "row" => row(cursor)?,
        _ => match PLAIN.iter().find(|plain| **plain == name) {
            Some(plain) => TrinoType::Plain(plain),
            None => return Err(unknown()),
        },
    })
}

/// `(n, …)`, at most so many numbers.
fn arguments(cursor: &mut Cursor<'_>, most: usize) -> Result<Vec<u32>, Failure> {
    let mut numbers = Vec::new();
    if !cursor.take_token(&Token::LParen) {
        return Ok(numbers);
    }
    loop {
        let number = match &cursor.peek().token {
            Token::Number(digits, false) => digits.parse().ok(),
            _ => None,
        };
        let Some(number) = number.filter(|_| numbers.len() < most) else {
            return Err(cursor.mismatched("<integer>"));
        };
        cursor.next();
        numbers.push(number);
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    expect_token(cursor, &Token::RParen)?;
    Ok(numbers)
}

/// WITH or WITHOUT TIME ZONE; without by default.
fn zone(cursor: &mut Cursor<'_>) -> Result<bool, Failure> {
    let with = cursor.take("WITH");
    if with || cursor.take("WITHOUT") {
        expect(cursor, "TIME")?;
        expect(cursor, "ZONE")?;
    }
    Ok(with)
}

/// `(type, …)`
fn nested(cursor: &mut Cursor<'_>) -> Result<Vec<TrinoType>, Failure> {
    expect_token(cursor, &Token::LParen)?;
    let mut types = vec![parse(cursor)?];
    while cursor.take_token(&Token::Comma) {
        types.push(parse(cursor)?);
    }
    expect_token(cursor, &Token::RParen)?;
    Ok(types)
}

/// `(name type, …)`
fn row(cursor: &mut Cursor<'_>) -> Result<TrinoType, Failure> {
    expect_token(cursor, &Token::LParen)?;
    let mut fields = Vec::new();
    loop {
        let name = super::name(cursor)?;
        fields.push((name.text, parse(cursor)?));
        if !cursor.take_token(&Token::Comma) {
            break;
        }
    }
    expect_token(cursor, &Token::RParen)?;
    Ok(TrinoType::Row(fields))
}
