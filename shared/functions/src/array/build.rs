//! New arrays.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StructArray, UInt64Array, new_empty_array,
};
use arrow::compute::{concat as concat_arrays, take};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue};
use waterbear_protocol::Failure;
use waterbear_types::anonymous_field;

use super::access::is_integer;
use crate::datetime::{Steps, sequence_count, sequence_types};
use crate::nested::{Def, Gather, Lists, Resolved, common, invalid, item_of, list_of};
use crate::scalar::raise;

pub(super) const TABLE: &[Def] = &[
    Def { name: "$array", resolve: array_type, invoke: array, volatile: false },
    Def { name: "$array_concat", resolve: concat_type, invoke: concat, volatile: false },
    Def { name: "flatten", resolve: flatten_type, invoke: flatten, volatile: false },
    Def { name: "repeat", resolve: repeat_type, invoke: repeat, volatile: false },
    Def { name: "slice", resolve: slice_type, invoke: slice, volatile: false },
    Def { name: "trim_array", resolve: trim_type, invoke: trim, volatile: false },
    Def { name: "sequence", resolve: sequence_type, invoke: sequence, volatile: false },
    Def { name: "zip", resolve: zip_type, invoke: zip, volatile: false },
    Def { name: "combinations", resolve: combine_type, invoke: combine, volatile: false },
];

type Constants<'a> = [Option<&'a ScalarValue>];

/// More items than these functions give in one array.
const MAX_ITEMS: i64 = 10_000;

fn array_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let item = types.iter().try_fold(DataType::Null, |item, next| common(&item, next))?;
    let list = DataType::new_list(item.clone(), true);
    Resolved::new(vec![item; types.len()], list)
}

/// `ARRAY[a, b]`.
fn array(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let rows = arguments.first().map_or(1, |first| first.len());
    let mut lists = Gather::default();
    if arguments.is_empty() {
        lists.push(std::iter::empty());
        return lists.lists(&new_empty_array(item.data_type()), &item);
    }
    let parts: Vec<&dyn Array> = arguments.iter().map(AsRef::as_ref).collect();
    let values = concat_arrays(&parts)?;
    (0..rows).for_each(|row| lists.push((0..arguments.len()).map(|part| part * rows + row)));
    lists.lists(&values, &item)
}

/// Arrays, and items to be added at either end.
fn concat_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let mut list: Option<DataType> = None;
    for data_type in types {
        if item_of(data_type).is_some() && *data_type != DataType::Null {
            let this = list_of(&*item_of(data_type)?);
            list = Some(match list {
                None => this,
                Some(list) => match common(&list, &this) {
                    Some(list) => list,
                    // An array as an item of the other.
                    None => common(&list, &list_of(&Field::new_list_field(this.clone(), true)))
                        .or_else(|| common(&list_of(&Field::new_list_field(list, true)), &this))?,
                },
            });
        }
    }
    let mut list = list?;
    for data_type in types {
        if common(&list, data_type).is_none() {
            list = common(&list, &DataType::new_list(data_type.clone(), true))?;
        }
    }
    let item = item_of(&list)?.data_type().clone();
    let arguments = types
        .iter()
        .map(|data_type| match common(&list, data_type) {
            Some(_) => list.clone(),
            None => item.clone(),
        })
        .collect();
    Resolved::new(arguments, list)
}

fn concat(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let lists = arguments
        .iter()
        .map(|argument| match argument.data_type() == result.data_type() {
            true => Ok(Arc::clone(argument)),
            false => array(std::slice::from_ref(argument), result),
        })
        .map(|list| Lists::new(&list?))
        .collect::<Result<Vec<_>>>()?;
    let parts: Vec<&dyn Array> = lists.iter().map(|list| list.values().as_ref()).collect();
    let values = concat_arrays(&parts)?;
    let mut shifts = vec![0];
    for part in &parts {
        shifts.push(shifts.last().copied().unwrap_or(0) + part.len());
    }
    let mut joined = Gather::default();
    for row in 0..arguments.first().map_or(0, |first| first.len()) {
        let ranges: Option<Vec<_>> = lists.iter().map(|list| list.range(row)).collect();
        match ranges {
            None => joined.push_null(),
            Some(ranges) => joined.push(
                ranges
                    .into_iter()
                    .zip(&shifts)
                    .flat_map(|(range, shift)| range.start + shift..range.end + shift),
            ),
        }
    }
    joined.lists(&values, &item)
}

fn flatten_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list] = types else { return None };
    let inner = list_of(&*item_of(item_of(list)?.data_type())?);
    let outer = list_of(&Field::new_list_field(inner.clone(), true));
    Resolved::new(vec![outer], inner)
}

