//! The value of a scalar subquery, out of what the aggregate `$some` kept of its rows.

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use waterbear_protocol::ErrorCode;

use crate::nested::{Def, Lists, Resolved, failure, item_of, list_of};

pub(super) const TABLE: &[Def] =
    &[Def { name: "$only", resolve: only_type, invoke: only, volatile: false }];

fn only_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<Resolved> {
    let [list] = types else { return None };
    let item = item_of(list)?;
    Resolved::like(vec![list_of(&item)], &item)
}

fn only(arguments: &[ArrayRef], _: &Field) -> Result<ArrayRef> {
    let lists = Lists::new(&arguments[0])?;
    let place = |range: Option<std::ops::Range<usize>>| match range {
        Some(range) if range.len() > 1 => Err(failure(
            ErrorCode::SUBQUERY_MULTIPLE_ROWS,
            "Scalar sub-query has returned multiple rows",
        )),
        Some(range) if range.len() == 1 => Ok(Some(range.start as u64)),
        _ => Ok(None),
    };
    let places = lists.ranges().map(place).collect::<Result<Vec<_>>>()?;
    Ok(take(lists.values().as_ref(), &UInt64Array::from(places), None)?)
}
