//! Aggregates that give maps.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};

use super::collect::Def;
use crate::nested::{Gather, Keys, Maps, map_of, map_parts};

pub(super) const TABLE: &[Def] = &[
    Def { name: "map_agg", resolve: map_type, counts: Some(0), compact: None, finish: map },
    Def {
        name: "multimap_agg",
        resolve: multimap_type,
        counts: Some(0),
        compact: None,
        finish: multimap,
    },
    Def {
        name: "histogram",
        resolve: histogram_type,
        counts: Some(0),
        compact: None,
        finish: histogram,
    },
    Def { name: "map_union", resolve: union_type, counts: Some(0), compact: None, finish: union },
];

type Types = Option<(Vec<DataType>, DataType)>;

fn field(data_type: &DataType) -> Field {
    Field::new("value", data_type.clone(), true)
}

fn map_type(types: &[DataType]) -> Types {
    let [key, value] = types else { return None };
    Some((types.to_vec(), map_of(&field(key), &field(value))))
}

fn multimap_type(types: &[DataType]) -> Types {
    let [key, value] = types else { return None };
    let values = DataType::new_list(value.clone(), true);
    Some((types.to_vec(), map_of(&field(key), &field(&values))))
}

fn histogram_type(types: &[DataType]) -> Types {
    let [key] = types else { return None };
    Some((types.to_vec(), map_of(&field(key), &field(&DataType::Int64))))
}

fn union_type(types: &[DataType]) -> Types {
    let [map @ DataType::Map(..)] = types else { return None };
    let (key, value) = map_parts(map)?;
    let map = map_of(&key, &value);
    Some((vec![map.clone()], map))
}

/// The rows of each key, in the order of the keys' first rows.
fn groups(keys: &ArrayRef) -> Result<Vec<Vec<usize>>> {
    let order = Keys::of(&[keys])?;
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for row in 0..keys.len() {
        let place = *places.entry(order.get(row)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(row);
    }
    Ok(groups)
}

fn first_rows(groups: &[Vec<usize>]) -> Gather {
    let mut entries = Gather::default();
    entries.push(groups.iter().filter_map(|group| group.first().copied()));
    entries
}

/// A key that repeats keeps its first value.
fn map(columns: &[ArrayRef], result: &DataType) -> Result<ScalarValue> {
    let entries = first_rows(&groups(&columns[0])?);
    ScalarValue::try_from_array(&entries.maps(&columns[0], &columns[1], result)?, 0)
}

fn multimap(columns: &[ArrayRef], result: &DataType) -> Result<ScalarValue> {
    let groups = groups(&columns[0])?;
    let entries = first_rows(&groups);
    let mut values = Gather::default();
    groups.into_iter().for_each(|group| values.push(group));
    let values = values.lists(&columns[1], &field(columns[1].data_type()))?;
    ScalarValue::try_from_array(&entries.maps_of(entries.take(&columns[0])?, values, result)?, 0)
}

fn histogram(columns: &[ArrayRef], result: &DataType) -> Result<ScalarValue> {
    let groups = groups(&columns[0])?;
    let entries = first_rows(&groups);
    let counts: Int64Array = groups.iter().map(|group| Some(group.len() as i64)).collect();
    let counts = Arc::new(counts) as ArrayRef;
    ScalarValue::try_from_array(&entries.maps_of(entries.take(&columns[0])?, counts, result)?, 0)
}

fn union(columns: &[ArrayRef], result: &DataType) -> Result<ScalarValue> {
    let maps = Maps::new(&columns[0])?;
    let mut entries = Gather::default();
    entries.push(maps.ranges().flatten().flatten());
    let (keys, values) = (entries.take(maps.keys())?, entries.take(maps.values())?);
    map(&[keys, values], result)
}
