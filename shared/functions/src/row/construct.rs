//! `ROW(a, b)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use waterbear_types::anonymous_field;

use crate::nested::{Def, Resolved, invalid};

pub(super) const TABLE: &[Def] =
    &[Def { name: "row", resolve: row_type, invoke: row, volatile: false }];

fn row_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let fields: Fields = types
        .iter()
        .enumerate()
        .map(|(position, field)| Field::new(anonymous_field(position), field.clone(), true))
        .collect();
    (!types.is_empty()).then(|| Resolved::new(types.to_vec(), DataType::Struct(fields)))?
}

fn row(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let DataType::Struct(fields) = result.data_type() else { return Err(invalid("not a row")) };
    let rows = arguments.first().map_or(1, |first| first.len());
    let columns = arguments.to_vec();
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, rows)?))
}
