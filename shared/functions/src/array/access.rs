//! What stands in an array (or map, or row), and where.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue};

use crate::floats::nan;
use crate::nested::{
    Def, Keys, Lists, Maps, Resolved, as_list, common, invalid, item_of, list_of, map_of, map_parts,
};

pub(super) const TABLE: &[Def] = &[
    Def { name: "$subscript", resolve: subscript_type, invoke: subscript, volatile: false },
    Def { name: "element_at", resolve: element_at_type, invoke: element_at, volatile: false },
    Def { name: "cardinality", resolve: cardinality_type, invoke: cardinality, volatile: false },
    Def { name: "contains", resolve: search_type, invoke: contains, volatile: false },
    Def { name: "array_position", resolve: position_type, invoke: position, volatile: false },
    Def { name: "array_first", resolve: end_type, invoke: first, volatile: false },
    Def { name: "array_last", resolve: end_type, invoke: last, volatile: false },
];

type Constants<'a> = [Option<&'a ScalarValue>];

pub(super) const fn is_integer(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Null
    )
}

fn constant_index(value: Option<&ScalarValue>) -> Option<usize> {
    let ScalarValue::Int64(Some(index)) = value?.cast_to(&DataType::Int64).ok()? else {
        return None;
    };
    usize::try_from(index).ok()
}

fn subscript_type(types: &[DataType], constants: &Constants<'_>) -> Option<Resolved> {
    if let [row @ DataType::Struct(fields), index] = types {
        let position = constant_index(*constants.get(1)?)?.checked_sub(1)?;
        return Resolved::like(vec![row.clone(), index.clone()], fields.get(position)?);
    }
    element_at_type(types, constants)
}

fn element_at_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [collection, index] = types else { return None };
    if let DataType::Map(..) = collection {
        let (key, value) = map_parts(collection)?;
        let key_type = common(key.data_type(), index)?;
        let key = key.as_ref().clone().with_data_type(key_type.clone());
        return Resolved::like(vec![map_of(&key, &value), key_type], &value);
    }
    let item = item_of(collection).filter(|_| is_integer(index))?;
    Resolved::like(vec![list_of(&item), DataType::Int64], &item)
}

fn subscript(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let [collection, index] = arguments else { return Err(invalid("subscript of nothing")) };
    match collection.data_type() {
        DataType::Struct(fields) => {
            let index = ScalarValue::try_from_array(index, 0)?;
            let position = constant_index(Some(&index)).and_then(|index| index.checked_sub(1));
            let position = position.filter(|position| *position < fields.len());
            let position = position.ok_or_else(|| invalid("Row index out of bounds"))?;
            field_of(collection, position)
        }
        DataType::Map(..) => in_map(collection, index, true),
        _ => in_array(collection, index, true),
    }
}

/// A field of a row; NULL where the row is.
fn field_of(row: &ArrayRef, position: usize) -> Result<ArrayRef> {
    let row = row.as_struct();
    let column = row.column(position);
    if row.null_count() == 0 {
        return Ok(Arc::clone(column));
    }
    let indices: UInt64Array =
        (0..row.len()).map(|at| row.is_valid(at).then_some(at as u64)).collect();
    Ok(take(column.as_ref(), &indices, None)?)
}

fn element_at(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let [collection, index] = arguments else { return Err(invalid("element of nothing")) };
    match collection.data_type() {
        DataType::Map(..) => in_map(collection, index, false),
        _ => in_array(collection, index, false),
    }
}

/// Where an index points; `strict` fails where there is nothing, else negative indices count from
/// the end.
fn place(index: i64, length: usize, strict: bool) -> Result<Option<usize>> {
    let size = length as u64;
    match index {
        0 => Err(invalid("SQL array indices start at 1")),
        index if index < 0 && strict => {
            Err(invalid(format!("Array subscript is negative: {index}")))
        }
        index if index < 0 => Ok(size.checked_sub(index.unsigned_abs()).map(|at| at as usize)),
        index if index.unsigned_abs() > size && strict => {
            let text = "Array subscript must be less than or equal to array length";
            Err(invalid(format!("{text}: {index} > {length}")))
        }
        index => Ok(Some(index as usize - 1).filter(|at| *at < length)),
    }
}

fn in_array(list: &ArrayRef, index: &ArrayRef, strict: bool) -> Result<ArrayRef> {
    let lists = Lists::new(list)?;
    let index = index.as_primitive::<Int64Type>();
    let mut found = Vec::with_capacity(lists.len());
    for (row, range) in lists.ranges().enumerate() {
        found.push(match range {
            Some(range) if index.is_valid(row) => {
                place(index.value(row), range.len(), strict)?.map(|at| (range.start + at) as u64)
            }
            _ => None,
        });
    }
    Ok(take(lists.values().as_ref(), &UInt64Array::from(found), None)?)
}

