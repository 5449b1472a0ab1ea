//! New maps.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::compute::concat as concat_arrays;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};

use crate::nested::{
    Def, Gather, Keys, Lists, Maps, Resolved, common, invalid, item_of, list_of, map_of, map_parts,
};

pub(super) const TABLE: &[Def] = &[
    Def { name: "$map", resolve: map_type, invoke: map, volatile: false },
    Def { name: "map_concat", resolve: concat_type, invoke: concat, volatile: false },
    Def {
        name: "map_from_entries",
        resolve: from_entries_type,
        invoke: from_entries,
        volatile: false,
    },
    Def {
        name: "multimap_from_entries",
        resolve: multimap_type,
        invoke: multimap_from_entries,
        volatile: false,
    },
];

type Constants<'a> = [Option<&'a ScalarValue>];

/// Checks the keys of one map: none is NULL and none is there twice.
///
/// # Errors
/// INVALID_FUNCTION_ARGUMENT.
pub(crate) fn check_keys(
    keys: &Keys,
    values: &ArrayRef,
    mut range: impl Iterator<Item = usize>,
) -> Result<()> {
    let mut seen = HashSet::new();
    range.try_for_each(|at| {
        if keys.is_null(at) {
            return Err(invalid("map key cannot be null"));
        }
        if !seen.insert(keys.get(at)) {
            let key = ScalarValue::try_from_array(values, at)?;
            return Err(invalid(format!("Duplicate map keys ({key}) are not allowed")));
        }
        Ok(())
    })
}

fn map_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    match types {
        [] => {
            let unknown = Field::new("key", DataType::Null, true);
            Resolved::new(Vec::new(), map_of(&unknown, &unknown))
        }
        [keys, values] => {
            let (key, value) = (item_of(keys)?, item_of(values)?);
            Resolved::new(vec![list_of(&key), list_of(&value)], map_of(&key, &value))
        }
        _ => None,
    }
}

fn map(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let mut maps = Gather::default();
    let [keys, values] = arguments else {
        maps.push(std::iter::empty());
        let nothing = new_empty_array(&DataType::Null);
        return maps.maps(&nothing, &nothing, result.data_type());
    };
    let (keys, values) = (Lists::new(keys)?, Lists::new(values)?);
    let order = Keys::of(&[keys.values()])?;
    let mut of_values = Gather::default();
    for (key, value) in keys.ranges().zip(values.ranges()) {
        let (Some(key), Some(value)) = (key, value) else {
            maps.push_null();
            of_values.push_null();
            continue;
        };
        if key.len() != value.len() {
            return Err(invalid("Key and value arrays must be the same length"));
        }
        check_keys(&order, keys.values(), key.clone())?;
        maps.push(key);
        of_values.push(value);
    }
    let (keys, values) = (maps.take(keys.values())?, of_values.take(values.values())?);
    maps.maps_of(keys, values, result.data_type())
}

fn concat_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let map = types.iter().try_fold(DataType::Null, |map, next| {
        map_parts(next)?;
        common(&map, next)
    })?;
    let (key, value) = map_parts(&map)?;
    let map = map_of(&key, &value);
    (types.len() > 1).then(|| Resolved::new(vec![map.clone(); types.len()], map))?
}

fn concat(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let maps = arguments.iter().map(Maps::new).collect::<Result<Vec<_>>>()?;
    let keys: Vec<&dyn Array> = maps.iter().map(|map| map.keys().as_ref()).collect();
    let values: Vec<&dyn Array> = maps.iter().map(|map| map.values().as_ref()).collect();
    let (keys, values) = (concat_arrays(&keys)?, concat_arrays(&values)?);
    let order = Keys::of(&[&keys])?;
    let mut result_maps = Gather::default();
    for row in 0..maps.first().map_or(0, Maps::len) {
        let mut shift = 0;
        let mut ranges: Option<Vec<Range<usize>>> = Some(Vec::new());
        for map in &maps {
            match (map.range(row), &mut ranges) {
                (Some(range), Some(ranges)) => ranges.push(range.start + shift..range.end + shift),
                _ => ranges = None,
            }
            shift += map.keys().len();
        }
        let Some(ranges) = ranges else {
            result_maps.push_null();
            continue;
        };
        // The place of a key is that of its first, its value that of its last occurrence.
        let mut places = HashMap::new();
        let mut chosen: Vec<usize> = Vec::new();
        for at in ranges.into_iter().flatten() {
            match places.get(&order.get(at)) {
                Some(place) => chosen[*place] = at,
                None => {
                    places.insert(order.get(at), chosen.len());
                    chosen.push(at);
                }
            }
        }
        result_maps.push(chosen);
    }
    result_maps.maps(&keys, &values, result.data_type())
}

/// The key and value of an array of entries.
fn entry(types: &[DataType]) -> Option<(Field, Field)> {
    let [entries] = types else { return None };
    let item = item_of(entries)?;
    let DataType::Struct(fields) = item.data_type() else { return None };
    let [key, value] = fields.iter().as_slice() else { return None };
    Some((key.as_ref().clone(), value.as_ref().clone()))
}

fn entries_of(types: &[DataType]) -> Option<DataType> {
    item_of(types.first()?).map(|item| list_of(&item))
}

fn from_entries_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let (key, value) = entry(types)?;
    Resolved::new(vec![entries_of(types)?], map_of(&key, &value))
}

fn from_entries(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let entries = lists.values().as_struct();
    let (keys, values) = (entries.column(0), entries.column(1));
    let order = Keys::of(&[keys])?;
    let mut maps = Gather::default();
    for range in lists.ranges() {
        let Some(range) = range else {
            maps.push_null();
            continue;
        };
        if range.clone().any(|at| entries.is_null(at)) {
            return Err(invalid("map entry cannot be null"));
        }
        check_keys(&order, keys, range.clone())?;
        maps.push(range);
    }
    maps.maps(keys, values, result.data_type())
}

fn multimap_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let (key, value) = entry(types)?;
    let values = Field::new("value", list_of(&value), true);
    Resolved::new(vec![entries_of(types)?], map_of(&key, &values))
}

fn multimap_from_entries(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let entries = lists.values().as_struct();
    let (keys, values) = (entries.column(0), entries.column(1));
    let order = Keys::of(&[keys])?;
    let (mut maps, mut of_values) = (Gather::default(), Gather::default());
    for range in lists.ranges() {
        let Some(range) = range else {
            maps.push_null();
            continue;
        };
        let mut places = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for at in range {
            if entries.is_null(at) {
                return Err(invalid("map entry cannot be null"));
            }
            if order.is_null(at) {
                return Err(invalid("map key cannot be null"));
            }
            let place = *places.entry(order.get(at)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(at);
        }
        maps.push(groups.iter().map(|group| group[0]));
        groups.into_iter().for_each(|group| of_values.push(group));
    }
    let item = Field::new_list_field(values.data_type().clone(), true);
    maps.maps_of(maps.take(keys)?, of_values.lists(values, &item)?, result.data_type())
}
