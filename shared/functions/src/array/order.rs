//! The order of an array's items.

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};

use crate::nested::{Def, Gather, Keys, Lists, Resolved, item_of, list_of};

pub(super) const TABLE: &[Def] = &[
    Def { name: "array_sort", resolve: list_type, invoke: sort, volatile: false },
    Def { name: "array_max", resolve: item_type, invoke: max, volatile: false },
    Def { name: "array_min", resolve: item_type, invoke: min, volatile: false },
    Def { name: "$array_reverse", resolve: list_type, invoke: reverse, volatile: false },
    Def { name: "shuffle", resolve: list_type, invoke: shuffle, volatile: true },
];

type Constants<'a> = [Option<&'a ScalarValue>];

fn list_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list] = types else { return None };
    let list = list_of(&*item_of(list)?);
    Resolved::new(vec![list.clone()], list)
}

fn item_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list] = types else { return None };
    let item = item_of(list)?;
    Resolved::like(vec![list_of(&item)], &item)
}

fn sort(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let keys = Keys::of(&[lists.values()])?;
    let mut result = Gather::default();
    for range in lists.ranges() {
        let Some(range) = range else {
            result.push_null();
            continue;
        };
        let mut order: Vec<usize> = range.collect();
        order.sort_by(|a, b| {
            keys.is_null(*a).cmp(&keys.is_null(*b)).then_with(|| keys.get(*a).cmp(&keys.get(*b)))
        });
        result.push(order);
    }
    result.lists(lists.values(), &lists.item())
}

/// The item that `better` prefers; NULL for an empty array and for one with a NULL.
fn extreme(arguments: &[ArrayRef], greatest: bool) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let keys = Keys::of(&[lists.values()])?;
    let best: UInt64Array = lists
        .ranges()
        .map(|range| {
            let range = range?;
            if range.clone().any(|at| keys.is_null(at)) {
                return None;
            }
            let best = if greatest {
                range.max_by(|a, b| keys.get(*a).cmp(&keys.get(*b)))
            } else {
                range.min_by(|a, b| keys.get(*a).cmp(&keys.get(*b)))
            };
            best.map(|at| at as u64)
        })
        .collect();
    Ok(take(lists.values().as_ref(), &best, None)?)
}

fn max(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    extreme(arguments, true)
}

fn min(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    extreme(arguments, false)
}

fn reverse(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let mut result = Gather::default();
    for range in lists.ranges() {
        match range {
            Some(range) => result.push(range.rev()),
            None => result.push_null(),
        }
    }
    result.lists(lists.values(), &lists.item())
}

fn shuffle(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    use rand::seq::SliceRandom;

    let lists = Lists::new(&arguments[0])?;
    let mut random = rand::rng();
    let mut result = Gather::default();
    for range in lists.ranges() {
        let Some(range) = range else {
            result.push_null();
            continue;
        };
        let mut order: Vec<usize> = range.collect();
        order.shuffle(&mut random);
        result.push(order);
    }
    result.lists(lists.values(), &lists.item())
}
