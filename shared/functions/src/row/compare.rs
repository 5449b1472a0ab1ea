//! Rows, arrays and maps compared item by item, as their items compare.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};

use crate::floats::nan;
use crate::nested::{Def, Keys, Lists, Maps, Resolved, common, invalid};

pub(super) const TABLE: &[Def] = &[
    Def { name: "$equal", resolve: compare_type, invoke: equal, volatile: false },
    Def { name: "$less", resolve: order_type, invoke: less, volatile: false },
];

fn compare_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let [left, right] = types else { return None };
    let data_type = common(left, right)?;
    Resolved::new(vec![data_type.clone(), data_type], DataType::Boolean)
}

/// Maps have no order.
fn order_type(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let map = types.iter().any(|data_type| matches!(data_type, DataType::Map(..)));
    if map { None } else { compare_type(types, constants) }
}

fn equal(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let [left, right] = arguments else { return Err(invalid("= takes two values")) };
    Ok(Arc::new(equals(left, right)?))
}

/// Equality of the values at the same places: unknown where that hangs on a NULL.
fn equals(left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray> {
    let both = |row: usize| left.is_valid(row) && right.is_valid(row);
    match left.data_type() {
        DataType::Struct(_) => {
            let (left_row, right_row) = (left.as_struct(), right.as_struct());
            let fields = left_row
                .columns()
                .iter()
                .zip(right_row.columns())
                .map(|(left, right)| equals(left, right))
                .collect::<Result<Vec<_>>>()?;
            let of_row = |row: usize| {
                both(row).then(|| all(fields.iter().map(|field| value(field, row))))?
            };
            Ok((0..left.len()).map(of_row).collect())
        }
        DataType::List(_) => {
            let (left, right) = (Lists::new(left)?, Lists::new(right)?);
            let of_row = |row: usize| {
                let (Some(l), Some(r)) = (left.range(row), right.range(row)) else {
                    return Ok(None);
                };
                if l.len() != r.len() {
                    return Ok(Some(false));
                }
                let items = equals(
                    &left.values().slice(l.start, l.len()),
                    &right.values().slice(r.start, r.len()),
                )?;
                Ok(all((0..items.len()).map(|item| value(&items, item))))
            };
            (0..left.len()).map(of_row).collect()
        }
        DataType::Map(..) => maps_equal(left, right),
        DataType::Null => Ok(BooleanArray::new_null(left.len())),
        _ => {
            let keys = Keys::of(&[left, right])?;
            // NaN equals nothing.
            let nan = nan(left);
            let of_row = |row: usize| {
                both(row).then(|| keys.get(row) == keys.get(left.len() + row) && !nan(row))
            };
            Ok((0..left.len()).map(of_row).collect())
        }
    }
}

fn value(array: &BooleanArray, row: usize) -> Option<bool> {
    array.is_valid(row).then(|| array.value(row))
}

/// AND of three-valued truths.
fn all(mut truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut known = true;
    let no = truths.any(|truth| {
        known &= truth.is_some();
        truth == Some(false)
    });
    if no { Some(false) } else { known.then_some(true) }
}

fn maps_equal(left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray> {
    let (left, right) = (Maps::new(left)?, Maps::new(right)?);
    let keys = Keys::of(&[left.keys(), right.keys()])?;
    let shift = left.keys().len();
    let of_row = |row: usize| {
        let (Some(l), Some(r)) = (left.range(row), right.range(row)) else { return Ok(None) };
        if l.len() != r.len() {
            return Ok(Some(false));
        }
        let mut truths = Vec::with_capacity(l.len());
        for at in l {
            let Some(other) = r.clone().find(|other| keys.get(at) == keys.get(other + shift))
            else {
                return Ok(Some(false));
            };
            let same = equals(&left.values().slice(at, 1), &right.values().slice(other, 1))?;
            truths.push(value(&same, 0));
        }
        Ok(all(truths.into_iter()))
    };
    (0..left.len()).map(of_row).collect()
}

fn less(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let [left, right] = arguments else { return Err(invalid("< takes two values")) };
    let keys = Keys::of(&[left, right])?;
    let of_row = |row: usize| {
        let there = left.is_valid(row) && right.is_valid(row);
        if there && (has_null(left, row) || has_null(right, row)) {
            return Err(crate::nested::failure(
                waterbear_protocol::ErrorCode::NOT_SUPPORTED,
                "ROW comparison not supported for fields with null elements",
            ));
        }
        Ok(there.then(|| keys.get(row).cmp(&keys.get(left.len() + row)) == Ordering::Less))
    };
    let result: BooleanArray = (0..left.len()).map(of_row).collect::<Result<_>>()?;
    Ok(Arc::new(result))
}

/// True when a NULL is anywhere inside of a value.
fn has_null(array: &ArrayRef, row: usize) -> bool {
    if array.is_null(row) {
        return true;
    }
    match array.data_type() {
        DataType::Struct(_) => {
            array.as_struct().columns().iter().any(|column| has_null(column, row))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).any(|item| has_null(&items, item))
        }
        _ => false,
    }
}
