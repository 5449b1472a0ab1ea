//! The type that two types have in common, as Trino coerces them.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, TimeUnit};

/// Precision and scale of a decimal, or of the decimal that an integer is coerced to.
pub fn decimal_digits(data_type: &DataType) -> Option<(u8, u8)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((*precision, u8::try_from(*scale).ok()?)),
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        _ => None,
    }
}

/// `decimal(precision, scale)` with no more digits than there can be.
pub fn decimal(precision: u8, scale: u8) -> DataType {
    let precision = precision.clamp(1, DECIMAL128_MAX_PRECISION);
    DataType::Decimal128(precision, i8::try_from(scale.min(precision)).unwrap_or(i8::MAX))
}

/// A number that has a place between tinyint and double.
pub fn is_number(data_type: &DataType) -> bool {
    decimal_digits(data_type).is_some() || is_float(data_type)
}

/// real or double.
pub fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// tinyint to bigint.
pub fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// varchar, char and what is stored like them.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The type that both can be coerced to without loss; `None` where Trino wants a CAST.
///
/// Only plain types are told apart: of two temporal types, two texts, two binary or two nested
/// types DataFusion's choice is taken.
pub fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Float32, Float64, Null};
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        _ if is_number(left) && is_number(right) => Some(match (left, right) {
            (Float64, _) | (_, Float64) => Float64,
            (Float32, _) | (_, Float32) => Float32,
            _ if is_integer(left) && is_integer(right) => wider_integer(left, right),
            _ => {
                let ((p1, s1), (p2, s2)) = (decimal_digits(left)?, decimal_digits(right)?);
                let scale = s1.max(s2);
                decimal((p1 - s1).max(p2 - s2) + scale, scale)
            }
        }),
        // DataFusion would take the coarser of two precisions.
        (DataType::Timestamp(l, zone), DataType::Timestamp(r, other)) if zone == other => {
            Some(DataType::Timestamp(finer(*l, *r), zone.clone()))
        }
        // As instants: the dialect reads what has no zone in the session's.
        (DataType::Date32, zoned @ DataType::Timestamp(_, Some(_)))
        | (zoned @ DataType::Timestamp(_, Some(_)), DataType::Date32) => Some(zoned.clone()),
        (DataType::Time32(l) | DataType::Time64(l), DataType::Time32(r) | DataType::Time64(r)) => {
            Some(match finer(*l, *r) {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                unit => DataType::Time64(unit),
            })
        }
        (DataType::Date32, timestamp @ DataType::Timestamp(_, None))
        | (timestamp @ DataType::Timestamp(_, None), DataType::Date32) => Some(timestamp.clone()),
        _ if family(left) == family(right) => {
            datafusion::logical_expr::binary::comparison_coercion(left, right)
        }
        _ => None,
    }
}

const fn finer(left: TimeUnit, right: TimeUnit) -> TimeUnit {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match (left, right) {
        (Nanosecond, _) | (_, Nanosecond) => Nanosecond,
        (Microsecond, _) | (_, Microsecond) => Microsecond,
        (Millisecond, _) | (_, Millisecond) => Millisecond,
        (Second, Second) => Second,
    }
}

fn wider_integer(left: &DataType, right: &DataType) -> DataType {
    if decimal_digits(left) > decimal_digits(right) { left.clone() } else { right.clone() }
}

/// Types of different families are never coerced to each other.
#[derive(Debug, PartialEq, Eq)]
enum Family {
    Number,
    Boolean,
    Text,
    Binary,
    DateOrTimestamp,
    Time,
    Interval,
    Nested,
}

fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Boolean => Family::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Dictionary(_, values) => family(values),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Family::Binary,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Family::DateOrTimestamp,
        DataType::Time32(_) | DataType::Time64(_) => Family::Time,
        DataType::Interval(_) | DataType::Duration(_) => Family::Interval,
        other if other.is_nested() => Family::Nested,
        _ => Family::Number,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_meet_at_the_wider_type() {
        use DataType::{Boolean, Date32, Float32, Float64, Int8, Int32, Int64, Null, Utf8};
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
        for (left, right, common) in [
            (Int8, Int32, Some(Int32)),
            (Int64, Int32, Some(Int64)),
            (Int32, decimal(3, 2), Some(decimal(12, 2))),
            (decimal(38, 0), decimal(38, 10), Some(decimal(38, 10))),
            (decimal(5, 2), Float32, Some(Float32)),
            (Int64, Float32, Some(Float32)),
            (Float32, Float64, Some(Float64)),
            (Null, Date32, Some(Date32)),
            (Date32, timestamp.clone(), Some(timestamp)),
            (Utf8, Int32, None),
            (Utf8, Date32, None),
            (Boolean, Int32, None),
        ] {
            assert_eq!(common_type(&left, &right), common, "{left} {right}");
            assert_eq!(common_type(&right, &left), common, "{right} {left}");
        }
    }
}
