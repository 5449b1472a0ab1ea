//! `reduce`.

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::ValueOrLambda;

use super::arrays::lists;
use super::higher::{Call, Def, Known, Parameters, Planned, field};
use crate::nested::{cast, common, item_of};

pub(super) const TABLE: &[Def] =
    &[Def { name: "reduce", parameters, result: result_type, invoke: reduce }];

/// After so many attempts the state's type has stopped to grow: a decimal has no more digits.
const LAST_ATTEMPT: usize = 40;

/// The state begins as the initial value and may be widened by what the lambda makes of it.
fn parameters(attempt: usize, arguments: &[Planned]) -> Option<(Parameters, bool)> {
    let [
        ValueOrLambda::Value(list),
        ValueOrLambda::Value(initial),
        ValueOrLambda::Lambda(next),
        ValueOrLambda::Lambda(_),
    ] = arguments
    else {
        return None;
    };
    let state = match next {
        Some(next) => common(initial.data_type(), next.data_type())?,
        None => initial.data_type().clone(),
    };
    let grows = matches!(state, DataType::Decimal128(..)) && attempt < LAST_ATTEMPT;
    let complete = attempt >= 2 && !grows;
    let state = field(state);
    let item = item_of(list.data_type())?;
    Some((vec![vec![state.clone(), item], vec![state]], complete))
}

fn result_type(arguments: &[Known]) -> Option<FieldRef> {
    let [_, _, ValueOrLambda::Lambda(_), ValueOrLambda::Lambda(output)] = arguments else {
        return None;
    };
    Some(field(output.data_type().clone()))
}

fn reduce(call: &Call) -> Result<ArrayRef> {
    let lists = lists(call, 0)?;
    let (initial, next) = (call.data_type(1)?, call.data_type(2)?);
    let state_type = common(initial, next).unwrap_or_else(|| next.clone());
    let mut state = call.value(1, &state_type)?;
    let longest = lists.ranges().flatten().map(|range| range.len()).max().unwrap_or(0);
    for step in 0..longest {
        // The rows that have so many items, and where these are.
        let (mut rows, mut items) = (Vec::new(), Vec::new());
        for (row, range) in lists.ranges().enumerate() {
            if let Some(at) = range.and_then(|mut range| range.nth(step)) {
                rows.push(row as u64);
                items.push(at as u64);
            }
        }
        let places = UInt64Array::from(rows);
        let before = take(state.as_ref(), &places, None)?;
        let item = take(lists.values().as_ref(), &UInt64Array::from(items), None)?;
        let after = cast(&call.lambda(2, &[before, item], &places)?, &state_type)?;
        let mut from: Vec<(usize, usize)> = (0..call.rows).map(|row| (0, row)).collect();
        for (at, row) in places.values().iter().enumerate() {
            from[*row as usize] = (1, at);
        }
        state = interleave(&[state.as_ref(), after.as_ref()], &from)?;
    }
    let there: UInt64Array = (0..call.rows as u64)
        .filter(|row| lists.range(*row as usize).is_some())
        .collect::<Vec<_>>()
        .into();
    let output = call.lambda(3, &[take(state.as_ref(), &there, None)?], &there)?;
    // A NULL array has a NULL result.
    let mut place: Vec<Option<u64>> = vec![None; call.rows];
    for (at, row) in there.values().iter().enumerate() {
        place[*row as usize] = Some(at as u64);
    }
    Ok(take(output.as_ref(), &UInt64Array::from(place), None)?)
}
