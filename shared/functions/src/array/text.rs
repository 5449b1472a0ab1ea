//! Arrays of strings, and arrays as strings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue};

use super::access::is_integer;
use crate::nested::{Def, Gather, Lists, Resolved, invalid, item_of};

pub(super) const TABLE: &[Def] = &[
    Def { name: "array_join", resolve: join_type, invoke: join, volatile: false },
    Def { name: "ngrams", resolve: ngrams_type, invoke: ngrams, volatile: false },
];

type Constants<'a> = [Option<&'a ScalarValue>];

const fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

/// Types whose text is the same in Trino and here.
fn has_plain_text(data_type: &DataType) -> bool {
    is_text(data_type)
        || is_integer(data_type)
        || matches!(data_type, DataType::Boolean | DataType::Decimal128(..) | DataType::Date32)
}

fn join_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let (list, rest) = types.split_first()?;
    let item = item_of(list)?;
    if !has_plain_text(item.data_type()) || !(1..=2).contains(&rest.len()) {
        return None;
    }
    if !rest.iter().all(is_text) {
        return None;
    }
    let mut arguments = vec![DataType::new_list(DataType::Utf8, true)];
    arguments.extend(rest.iter().map(|_| DataType::Utf8));
    Resolved::new(arguments, DataType::Utf8)
}

fn join(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let items = lists.values().as_string::<i32>();
    let delimiter = arguments[1].as_string::<i32>();
    let instead = arguments.get(2).map(|array| array.as_string::<i32>());
    let joined: StringArray = lists
        .ranges()
        .enumerate()
        .map(|(row, range)| {
            let range = range.filter(|_| delimiter.is_valid(row))?;
            let instead = match instead {
                Some(instead) if instead.is_null(row) => return None,
                Some(instead) => Some(instead.value(row)),
                None => None,
            };
            let parts: Vec<&str> = range
                .filter_map(|at| if items.is_valid(at) { Some(items.value(at)) } else { instead })
                .collect();
            Some(parts.join(delimiter.value(row)))
        })
        .collect();
    Ok(Arc::new(joined))
}

fn ngrams_type(types: &[DataType], _: &Constants<'_>) -> Option<Resolved> {
    let [list, n] = types else { return None };
    let item = item_of(list)?;
    if !is_text(item.data_type()) || !is_integer(n) {
        return None;
    }
    let text = DataType::new_list(DataType::Utf8, true);
    Resolved::new(vec![text.clone(), DataType::Int64], DataType::new_list(text, true))
}

fn ngrams(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let size = arguments[1].as_primitive::<Int64Type>();
    let (mut inner, mut outer) = (Gather::default(), Gather::default());
    let mut made = 0;
    for (row, range) in lists.ranges().enumerate() {
        let Some(range) = range.filter(|_| size.is_valid(row)) else {
            outer.push_null();
            continue;
        };
        let size = size.value(row);
        if size <= 0 {
            return Err(invalid("N must be positive"));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(range.len());
        let from = made;
        for start in range.start..=range.end - size {
            inner.push(start..start + size);
            made += 1;
        }
        outer.push(from..made);
    }
    let inner = inner.lists(lists.values(), &lists.item())?;
    outer.lists(&inner, &Field::new_list_field(inner.data_type().clone(), true))
}
