//! Keys, values and entries of maps.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use waterbear_types::anonymous_field;

use crate::nested::{Def, Gather, Maps, Resolved, invalid, item_of, list_of, map_parts};

pub(super) const TABLE: &[Def] = &[
    Def { name: "map_keys", resolve: keys_type, invoke: keys, volatile: false },
    Def { name: "map_values", resolve: values_type, invoke: values, volatile: false },
    Def { name: "map_entries", resolve: entries_type, invoke: entries, volatile: false },
];

type Constants<'a> = [Option<&'a ScalarValue>];

fn of_map(types: &[DataType], result: fn(&Field, &Field) -> DataType) -> Option<Resolved> {
    let [map @ DataType::Map(..)] = types else { return None };
    let (key, value) = map_parts(map)?;
    Resolved::new(vec![map.clone()], result(&key, &value))
}

fn keys_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    of_map(types, |key, _| list_of(key))
}

fn values_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    of_map(types, |_, value| list_of(value))
}

fn entries_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    of_map(types, |key, value| {
        let key = key.clone().with_name(anonymous_field(0)).with_nullable(true);
        let value = value.clone().with_name(anonymous_field(1));
        DataType::new_list(DataType::Struct(Fields::from(vec![key, value])), true)
    })
}

fn lists(maps: &Maps, values: &ArrayRef, result: &Field) -> Result<ArrayRef> {
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let mut lists = Gather::default();
    for range in maps.ranges() {
        match range {
            Some(range) => lists.push(range),
            None => lists.push_null(),
        }
    }
    lists.lists(values, &item)
}

fn keys(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let maps = Maps::new(&arguments[0])?;
    lists(&maps, maps.keys(), result)
}

fn values(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let maps = Maps::new(&arguments[0])?;
    lists(&maps, maps.values(), result)
}

fn entries(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let maps = Maps::new(&arguments[0])?;
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let DataType::Struct(fields) = item.data_type() else { return Err(invalid("not rows")) };
    let columns = vec![Arc::clone(maps.keys()), Arc::clone(maps.values())];
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    lists(&maps, &(Arc::new(rows) as ArrayRef), result)
}
