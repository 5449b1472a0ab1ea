//! Arrays as sets: their order is that of the first occurrences.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};

use super::access::array_and_item;
use crate::floats::nan;
use crate::nested::{Def, Gather, Keys, Lists, Resolved, common, item_of, list_of};

pub(super) const TABLE: &[Def] = &[
    Def { name: "array_distinct", resolve: one_type, invoke: distinct, volatile: false },
    Def { name: "array_union", resolve: two_type, invoke: union, volatile: false },
    Def { name: "array_intersect", resolve: two_type, invoke: intersect, volatile: false },
    Def { name: "array_except", resolve: two_type, invoke: except, volatile: false },
    Def { name: "arrays_overlap", resolve: overlap_type, invoke: overlap, volatile: false },
    Def { name: "array_remove", resolve: remove_type, invoke: remove, volatile: false },
];

type Constants<'a> = [Option<&'a ScalarValue>];

fn one_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list] = types else { return None };
    let list = list_of(&*item_of(list)?);
    Resolved::new(vec![list.clone()], list)
}

fn two(types: &[DataType]) -> Option<DataType> {
    let [left, right] = types else { return None };
    let (left, right) = (list_of(&*item_of(left)?), list_of(&*item_of(right)?));
    common(&left, &right)
}

fn two_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let list = two(types)?;
    Resolved::new(vec![list.clone(), list.clone()], list)
}

fn overlap_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let list = two(types)?;
    Resolved::new(vec![list.clone(), list], DataType::Boolean)
}

fn remove_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let (list, item) = array_and_item(types)?;
    Resolved::new(vec![list.clone(), item], list)
}

fn distinct(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let keys = Keys::of(&[lists.values()])?;
    let mut result = Gather::default();
    for range in lists.ranges() {
        let Some(range) = range else {
            result.push_null();
            continue;
        };
        let mut seen = HashSet::new();
        result.push(range.filter(|at| seen.insert(keys.get(*at))));
    }
    result.lists(lists.values(), &lists.item())
}

/// Builds a row's list from its two lists, whose values stand behind each other.
fn of_two(
    arguments: &[ArrayRef],
    pick: impl Fn(&Keys, Range<usize>, Range<usize>) -> Vec<usize>,
) -> Result<ArrayRef> {
    let (left, right) = (Lists::new(&arguments[0])?, Lists::new(&arguments[1])?);
    let keys = Keys::of(&[left.values(), right.values()])?;
    let values = concat(&[left.values().as_ref(), right.values().as_ref()])?;
    let shift = left.values().len();
    let mut result = Gather::default();
    for (left, right) in left.ranges().zip(right.ranges()) {
        match (left, right) {
            (Some(left), Some(right)) => {
                result.push(pick(&keys, left, right.start + shift..right.end + shift));
            }
            _ => result.push_null(),
        }
    }
    result.lists(&values, &left.item())
}

fn union(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    of_two(arguments, |keys, left, right| {
        let mut seen = HashSet::new();
        left.chain(right).filter(|at| seen.insert(keys.get(*at))).collect()
    })
}

fn intersect(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    of_two(arguments, |keys, left, right| {
        let mut wanted: HashSet<_> = right.map(|at| keys.get(at)).collect();
        left.filter(|at| wanted.remove(&keys.get(*at))).collect()
    })
}

fn except(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    of_two(arguments, |keys, left, right| {
        let mut seen: HashSet<_> = right.map(|at| keys.get(at)).collect();
        left.filter(|at| seen.insert(keys.get(*at))).collect()
    })
}

fn overlap(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let (left, right) = (Lists::new(&arguments[0])?, Lists::new(&arguments[1])?);
    let keys = Keys::of(&[left.values(), right.values()])?;
    let shift = left.values().len();
    let overlap: BooleanArray = left
        .ranges()
        .zip(right.ranges())
        .map(|(left, right)| {
            let (left, right) = (left?, right?);
            if left.is_empty() || right.is_empty() {
                return Some(false);
            }
            let right = right.start + shift..right.end + shift;
            let there: HashSet<_> =
                left.clone().filter(|at| !keys.is_null(*at)).map(|at| keys.get(at)).collect();
            if right.clone().any(|at| !keys.is_null(at) && there.contains(&keys.get(at))) {
                return Some(true);
            }
            let unknown = left.chain(right).any(|at| keys.is_null(at));
            (!unknown).then_some(false)
        })
        .collect();
    Ok(Arc::new(overlap))
}

fn remove(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let keys = Keys::of(&[lists.values(), &arguments[1]])?;
    let nan = nan(&arguments[1]);
    let first = lists.values().len();
    let mut result = Gather::default();
    for (row, range) in lists.ranges().enumerate() {
        match range {
            Some(range) if !keys.is_null(first + row) => {
                let differs = |at: &usize| nan(row) || keys.get(*at) != keys.get(first + row);
                result.push(range.filter(differs));
            }
            _ => result.push_null(),
        }
    }
    result.lists(lists.values(), &lists.item())
}
