//! Random numbers.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use rand::Rng;

use crate::scalar::{Call, TrinoFunction, invalid};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    ["rand", "random"]
        .into_iter()
        .map(|name| TrinoFunction::new(name, random).volatile().shared())
        .collect()
}

/// Without bounds a double below one; else an integer of the bounds' type.
fn random(call: &Call<'_>) -> Result<ArrayRef> {
    let mut source = rand::rng();
    match call.arity() {
        0 => call.make_doubles(|_| Some(Ok(source.random()))),
        1 => {
            let bounds = call.integers(0)?;
            call.make_integers(|row| {
                let bound = bounds.get(row)?;
                Some(match bound > 0 {
                    true => Ok(source.random_range(0..bound)),
                    false => Err(invalid("bound must be positive")),
                })
            })
        }
        _ => {
            let (starts, stops) = (call.integers(0)?, call.integers(1)?);
            call.make_integers(|row| {
                let (start, stop) = (starts.get(row)?, stops.get(row)?);
                Some(match start < stop {
                    true => Ok(source.random_range(start..stop)),
                    false => Err(invalid("start value must be less than stop value")),
                })
            })
        }
    }
}
