//! The greatest, the least, and any.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue};

use super::collect::Def;
use super::collected::taken;
use crate::floats::nan;
use crate::nested::{Keys, invalid};

pub(super) const TABLE: &[Def] = &[
    Def {
        name: "arbitrary",
        resolve: any_type,
        counts: Some(0),
        compact: Some(first),
        finish: only,
    },
    Def {
        name: "any_value",
        resolve: any_type,
        counts: Some(0),
        compact: Some(first),
        finish: only,
    },
    Def { name: "$some", resolve: some_type, counts: None, compact: Some(two), finish: all },
    Def {
        name: "max_by",
        resolve: by_type,
        counts: Some(1),
        compact: Some(greatest),
        finish: greatest_value,
    },
    Def {
        name: "min_by",
        resolve: by_type,
        counts: Some(1),
        compact: Some(least),
        finish: least_value,
    },
    Def {
        name: "$max_n",
        resolve: n_type,
        counts: Some(0),
        compact: Some(greatest_n),
        finish: greatest_values,
    },
    Def {
        name: "$min_n",
        resolve: n_type,
        counts: Some(0),
        compact: Some(least_n),
        finish: least_values,
    },
    Def {
        name: "$max_by_n",
        resolve: by_n_type,
        counts: Some(1),
        compact: Some(greatest_by_n),
        finish: greatest_values_by,
    },
    Def {
        name: "$min_by_n",
        resolve: by_n_type,
        counts: Some(1),
        compact: Some(least_by_n),
        finish: least_values_by,
    },
];

type Types = Option<(Vec<DataType>, DataType)>;

fn any_type(types: &[DataType]) -> Types {
    let [value] = types else { return None };
    Some((vec![value.clone()], value.clone()))
}

fn by_type(types: &[DataType]) -> Types {
    let [value, _] = types else { return None };
    Some((types.to_vec(), value.clone()))
}

fn n_type(types: &[DataType]) -> Types {
    let [value, n] = types else { return None };
    let list = DataType::new_list(value.clone(), true);
    n.is_integer().then(|| (vec![value.clone(), DataType::Int64], list))
}

fn by_n_type(types: &[DataType]) -> Types {
    let [value, key, n] = types else { return None };
    let list = DataType::new_list(value.clone(), true);
    n.is_integer().then(|| (vec![value.clone(), key.clone(), DataType::Int64], list))
}

/// Up to two values, to tell whether there is only one.
fn some_type(types: &[DataType]) -> Types {
    let [value] = types else { return None };
    Some((vec![value.clone()], DataType::new_list(value.clone(), true)))
}

fn two(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| column.slice(0, column.len().min(2))).collect())
}

fn all(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    let values = Arc::clone(&columns[0]);
    Ok(SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar())
}

fn first(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| column.slice(0, 1)).collect())
}

fn only(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&columns[0], 0)
}

/// The row with the greatest (or least) key; NaN comes after all others.
fn extreme(columns: &[ArrayRef], greatest: bool) -> Result<usize> {
    let keys = Keys::of(&[&columns[1]])?;
    let left_out = nan(&columns[1]);
    let key = |row: usize| (!(greatest && left_out(row)), keys.get(row));
    let mut best = 0;
    for row in 1..columns[1].len() {
        let (this, before) = (key(row), key(best));
        if if greatest { this > before } else { this < before } {
            best = row;
        }
    }
    Ok(best)
}

fn row(columns: &[ArrayRef], at: usize) -> Result<Vec<ArrayRef>> {
    taken(columns, &UInt64Array::from(vec![at as u64]))
}

fn greatest(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    row(columns, extreme(columns, true)?)
}

fn least(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    row(columns, extreme(columns, false)?)
}

fn greatest_value(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&columns[0], extreme(columns, true)?)
}

fn least_value(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&columns[0], extreme(columns, false)?)
}

/// How many: what the last argument says.
fn count(columns: &[ArrayRef]) -> Result<usize> {
    let counts = columns[columns.len() - 1].as_primitive::<Int64Type>();
    let which = if columns.len() == 2 {
        "second argument of max_n/min_n"
    } else {
        "third argument of max_by/min_by"
    };
    match counts.is_valid(0).then(|| counts.value(0)) {
        Some(count) if count > 10_000 => {
            Err(invalid(format!("{which} must be less than or equal to 10000; found {count}")))
        }
        Some(count) if count > 0 => Ok(count as usize),
        _ => Err(invalid(format!("{which} must be a positive integer"))),
    }
}

/// The rows with the greatest (or least) keys, these first.
fn top(columns: &[ArrayRef], key: usize, greatest: bool) -> Result<UInt64Array> {
    let count = count(columns)?;
    let keys = Keys::of(&[&columns[key]])?;
    let left_out = nan(&columns[key]);
    let rank = |row: usize| (!(greatest && left_out(row)), keys.get(row));
    let mut rows: Vec<usize> = (0..columns[key].len()).collect();
    rows.sort_by(|a, b| {
        let order = rank(*a).cmp(&rank(*b));
        if greatest { order.reverse() } else { order }
    });
    rows.truncate(count);
    Ok(rows.into_iter().map(|row| Some(row as u64)).collect())
}

fn list(columns: &[ArrayRef], rows: &UInt64Array) -> Result<ScalarValue> {
    let values = take(columns[0].as_ref(), rows, None)?;
    Ok(SingleRowListArrayBuilder::new(values).with_nullable(true).build_list_scalar())
}

fn greatest_n(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    taken(columns, &top(columns, 0, true)?)
}

fn least_n(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    taken(columns, &top(columns, 0, false)?)
}

fn greatest_values(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    list(columns, &top(columns, 0, true)?)
}

fn least_values(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    list(columns, &top(columns, 0, false)?)
}

fn greatest_by_n(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    taken(columns, &top(columns, 1, true)?)
}

fn least_by_n(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    taken(columns, &top(columns, 1, false)?)
}

fn greatest_values_by(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    list(columns, &top(columns, 1, true)?)
}

fn least_values_by(columns: &[ArrayRef], _: &DataType) -> Result<ScalarValue> {
    list(columns, &top(columns, 1, false)?)
}
