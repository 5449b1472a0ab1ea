//! `approx_percentile`: the exact one, which is an approximation too.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};

use super::collect::Def;
use crate::nested::{Keys, cast, invalid, item_of};

pub(super) const TABLE: &[Def] = &[Def {
    name: "approx_percentile",
    resolve: percentile_type,
    counts: Some(0),
    compact: None,
    finish: percentile,
}];

fn value_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Float32 | DataType::Float64 => Some(data_type.clone()),
        DataType::Decimal128(..) => Some(DataType::Float64),
        integer if integer.is_integer() => Some(DataType::Int64),
        _ => None,
    }
}

/// `(value, percentile)`, `(value, weight, percentile)`; the percentile may be an array.
fn percentile_type(types: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    let (value, weight, percentile) = match types {
        [value, percentile] => (value, None, percentile),
        [value, weight, percentile] => (value, Some(weight), percentile),
        _ => return None,
    };
    let value = value_type(value)?;
    let several = item_of(percentile).is_some() && *percentile != DataType::Null;
    let (percentile, result) = if several {
        let list = |item: DataType| DataType::new_list(item, true);
        (list(DataType::Float64), list(value.clone()))
    } else {
        (DataType::Float64, value.clone())
    };
    let weight = weight.map(|weight| weight.is_numeric().then_some(DataType::Float64));
    let mut arguments = vec![value];
    match weight {
        Some(None) => return None,
        Some(Some(weight)) => arguments.push(weight),
        None => {}
    }
    arguments.push(percentile);
    Some((arguments, result))
}

fn percentile(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    let (values, wanted) = (&columns[0], &columns[columns.len() - 1]);
    let weights = match columns {
        [_, weights, _] => weights.as_primitive::<Float64Type>().clone(),
        _ => Float64Array::from_value(1.0, values.len()),
    };
    if weights.iter().any(|weight| !weight.is_some_and(|weight| weight > 0.0)) {
        return Err(invalid("percentile weight must be > 0"));
    }
    let keys = Keys::of(&[values])?;
    let mut rows: Vec<usize> = (0..values.len()).collect();
    rows.sort_by(|a, b| keys.get(*a).cmp(&keys.get(*b)));
    let total: f64 = weights.values().iter().sum();
    // The first value up to which there is so much of the weight.
    let row = |percentile: Option<f64>| match percentile {
        Some(percentile) if (0.0..=1.0).contains(&percentile) => {
            let mut below = 0.0;
            let reached = rows.iter().find(|row| {
                below += weights.value(**row);
                below >= percentile * total
            });
            Ok(reached.or(rows.last()).map(|row| *row as u64))
        }
        Some(_) => Err(invalid("percentile must be between 0 and 1")),
        None => Err(invalid("percentile cannot be null")),
    };
    if let Some(list) = wanted.as_list_opt::<i32>() {
        let wanted = cast(&list.value(0), &DataType::Float64)?;
        let wanted = wanted.as_primitive::<Float64Type>();
        let rows = wanted.iter().map(row).collect::<Result<Vec<_>>>()?;
        let values = take(values.as_ref(), &UInt64Array::from(rows), None)?;
        return Ok(SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar());
    }
    let wanted = wanted.as_primitive::<Float64Type>();
    match row(wanted.is_valid(0).then(|| wanted.value(0)))? {
        Some(row) => ScalarValue::try_from_array(values, row as usize),
        None => ScalarValue::try_from(values.data_type()),
    }
}
