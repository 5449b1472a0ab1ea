//! Buckets of a histogram.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::scalar::{Call, Evaluated, function, invalid, out_of_range};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function("width_bucket", width_bucket)]
}

fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let operands = call.doubles(0)?;
    if matches!(call.array(1)?.0.data_type(), DataType::List(_)) {
        let bins = call.lists(1)?;
        return call.make_integers(|row| Some(in_bins(operands.get(row)?, &bins.get(row)?)));
    }
    let (first, second, counts) = (call.doubles(1)?, call.doubles(2)?, call.integers(3)?);
    call.make_integers(|row| {
        Some(in_range(operands.get(row)?, first.get(row)?, second.get(row)?, counts.get(row)?))
    })
}

fn check(holds: bool, message: &str) -> Evaluated<()> {
    if holds { Ok(()) } else { Err(invalid(message)) }
}

fn in_range(operand: f64, first: f64, second: f64, count: i64) -> Evaluated<i64> {
    check(count > 0, "bucketCount must be greater than 0")?;
    check(!operand.is_nan(), "operand must not be NaN")?;
    check(first.is_finite(), "first bound must be finite")?;
    check(second.is_finite(), "second bound must be finite")?;
    check(first != second, "bounds cannot equal each other")?;
    let (lower, upper) = (first.min(second), first.max(second));
    let bucket = if operand < lower {
        0
    } else if operand >= upper {
        count
            .checked_add(1)
            .ok_or_else(|| out_of_range(format!("Bucket for value {operand} is out of range")))?
    } else {
        (count as f64 * (operand - lower) / (upper - lower) + 1.0) as i64
    };
    Ok(if first > second { count - bucket + 1 } else { bucket })
}

fn in_bins(operand: f64, bins: &ArrayRef) -> Evaluated<i64> {
    check(!bins.is_empty(), "Bins cannot be an empty array")?;
    check(!operand.is_nan(), "Operand cannot be NaN")?;
    let Some(bins) = bins.as_primitive_opt::<Float64Type>() else {
        return Err(invalid("Bins must be doubles"));
    };
    check(bins.null_count() == 0, "Bin values must not be null")?;
    let bins = bins.values();
    if let Some(bin) = bins.iter().find(|bin| !bin.is_finite()) {
        return Err(invalid(format!("Bin value must be finite, got {bin}")));
    }
    check(bins.is_sorted(), "Bin values are not sorted in ascending order")?;
    Ok(bins.partition_point(|bin| *bin <= operand) as i64)
}
