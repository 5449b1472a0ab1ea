//! An Arrow type as Trino writes it.

use arrow::datatypes::{DataType, Field, TimeUnit};

/// Returns the Trino type of an Arrow type, such as `decimal(12,2)` or `array(varchar)`; `None`
/// if Trino has no such type.
pub fn trino_type(data_type: &DataType) -> Option<String> {
    let name = match data_type {
        DataType::Null => "unknown".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "decimal(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
            if *s >= 0 =>
        {
            format!("decimal({p},{s})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "varbinary".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time({})", digits(*unit)),
        DataType::Timestamp(unit, None) => format!("timestamp({})", digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => {
            format!("timestamp({}) with time zone", digits(*unit))
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => {
            format!("array({})", trino_type(element.data_type())?)
        }
        DataType::Struct(fields) => {
            let fields: Option<Vec<_>> = fields.iter().map(|field| row_field(field)).collect();
            format!("row({})", fields?.join(", "))
        }
        DataType::Map(entries, _) => map_type(entries)?,
        DataType::Dictionary(_, value) => trino_type(value)?,
        _ => return None,
    };
    Some(name)
}

fn row_field(field: &Field) -> Option<String> {
    Some(format!("\"{}\" {}", field.name().replace('"', "\"\""), trino_type(field.data_type())?))
}

fn map_type(entries: &Field) -> Option<String> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, value] = fields.as_ref() else { return None };
    Some(format!("map({}, {})", trino_type(key.data_type())?, trino_type(value.data_type())?))
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn arrow_types_have_trino_names() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let row = DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
        for (data_type, expected) in [
            (DataType::Int64, "bigint"),
            (DataType::Decimal128(12, 2), "decimal(12,2)"),
            (DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp(6)"),
            (
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                "timestamp(3) with time zone",
            ),
            (list, "array(varchar)"),
            (row, "row(\"a\" integer)"),
        ] {
            assert_eq!(trino_type(&data_type).as_deref(), Some(expected));
        }
        assert_eq!(trino_type(&DataType::Duration(TimeUnit::Second)), None);
        assert_eq!(trino_type(&DataType::Decimal128(5, -2)), None);
    }
}
