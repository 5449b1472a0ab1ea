//! `array_sort` by a lambda that compares.

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ValueOrLambda;

use super::arrays::lists;
use super::higher::{Call, Def, Known, Parameters, Planned, field};
use crate::nested::{Gather, as_list, cast, invalid, item_of};

pub(super) const TABLE: &[Def] =
    &[Def { name: "$array_sort_by", parameters, result: result_type, invoke: sort }];

fn parameters(_: usize, arguments: &[Planned]) -> Option<(Parameters, bool)> {
    let [ValueOrLambda::Value(list), ValueOrLambda::Lambda(_)] = arguments else { return None };
    let item = item_of(list.data_type())?;
    Some((vec![vec![item.clone(), item]], true))
}

fn result_type(arguments: &[Known]) -> Option<FieldRef> {
    let [ValueOrLambda::Value(list), ValueOrLambda::Lambda(order)] = arguments else { return None };
    let integer = order.data_type().is_integer() || *order.data_type() == DataType::Null;
    as_list(list.data_type()).filter(|_| integer).map(field)
}

fn sort(call: &Call) -> Result<ArrayRef> {
    let lists = lists(call, 0)?;
    let mut result = Gather::default();
    for (row, range) in lists.ranges().enumerate() {
        let Some(range) = range else {
            result.push_null();
            continue;
        };
        let rows = UInt64Array::from(vec![row as u64]);
        let item =
            |at: usize| take(lists.values().as_ref(), &UInt64Array::from(vec![at as u64]), None);
        let in_order = |left: usize, right: usize| {
            let order = call.lambda(1, &[item(left)?, item(right)?], &rows)?;
            let order = cast(&order, &DataType::Int64)?;
            let order = order.as_primitive::<Int64Type>();
            match order.is_valid(0).then(|| order.value(0)) {
                Some(order @ -1..=1) => Ok(order <= 0),
                _ => Err(invalid("Lambda comparator must return either -1, 0, or 1")),
            }
        };
        result.push(merge_sort(range.collect(), &in_order)?);
    }
    result.lists(lists.values(), &lists.item())
}

/// The standard library's sorts may panic when a comparison contradicts itself, which lambdas do.
fn merge_sort(
    items: Vec<usize>,
    in_order: &impl Fn(usize, usize) -> Result<bool>,
) -> Result<Vec<usize>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items[items.len() / 2..].to_vec();
    let left = merge_sort(items[..items.len() / 2].to_vec(), in_order)?;
    let right = merge_sort(right, in_order)?;
    let mut merged = Vec::with_capacity(items.len());
    let (mut l, mut r) = (0, 0);
    while l < left.len() && r < right.len() {
        if in_order(left[l], right[r])? {
            merged.push(left[l]);
            l += 1;
        } else {
            merged.push(right[r]);
            r += 1;
        }
    }
    merged.extend_from_slice(&left[l..]);
    merged.extend_from_slice(&right[r..]);
    Ok(merged)
}
