//! Lambdas over the items of arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::ValueOrLambda;

use super::higher::{Call, Def, Known, Parameters, Planned, field};
use crate::nested::{Gather, Lists, as_list, item_of, list_of};

pub(super) const TABLE: &[Def] = &[
    Def { name: "transform", parameters: one, result: transform_type, invoke: transform },
    Def { name: "filter", parameters: one, result: filter_type, invoke: filter },
    Def { name: "any_match", parameters: one, result: match_type, invoke: any_match },
    Def { name: "all_match", parameters: one, result: match_type, invoke: all_match },
    Def { name: "none_match", parameters: one, result: match_type, invoke: none_match },
    Def { name: "$array_first_match", parameters: one, result: item_type, invoke: first_match },
    Def { name: "zip_with", parameters: two, result: zip_type, invoke: zip_with },
];

/// An array and a lambda over its items.
fn one(_: usize, arguments: &[Planned]) -> Option<(Parameters, bool)> {
    let [ValueOrLambda::Value(list), ValueOrLambda::Lambda(_)] = arguments else { return None };
    Some((vec![vec![item_of(list.data_type())?]], true))
}

/// Two arrays and a lambda over pairs of their items.
fn two(_: usize, arguments: &[Planned]) -> Option<(Parameters, bool)> {
    let [ValueOrLambda::Value(left), ValueOrLambda::Value(right), ValueOrLambda::Lambda(_)] =
        arguments
    else {
        return None;
    };
    Some((vec![vec![item_of(left.data_type())?, item_of(right.data_type())?]], true))
}

fn transform_type(arguments: &[Known]) -> Option<FieldRef> {
    let [_, ValueOrLambda::Lambda(item)] = arguments else { return None };
    Some(field(list_of(item)))
}

fn is_boolean(field: &FieldRef) -> bool {
    matches!(field.data_type(), DataType::Boolean | DataType::Null)
}

fn filter_type(arguments: &[Known]) -> Option<FieldRef> {
    let [ValueOrLambda::Value(list), ValueOrLambda::Lambda(keeps)] = arguments else { return None };
    as_list(list.data_type()).filter(|_| is_boolean(keeps)).map(field)
}

fn match_type(arguments: &[Known]) -> Option<FieldRef> {
    let [_, ValueOrLambda::Lambda(matches)] = arguments else { return None };
    is_boolean(matches).then(|| field(DataType::Boolean))
}

fn item_type(arguments: &[Known]) -> Option<FieldRef> {
    let [ValueOrLambda::Value(list), ValueOrLambda::Lambda(keeps)] = arguments else { return None };
    let item = item_of(list.data_type()).filter(|_| is_boolean(keeps))?;
    Some(Arc::new(item.as_ref().clone().with_nullable(true)))
}

fn zip_type(arguments: &[Known]) -> Option<FieldRef> {
    let [_, _, ValueOrLambda::Lambda(item)] = arguments else { return None };
    Some(field(list_of(item)))
}

/// The lists of an argument.
pub(super) fn lists(call: &Call, position: usize) -> Result<Lists> {
    let data_type = as_list(call.data_type(position)?).unwrap_or(DataType::Null);
    Lists::new(&call.value(position, &data_type)?)
}

/// All items of lists that are not NULL.
pub(super) fn items(lists: &Lists) -> Gather {
    let mut items = Gather::default();
    for range in lists.ranges() {
        match range {
            Some(range) => items.push(range),
            None => items.push_null(),
        }
    }
    items
}

fn transform(call: &Call) -> Result<ArrayRef> {
    let lists = lists(call, 0)?;
    let items = items(&lists);
    let mapped = call.lambda(1, &[items.take(lists.values())?], &items.rows())?;
    let item = item_of(call.result.data_type()).unwrap_or_else(|| lists.item());
    items.lists_of(mapped, &item)
}

/// What the lambda says of every item, with the lists.
fn verdicts(call: &Call) -> Result<(Lists, BooleanArray)> {
    let lists = lists(call, 0)?;
    let items = items(&lists);
    let verdicts = call.lambda(1, &[items.take(lists.values())?], &items.rows())?;
    let verdicts = crate::nested::cast(&verdicts, &DataType::Boolean)?;
    Ok((lists, verdicts.as_boolean().clone()))
}

fn filter(call: &Call) -> Result<ArrayRef> {
    let (lists, keeps) = verdicts(call)?;
    let (mut at, mut result) = (0, Gather::default());
    for range in lists.ranges() {
        let Some(range) = range else {
            result.push_null();
            continue;
        };
        let first = at;
        at += range.len();
        let start = range.start;
        let keep = |item: &usize| {
            let verdict = first + item - start;
            keeps.is_valid(verdict) && keeps.value(verdict)
        };
        result.push(range.filter(keep));
    }
    result.lists(lists.values(), &lists.item())
}

/// True if any item is `wanted`, NULL if that is unknown, else false.
fn any_is(call: &Call, wanted: bool) -> Result<BooleanArray> {
    let (lists, verdicts) = verdicts(call)?;
    let mut at = 0;
    let of_list = |range: Option<std::ops::Range<usize>>| {
        let length = range?.len();
        let range = at..at + length;
        at += length;
        if range.clone().any(|at| verdicts.is_valid(at) && verdicts.value(at) == wanted) {
            return Some(true);
        }
        (!range.into_iter().any(|at| verdicts.is_null(at))).then_some(false)
    };
    Ok(lists.ranges().map(of_list).collect())
}

fn any_match(call: &Call) -> Result<ArrayRef> {
    Ok(Arc::new(any_is(call, true)?))
}

fn none_match(call: &Call) -> Result<ArrayRef> {
    Ok(Arc::new(arrow::compute::not(&any_is(call, true)?)?))
}

fn all_match(call: &Call) -> Result<ArrayRef> {
    Ok(Arc::new(arrow::compute::not(&any_is(call, false)?)?))
}

fn first_match(call: &Call) -> Result<ArrayRef> {
    let (lists, verdicts) = verdicts(call)?;
    let mut at = 0;
    let of_list = |range: Option<std::ops::Range<usize>>| {
        let range = range?;
        let first = at;
        at += range.len();
        let found = (first..at).find(|at| verdicts.is_valid(*at) && verdicts.value(*at))?;
        Some((range.start + found - first) as u64)
    };
    let found: UInt64Array = lists.ranges().map(of_list).collect();
    Ok(take(lists.values().as_ref(), &found, None)?)
}

fn zip_with(call: &Call) -> Result<ArrayRef> {
    let (left, right) = (lists(call, 0)?, lists(call, 1)?);
    let (mut of_left, mut of_right) = (Gather::default(), Gather::default());
    for (left, right) in left.ranges().zip(right.ranges()) {
        let (Some(mut left), Some(mut right)) = (left, right) else {
            of_left.push_null();
            of_right.push_null();
            continue;
        };
        let length = left.len().max(right.len());
        of_left.push_optional((0..length).map(|_| left.next()));
        of_right.push_optional((0..length).map(|_| right.next()));
    }
    let pairs = [of_left.take(left.values())?, of_right.take(right.values())?];
    let zipped = call.lambda(2, &pairs, &of_left.rows())?;
    let item = item_of(call.result.data_type()).unwrap_or_else(|| left.item());
    of_left.lists_of(zipped, &item)
}