fn flatten(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let outer = Lists::new(&arguments[0])?;
    let inner = Lists::new(outer.values())?;
    let mut flat = Gather::default();
    for range in outer.ranges() {
        match range {
            Some(range) => flat.push(range.filter_map(|at| inner.range(at)).flatten()),
            None => flat.push_null(),
        }
    }
    flat.lists(inner.values(), &inner.item())
}

fn repeat_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [item, count] = types else { return None };
    let list = DataType::new_list(item.clone(), true);
    is_integer(count).then(|| Resolved::new(vec![item.clone(), DataType::Int64], list))?
}

fn repeat(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let counts = arguments[1].as_primitive::<Int64Type>();
    let mut lists = Gather::default();
    for (row, count) in counts.iter().enumerate() {
        let text = "count argument of repeat function must be";
        match count {
            None => lists.push_null(),
            Some(count) if count < 0 => {
                return Err(invalid(format!("{text} greater than or equal to 0")));
            }
            Some(count) if count > MAX_ITEMS => {
                return Err(invalid(format!("{text} less than or equal to 10000")));
            }
            Some(count) => lists.push((0..count).map(|_| row)),
        }
    }
    lists.lists(&arguments[0], &item)
}

fn slice_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list, from, length] = types else { return None };
    let list = list_of(&*item_of(list)?);
    let integers = is_integer(from) && is_integer(length);
    let arguments = vec![list.clone(), DataType::Int64, DataType::Int64];
    integers.then(|| Resolved::new(arguments, list))?
}

fn slice(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let from = arguments[1].as_primitive::<Int64Type>();
    let length = arguments[2].as_primitive::<Int64Type>();
    let mut result = Gather::default();
    for (row, range) in lists.ranges().enumerate() {
        let Some(range) = range.filter(|_| from.is_valid(row) && length.is_valid(row)) else {
            result.push_null();
            continue;
        };
        let (from, length) = (from.value(row), length.value(row));
        if length < 0 {
            return Err(invalid("length must be greater than or equal to 0"));
        }
        let size = range.len() as i64;
        let first = match from {
            0 => return Err(invalid("SQL array indices start at 1")),
            from if from > 0 => from - 1,
            from => size.saturating_add(from),
        };
        if first < 0 || first >= size {
            result.push(std::iter::empty());
            continue;
        }
        let end = first.saturating_add(length).min(size);
        result.push(range.start + first as usize..range.start + end as usize);
    }
    result.lists(lists.values(), &lists.item())
}

fn trim_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list, count] = types else { return None };
    let list = list_of(&*item_of(list)?);
    is_integer(count).then(|| Resolved::new(vec![list.clone(), DataType::Int64], list))?
}

fn trim(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let counts = arguments[1].as_primitive::<Int64Type>();
    let mut result = Gather::default();
    for (row, range) in lists.ranges().enumerate() {
        let Some(range) = range.filter(|_| counts.is_valid(row)) else {
            result.push_null();
            continue;
        };
        let (count, size) = (counts.value(row), range.len() as i64);
        if count < 0 {
            return Err(invalid(format!("size must not be negative: {count}")));
        }
        if count > size {
            let text = format!("size must not exceed array cardinality {size}: {count}");
            return Err(invalid(text));
        }
        result.push(range.start..range.end - count as usize);
    }
    result.lists(lists.values(), &lists.item())
}

fn sequence_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    if !(2..=3).contains(&types.len()) {
        return None;
    }
    if types.iter().all(is_integer) {
        let list = DataType::new_list(DataType::Int64, true);
        return Resolved::new(vec![DataType::Int64; types.len()], list);
    }
    let (arguments, item) = sequence_types(types)?;
    Resolved::new(arguments, DataType::new_list(item, true))
}

fn sequence(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let in_time = match item.data_type() {
        DataType::Int64 => None,
        _ => Some(Steps::new(arguments).map_err(raise)?),
    };
    let (mut values, mut lists) = (Vec::new(), Gather::default());
    for row in 0..arguments[0].len() {
        let before = values.len();
        let known = match &in_time {
            Some(steps) => steps.push(row, MAX_ITEMS, &mut values),
            None => push_numbers(arguments, row, &mut values),
        };
        match known.map_err(raise)? {
            true => lists.push(before..values.len()),
            false => lists.push_null(),
        }
    }
    let values = Int64Array::from(values);
    let values: ArrayRef = match &in_time {
        Some(steps) => steps.kind().array(&values).map_err(raise)?,
        None => Arc::new(values),
    };
    lists.lists(&values, &item)
}

