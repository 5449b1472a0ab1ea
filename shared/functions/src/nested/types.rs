//! Common types of several, and casts between types of the same shape.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;

/// `array(item)`.
pub(crate) fn list_of(item: &Field) -> DataType {
    let field = Field::new_list_field(item.data_type().clone(), true);
    DataType::List(Arc::new(field.with_metadata(item.metadata().clone())))
}

/// The item of an array type. NULL is an array of nothing.
pub(crate) fn item_of(data_type: &DataType) -> Option<FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(Arc::clone(item)),
        DataType::Null => Some(Arc::new(Field::new_list_field(DataType::Null, true))),
        _ => None,
    }
}

/// The type with its lists as [`DataType::List`]; None for what is no array.
pub(crate) fn as_list(data_type: &DataType) -> Option<DataType> {
    item_of(data_type).map(|item| list_of(&item))
}

/// `map(key, value)`.
pub(crate) fn map_of(key: &Field, value: &Field) -> DataType {
    let part = |name: &str, field: &Field, nullable| {
        Field::new(name, field.data_type().clone(), nullable)
            .with_metadata(field.metadata().clone())
    };
    let fields = Fields::from(vec![part("key", key, false), part("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

/// Key and value of a map type.
pub(crate) fn map_parts(data_type: &DataType) -> Option<(FieldRef, FieldRef)> {
    match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                Some((Arc::clone(&fields[0]), Arc::clone(&fields[1])))
            }
            _ => None,
        },
        DataType::Null => {
            let null = Arc::new(Field::new("key", DataType::Null, true));
            Some((Arc::clone(&null), null))
        }
        _ => None,
    }
}

const fn integer_digits(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 | DataType::UInt64 => 19,
        _ => return None,
    })
}

fn decimal_parts(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        other => integer_digits(other).map(|digits| (digits, 0)),
    }
}

/// The type that values of both types become without loss of meaning, as Trino coerces; None when
/// there is none.
pub(crate) fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Float32, Float64, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
    if left == right {
        return Some(left.clone());
    }
    let floating = |data_type: &DataType| matches!(data_type, Float32 | Float64);
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => Some(Utf8),
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Some(Timestamp(*unit, zone.clone()))
        }
        (Timestamp(a, left_zone), Timestamp(b, right_zone)) if left_zone == right_zone => {
            Some(Timestamp(*a.max(b), left_zone.clone()))
        }
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
            let fields = a.iter().zip(b).map(|(a, b)| common_field(a, b)).collect::<Option<_>>()?;
            Some(DataType::Struct(Fields::from(fields_of(fields))))
        }
        _ => {
            if let (Some(a), Some(b)) = (item_of(left), item_of(right)) {
                return Some(list_of(&common_field(&a, &b)?));
            }
            if let (Some((ak, av)), Some((bk, bv))) = (map_parts(left), map_parts(right)) {
                return Some(map_of(&common_field(&ak, &bk)?, &common_field(&av, &bv)?));
            }
            let (a, b) = match (decimal_parts(left), decimal_parts(right)) {
                (Some(a), Some(b)) => (a, b),
                (a, b) => {
                    let numeric =
                        (a.is_some() || floating(left)) && (b.is_some() || floating(right));
                    let double = *left == Float64 || *right == Float64;
                    return numeric.then_some(if double { Float64 } else { Float32 });
                }
            };
            if integer_digits(left).is_some() && integer_digits(right).is_some() {
                return Some(if a.0 > b.0 { left.clone() } else { right.clone() });
            }
            let scale = a.1.max(b.1);
            let whole = (i16::from(a.0) - i16::from(a.1)).max(i16::from(b.0) - i16::from(b.1));
            let precision = u8::try_from((whole + i16::from(scale)).min(38)).ok()?;
            Some(DataType::Decimal128(precision, scale))
        }
    }
}

fn fields_of(fields: Vec<Field>) -> Vec<FieldRef> {
    fields.into_iter().map(Arc::new).collect()
}

/// A field of the common type; notes stay where both agree.
fn common_field(left: &Field, right: &Field) -> Option<Field> {
    let data_type = common(left.data_type(), right.data_type())?;
    let metadata = match (left.data_type(), right.data_type()) {
        (DataType::Null, _) => right.metadata().clone(),
        (_, DataType::Null) => left.metadata().clone(),
        _ if left.metadata() == right.metadata() => left.metadata().clone(),
        _ => Default::default(),
    };
    Some(Field::new(left.name(), data_type, true).with_metadata(metadata))
}

/// Casts between types of the same shape: rows by position, whatever their fields are called.
///
/// # Errors
/// When a value does not fit the type.
pub(crate) fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), to) {
        (DataType::Null, _) => Ok(arrow::array::new_null_array(to, array.len())),
        (from, DataType::List(item)) if item_of(from).is_some() => {
            let list = plain_list(array)?;
            let list = list.as_list::<i32>();
            let values = cast(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let struct_type = entries.data_type().clone();
            let inside = Arc::new(map.entries().clone()) as ArrayRef;
            let inside = cast(&inside, &struct_type)?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inside, nulls, *sorted)?))
        }
        (DataType::Struct(from), DataType::Struct(fields)) if from.len() == fields.len() => {
            let row = array.as_struct();
            let columns = row
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| cast(column, field.data_type()))
                .collect::<Result<Vec<_>>>()?;
            let nulls = row.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                row.len(),
            )?))
        }
        _ => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            Ok(cast_with_options(array, to, &options)?)
        }
    }
}

/// A list of any kind as [`ListArray`] with the same items.
fn plain_list(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Ok(Arc::clone(array)),
        DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            Ok(arrow::compute::cast(array, &DataType::List(Arc::clone(item)))?)
        }
        other => {
            Ok(arrow::array::new_null_array(&as_list(other).unwrap_or(DataType::Null), array.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use DataType::{Decimal128, Float32, Float64, Int8, Int32, Int64, Null, Utf8};

    use super::*;

    #[test]
    fn common_types_are_trinos() {
        let list = |item: DataType| DataType::new_list(item, true);
        let cases = [
            (Int32, Int64, Some(Int64)),
            (Int8, Int32, Some(Int32)),
            (Int32, Decimal128(3, 2), Some(Decimal128(12, 2))),
            (Decimal128(38, 0), Decimal128(4, 2), Some(Decimal128(38, 2))),
            (Int64, Float32, Some(Float32)),
            (Decimal128(3, 1), Float64, Some(Float64)),
            (Float32, Float64, Some(Float64)),
            (Null, Utf8, Some(Utf8)),
            (Utf8, Int32, None),
            (list(Int32), list(Int64), Some(list(Int64))),
            (list(Null), list(Utf8), Some(list(Utf8))),
            (list(Int32), Int32, None),
        ];
        for (left, right, expected) in cases {
            assert_eq!(common(&left, &right), expected, "{left} {right}");
            assert_eq!(common(&right, &left), expected, "{right} {left}");
        }
    }
}
