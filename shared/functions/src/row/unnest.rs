//! What UNNEST makes of its arguments: one array of rows, which then becomes rows of the table.
//!
//! An array gives a column, an array of rows a column for each field, a map its keys and values.
//! The shorter ones are filled up with NULL. The last column is the ordinality.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StructArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};

use crate::nested::{Def, Gather, Lists, Maps, Resolved, invalid, item_of, list_of, map_parts};

pub(super) const TABLE: &[Def] = &[
    Def { name: "$unnest", resolve: unnest_type, invoke: inner, volatile: false },
    Def { name: "$unnest_outer", resolve: unnest_type, invoke: outer, volatile: false },
];

fn columns_of(data_type: &DataType) -> Option<Vec<FieldRef>> {
    if let DataType::Map(..) = data_type {
        let (key, value) = map_parts(data_type)?;
        return Some(vec![key, value]);
    }
    let item = item_of(data_type)?;
    match item.data_type() {
        DataType::Struct(fields) => Some(fields.iter().cloned().collect()),
        _ => Some(vec![item]),
    }
}

fn unnest_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let mut fields = Vec::new();
    let mut arguments = Vec::new();
    for data_type in types {
        for column in columns_of(data_type)? {
            let name = format!("c{}", fields.len());
            fields.push(column.as_ref().clone().with_name(name).with_nullable(true));
        }
        arguments.push(match data_type {
            DataType::Map(..) => data_type.clone(),
            list => list_of(&*item_of(list)?),
        });
    }
    fields.push(Field::new("ordinality", DataType::Int64, true));
    let row = DataType::Struct(Fields::from(fields));
    Resolved::new(arguments, DataType::new_list(row, true))
}

fn inner(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    unnest(arguments, result, false)
}

/// Rows without any item give one of NULLs.
fn outer(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    unnest(arguments, result, true)
}

type Ranges = Vec<Option<std::ops::Range<usize>>>;

/// Where the items of an argument's rows are, and their columns.
fn parts(argument: &ArrayRef) -> Result<(Ranges, Vec<ArrayRef>)> {
    if let DataType::Map(..) = argument.data_type() {
        let maps = Maps::new(argument)?;
        let columns = vec![Arc::clone(maps.keys()), Arc::clone(maps.values())];
        return Ok((maps.ranges().collect(), columns));
    }
    let lists = Lists::new(argument)?;
    let columns = match lists.values().as_struct_opt() {
        None => vec![Arc::clone(lists.values())],
        Some(rows) => {
            // A row that is NULL has fields that are.
            let there: UInt64Array =
                (0..rows.len()).map(|at| rows.is_valid(at).then_some(at as u64)).collect();
            rows.columns()
                .iter()
                .map(|column| Ok(take(column.as_ref(), &there, None)?))
                .collect::<Result<_>>()?
        }
    };
    Ok((lists.ranges().collect(), columns))
}

fn unnest(arguments: &[ArrayRef], result: &Field, outer: bool) -> Result<ArrayRef> {
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let DataType::Struct(fields) = item.data_type() else { return Err(invalid("not rows")) };
    let parts = arguments.iter().map(parts).collect::<Result<Vec<_>>>()?;
    let mut indices: Vec<Vec<Option<u64>>> = vec![Vec::new(); parts.len()];
    let (mut ordinality, mut lists) = (Vec::new(), Gather::default());
    for row in 0..arguments.first().map_or(0, |first| first.len()) {
        let range = |part: &(Ranges, _)| part.0[row].clone().unwrap_or(0..0);
        let ranges: Vec<_> = parts.iter().map(range).collect();
        let length = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let alone = outer && length == 0;
        let rows = if alone { 1 } else { length };
        for (mut range, indices) in ranges.into_iter().zip(&mut indices) {
            indices.extend((0..rows).map(|_| range.next().map(|at| at as u64)));
        }
        let from = ordinality.len();
        ordinality.extend((0..rows).map(|at| (!alone).then_some(at as i64 + 1)));
        lists.push(from..from + rows);
    }
    let made = ordinality.len();
    let mut columns = Vec::with_capacity(fields.len());
    for ((_, values), indices) in parts.iter().zip(indices) {
        let indices = UInt64Array::from(indices);
        for column in values {
            columns.push(take(column.as_ref(), &indices, None)?);
        }
    }
    columns.push(Arc::new(Int64Array::from(ordinality)) as ArrayRef);
    let rows = StructArray::try_new_with_length(fields.clone(), columns, None, made)?;
    lists.lists(&(Arc::new(rows) as ArrayRef), &item)
}