/// Adds a row's numbers; false when an argument is NULL.
fn push_numbers(
    arguments: &[ArrayRef],
    row: usize,
    values: &mut Vec<i64>,
) -> std::result::Result<bool, Failure> {
    if arguments.iter().any(|argument| argument.is_null(row)) {
        return Ok(false);
    }
    let number = |argument: &ArrayRef| argument.as_primitive::<Int64Type>().value(row);
    let (from, to) = (number(&arguments[0]), number(&arguments[1]));
    let step = arguments.get(2).map_or(if from <= to { 1 } else { -1 }, number);
    let (ends, between) = ((from <= to, from == to), i128::from(to) - i128::from(from));
    let count = sequence_count(step, ends, between, MAX_ITEMS)?;
    values.extend((0..count).map(|at| from + at * step));
    Ok(true)
}

fn zip_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    if !(2..=5).contains(&types.len()) {
        return None;
    }
    let lists = types
        .iter()
        .map(|list| item_of(list).map(|item| list_of(&item)))
        .collect::<Option<Vec<_>>>()?;
    let fields: Fields = types
        .iter()
        .enumerate()
        .map(|(position, list)| {
            let item = item_of(list)?;
            Some(item.as_ref().clone().with_name(anonymous_field(position)).with_nullable(true))
        })
        .collect::<Option<Vec<_>>>()?
        .into();
    Resolved::new(lists, DataType::new_list(DataType::Struct(fields), true))
}

fn zip(arguments: &[ArrayRef], result: &Field) -> Result<ArrayRef> {
    let lists = arguments.iter().map(Lists::new).collect::<Result<Vec<_>>>()?;
    let item = item_of(result.data_type()).ok_or_else(|| invalid("not an array"))?;
    let DataType::Struct(fields) = item.data_type() else { return Err(invalid("not a row")) };
    let mut indices: Vec<Vec<Option<u64>>> = vec![Vec::new(); lists.len()];
    let (mut made, mut rows) = (0, Gather::default());
    for row in 0..arguments[0].len() {
        let ranges: Option<Vec<_>> = lists.iter().map(|list| list.range(row)).collect();
        let Some(ranges) = ranges else {
            rows.push_null();
            continue;
        };
        let length = ranges.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        for (range, indices) in ranges.into_iter().zip(&mut indices) {
            let mut range = range.map(|at| at as u64);
            indices.extend((0..length).map(|_| range.next()));
        }
        rows.push(made..made + length);
        made += length;
    }
    let columns = lists
        .iter()
        .zip(indices)
        .map(|(list, indices)| Ok(take(list.values(), &UInt64Array::from(indices), None)?))
        .collect::<Result<Vec<_>>>()?;
    let structs = StructArray::try_new_with_length(fields.clone(), columns, None, made)?;
    rows.lists(&(Arc::new(structs) as ArrayRef), &item)
}

fn combine_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list, size] = types else { return None };
    let list = list_of(&*item_of(list)?);
    let result = list_of(&Field::new_list_field(list.clone(), true));
    is_integer(size).then(|| Resolved::new(vec![list, DataType::Int64], result))?
}

fn combine(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let sizes = arguments[1].as_primitive::<Int64Type>();
    let (mut inner, mut outer, mut made) = (Gather::default(), Gather::default(), 0);
    for (row, range) in lists.ranges().enumerate() {
        let Some(range) = range.filter(|_| sizes.is_valid(row)) else {
            outer.push_null();
            continue;
        };
        let size = match sizes.value(row) {
            size if size < 0 => {
                return Err(invalid(format!("combination size must not be negative: {size}")));
            }
            size if size > 5 => {
                return Err(invalid(format!("combination size must not exceed 5: {size}")));
            }
            size => size as usize,
        };
        let from = made;
        let mut chosen: Vec<usize> = (0..size).collect();
        while size <= range.len() {
            if made - from >= 100_000 {
                return Err(invalid("combinations exceed max size"));
            }
            inner.push(chosen.iter().map(|at| range.start + at));
            made += 1;
            let last = |at: &usize| chosen[*at] < range.len() - size + at;
            let Some(at) = (0..size).rev().find(last) else { break };
            let next = chosen[at] + 1;
            (at..size).for_each(|place| chosen[place] = next + place - at);
        }
        outer.push(from..made);
    }
    let inner = inner.lists(lists.values(), &lists.item())?;
    outer.lists(&inner, &Field::new_list_field(inner.data_type().clone(), true))
}
