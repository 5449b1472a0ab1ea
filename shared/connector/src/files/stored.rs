//! The types that columns of Parquet files are read as: those that SQL has, for all that Arrow
//! has besides.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::scalar::ScalarValue;

/// Returns the columns as they are read.
///
/// # Errors
/// The name of a column whose type SQL lacks.
pub(super) fn read_as(schema: &Schema) -> Result<SchemaRef, String> {
    let read = |field: &FieldRef| {
        let data_type = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(DataType::Utf8View),
            DataType::Dictionary(_, values) if is_text(values) => Ok(DataType::Utf8View),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Ok(DataType::BinaryView)
            }
            other => read_type(other),
        };
        let data_type = data_type.map_err(|data_type| {
            format!("column {} has type {data_type}, which SQL lacks", field.name())
        })?;
        Ok::<_, String>(field.as_ref().clone().with_data_type(data_type).with_nullable(true))
    };
    let fields: Vec<Field> = schema.fields().iter().map(read).collect::<Result<_, _>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The type that has all values of the given one, or that one if there is none.
fn read_type(data_type: &DataType) -> Result<DataType, &DataType> {
    let inner = |field: &FieldRef| -> Result<FieldRef, DataType> {
        let data_type = read_type(field.data_type()).map_err(DataType::clone)?;
        Ok(Arc::new(field.as_ref().clone().with_data_type(data_type)))
    };
    let whole = |_| data_type;
    Ok(match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        // Trino reads these as the decimal that has all of their values.
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(precision, scale) if *precision <= 38 => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(..) | DataType::Duration(_) => return Err(data_type),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => read_type(values)?,
        DataType::RunEndEncoded(_, values) => read_type(values.data_type())?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(inner(item).map_err(whole)?),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries).map_err(whole)?, *sorted),
        DataType::Struct(fields) => {
            let fields: Result<Vec<FieldRef>, DataType> = fields.iter().map(inner).collect();
            DataType::Struct(fields.map_err(whole)?.into())
        }
        other => other.clone(),
    })
}

/// Returns the columns of a file in the order of the table, with the types that the file has.
pub(super) fn in_order_of(table: &Schema, file: &Schema) -> SchemaRef {
    let own = |field: &FieldRef| match file.field_with_name(field.name()) {
        Ok(own) => own.clone(),
        Err(_) => field.as_ref().clone(),
    };
    Arc::new(Schema::new(table.fields().iter().map(own).collect::<Vec<_>>()))
}

/// Gives the bounds of a file's columns the types that they are read as.
pub(super) fn statistics_as(mut statistics: Statistics, table: &Schema) -> Statistics {
    for (column, field) in statistics.column_statistics.iter_mut().zip(table.fields()) {
        for bound in [&mut column.min_value, &mut column.max_value] {
            *bound = bound_as(bound, field.data_type());
        }
    }
    statistics
}

fn bound_as(bound: &Precision<ScalarValue>, data_type: &DataType) -> Precision<ScalarValue> {
    let cast = |value: &ScalarValue| value.cast_to(data_type);
    match bound {
        Precision::Exact(value) => cast(value).map_or(Precision::Absent, Precision::Exact),
        Precision::Inexact(value) => cast(value).map_or(Precision::Absent, Precision::Inexact),
        Precision::Absent => Precision::Absent,
    }
}