fn in_map(map: &ArrayRef, key: &ArrayRef, strict: bool) -> Result<ArrayRef> {
    let maps = Maps::new(map)?;
    let keys = Keys::of(&[maps.keys(), key])?;
    let wanted = maps.keys().len();
    let mut found = Vec::with_capacity(maps.len());
    for (row, range) in maps.ranges().enumerate() {
        let Some(mut range) = range.filter(|_| key.is_valid(row)) else {
            found.push(None);
            continue;
        };
        let at = range.find(|at| keys.get(*at) == keys.get(wanted + row));
        if at.is_none() && strict {
            let text = ScalarValue::try_from_array(key, row)?;
            return Err(invalid(format!("Key not present in map: {text}")));
        }
        found.push(at.map(|at| at as u64));
    }
    Ok(take(maps.values().as_ref(), &UInt64Array::from(found), None)?)
}

fn cardinality_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    match types {
        [map @ DataType::Map(..)] => Resolved::new(vec![map.clone()], DataType::Int64),
        [list] => Resolved::new(vec![as_list(list)?], DataType::Int64),
        _ => None,
    }
}

fn cardinality(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let collection = &arguments[0];
    let length = |range: Option<std::ops::Range<usize>>| range.map(|range| range.len() as i64);
    let lengths: Int64Array = if let DataType::Map(..) = collection.data_type() {
        Maps::new(collection)?.ranges().map(length).collect()
    } else {
        Lists::new(collection)?.ranges().map(length).collect()
    };
    Ok(Arc::new(lengths))
}

/// An array and something that may be in it, of their common type.
pub(super) fn array_and_item(types: &[DataType]) -> Option<(DataType, DataType)> {
    let [list, value] = types else { return None };
    let item = item_of(list)?;
    let data_type = common(item.data_type(), value)?;
    let item = item.as_ref().clone().with_data_type(data_type.clone());
    Some((list_of(&item), data_type))
}

fn search_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let (list, item) = array_and_item(types)?;
    Resolved::new(vec![list, item], DataType::Boolean)
}

fn contains(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let (lists, wanted) = (Lists::new(&arguments[0])?, &arguments[1]);
    let keys = Keys::of(&[lists.values(), wanted])?;
    let first = lists.values().len();
    let nan = nan(wanted);
    let found: BooleanArray = lists
        .ranges()
        .enumerate()
        .map(|(row, range)| {
            let mut range = range.filter(|_| !keys.is_null(first + row))?;
            let has_null = range.clone().any(|at| keys.is_null(at));
            let found = !nan(row)
                && range.any(|at| !keys.is_null(at) && keys.get(at) == keys.get(first + row));
            (found || !has_null).then_some(found)
        })
        .collect();
    Ok(Arc::new(found))
}

fn position_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let (list, item) = array_and_item(types)?;
    Resolved::new(vec![list, item], DataType::Int64)
}

fn position(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let (lists, wanted) = (Lists::new(&arguments[0])?, &arguments[1]);
    let keys = Keys::of(&[lists.values(), wanted])?;
    let first = lists.values().len();
    let nan = nan(wanted);
    let found: Int64Array = lists
        .ranges()
        .enumerate()
        .map(|(row, range)| {
            let mut range = range.filter(|_| !keys.is_null(first + row))?;
            let is_it =
                |at| !keys.is_null(at) && keys.get(at) == keys.get(first + row) && !nan(row);
            Some(range.position(is_it).map_or(0, |at| at as i64 + 1))
        })
        .collect();
    Ok(Arc::new(found))
}

fn end_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list] = types else { return None };
    let item = item_of(list)?;
    Resolved::like(vec![list_of(&item)], &item)
}

fn first(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let at = |range: std::ops::Range<usize>| (!range.is_empty()).then_some(range.start as u64);
    let indices: UInt64Array = lists.ranges().map(|range| range.and_then(at)).collect();
    Ok(take(lists.values().as_ref(), &indices, None)?)
}

fn last(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let at = |range: std::ops::Range<usize>| (!range.is_empty()).then(|| range.end as u64 - 1);
    let indices: UInt64Array = lists.ranges().map(|range| range.and_then(at)).collect();
    Ok(take(lists.values().as_ref(), &indices, None)?)
}
