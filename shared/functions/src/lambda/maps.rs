//! Lambdas over the entries of maps.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::ValueOrLambda;

use super::higher::{Call, Def, Known, Parameters, Planned, field};
use crate::map::check_keys;
use crate::nested::{Gather, Keys, Maps, cast, map_of, map_parts};

pub(super) const TABLE: &[Def] = &[
    Def { name: "map_filter", parameters: one, result: filter_type, invoke: filter },
    Def { name: "transform_keys", parameters: one, result: keys_type, invoke: keys },
    Def { name: "transform_values", parameters: one, result: values_type, invoke: values },
    Def { name: "map_zip_with", parameters: two, result: zip_type, invoke: zip },
];

fn one(_: usize, arguments: &[Planned]) -> Option<(Parameters, bool)> {
    let [ValueOrLambda::Value(map), ValueOrLambda::Lambda(_)] = arguments else { return None };
    let (key, value) = map_parts(map.data_type())?;
    Some((vec![vec![key, value]], true))
}

fn two(_: usize, arguments: &[Planned]) -> Option<(Parameters, bool)> {
    let [ValueOrLambda::Value(left), ValueOrLambda::Value(right), ValueOrLambda::Lambda(_)] =
        arguments
    else {
        return None;
    };
    let (key, left) = map_parts(left.data_type())?;
    let (other, right) = map_parts(right.data_type())?;
    let nullable = |value: FieldRef| Arc::new(value.as_ref().clone().with_nullable(true));
    let same = key.data_type() == other.data_type();
    same.then(|| (vec![vec![key, nullable(left), nullable(right)]], true))
}

fn parts_of(argument: &Known) -> Option<(FieldRef, FieldRef)> {
    match argument {
        ValueOrLambda::Value(map) => map_parts(map.data_type()),
        ValueOrLambda::Lambda(_) => None,
    }
}

fn filter_type(arguments: &[Known]) -> Option<FieldRef> {
    let [map, ValueOrLambda::Lambda(keeps)] = arguments else { return None };
    let (key, value) = parts_of(map)?;
    let boolean = matches!(keeps.data_type(), DataType::Boolean | DataType::Null);
    boolean.then(|| field(map_of(&key, &value)))
}

fn keys_type(arguments: &[Known]) -> Option<FieldRef> {
    let [map, ValueOrLambda::Lambda(key)] = arguments else { return None };
    Some(field(map_of(key, &parts_of(map)?.1)))
}

fn values_type(arguments: &[Known]) -> Option<FieldRef> {
    let [map, ValueOrLambda::Lambda(value)] = arguments else { return None };
    Some(field(map_of(&parts_of(map)?.0, value)))
}

fn zip_type(arguments: &[Known]) -> Option<FieldRef> {
    let [map, _, ValueOrLambda::Lambda(value)] = arguments else { return None };
    Some(field(map_of(&parts_of(map)?.0, value)))
}

fn maps(call: &Call, position: usize) -> Result<Maps> {
    Maps::new(&call.value(position, &call.data_type(position)?.clone())?)
}

/// All entries, and what the lambda makes of them.
fn mapped(call: &Call) -> Result<(Gather, ArrayRef, ArrayRef, ArrayRef)> {
    let maps = maps(call, 0)?;
    let mut entries = Gather::default();
    for range in maps.ranges() {
        match range {
            Some(range) => entries.push(range),
            None => entries.push_null(),
        }
    }
    let (keys, values) = (entries.take(maps.keys())?, entries.take(maps.values())?);
    let pairs = [Arc::clone(&keys), Arc::clone(&values)];
    let mapped = call.lambda(1, &pairs, &entries.rows())?;
    Ok((entries, keys, values, mapped))
}

/// The ranges of the entries' maps behind each other.
fn ranges(entries: &Gather) -> Vec<Option<std::ops::Range<usize>>> {
    let mut at = 0;
    let range = |length: Option<usize>| {
        let from = at;
        at += length?;
        Some(from..at)
    };
    entries.lengths().map(range).collect()
}

fn filter(call: &Call) -> Result<ArrayRef> {
    let (entries, keys, values, keeps) = mapped(call)?;
    let keeps = cast(&keeps, &DataType::Boolean)?;
    let keeps = keeps.as_boolean();
    let mut result = Gather::default();
    for range in ranges(&entries) {
        match range {
            Some(range) => {
                result.push(range.filter(|at| keeps.is_valid(*at) && keeps.value(*at)));
            }
            None => result.push_null(),
        }
    }
    result.maps(&keys, &values, call.result.data_type())
}

fn keys(call: &Call) -> Result<ArrayRef> {
    let (entries, _, values, keys) = mapped(call)?;
    let order = Keys::of(&[&keys])?;
    for range in ranges(&entries).into_iter().flatten() {
        check_keys(&order, &keys, range)?;
    }
    entries.maps_of(keys, values, call.result.data_type())
}

fn values(call: &Call) -> Result<ArrayRef> {
    let (entries, keys, _, values) = mapped(call)?;
    entries.maps_of(keys, values, call.result.data_type())
}

fn zip(call: &Call) -> Result<ArrayRef> {
    let (left, right) = (maps(call, 0)?, maps(call, 1)?);
    let keys = concat(&[left.keys().as_ref(), right.keys().as_ref()])?;
    let order = Keys::of(&[&keys])?;
    let shift = left.keys().len();
    let (mut of_keys, mut of_left, mut of_right) =
        (Gather::default(), Gather::default(), Gather::default());
    for (left, right) in left.ranges().zip(right.ranges()) {
        let (Some(left), Some(right)) = (left, right) else {
            of_keys.push_null();
            continue;
        };
        let mut others: HashMap<_, usize> =
            right.clone().map(|at| (order.get(at + shift), at)).collect();
        let mut entries: Vec<(usize, Option<usize>, Option<usize>)> =
            left.map(|at| (at, Some(at), others.remove(&order.get(at)))).collect();
        let only_right = right.filter(|at| others.contains_key(&order.get(at + shift)));
        entries.extend(only_right.map(|at| (at + shift, None, Some(at))));
        of_keys.push(entries.iter().map(|entry| entry.0));
        of_left.push_optional(entries.iter().map(|entry| entry.1));
        of_right.push_optional(entries.iter().map(|entry| entry.2));
    }
    let keys = of_keys.take(&keys)?;
    let parameters =
        [Arc::clone(&keys), of_left.take(left.values())?, of_right.take(right.values())?];
    let values = call.lambda(2, &parameters, &of_keys.rows())?;
    of_keys.maps_of(keys, values, call.result.data_type())
}
