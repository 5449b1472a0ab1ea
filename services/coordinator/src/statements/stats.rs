//! SHOW STATS: what is known of the columns of a table or a query before it runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use waterbear_engine::failure_of;
use waterbear_protocol::Failure;
use waterbear_types::TrinoType;

use super::show::rows_of;
use crate::query::Output;

/// A row for each column of a plan, then one with the number of rows.
///
/// # Errors
/// When the plan cannot say.
pub fn statistics(names: &[String], plan: &Arc<dyn ExecutionPlan>) -> Result<Output, Failure> {
    let statistics = StatisticsContext::new()
        .compute(plan.as_ref(), &StatisticsArgs::new())
        .map_err(|error| failure_of(&error))?;
    let rows = number(&statistics.num_rows);
    let columns = &statistics.column_statistics;
    let summary = |mut values: Vec<Option<f64>>, last| {
        values.push(last);
        Arc::new(Float64Array::from(values)) as ArrayRef
    };
    let texts = |mut values: Vec<Option<String>>| {
        values.push(None);
        Arc::new(StringArray::from(values)) as ArrayRef
    };
    let counted = counted_rows(plan, rows);
    let fraction = |nulls: Option<f64>| match (nulls, counted) {
        (Some(nulls), Some(rows)) if rows > 0.0 => Some((nulls / rows).min(1.0)),
        (Some(_), Some(_)) => Some(0.0),
        _ => None,
    };
    let of = |value: fn(&datafusion::common::ColumnStatistics) -> Option<f64>| {
        columns.iter().map(value).collect::<Vec<_>>()
    };
    let distinct = of(|column| number(&column.distinct_count));
    let nulls = columns.iter().map(|column| fraction(number(&column.null_count))).collect();
    let low = columns.iter().map(|column| bound(&column.min_value)).collect();
    let high = columns.iter().map(|column| bound(&column.max_value)).collect();
    let (varchar, double) = (TrinoType::Varchar(None), TrinoType::Plain("double"));
    rows_of(
        &[
            ("column_name", varchar.clone()),
            ("data_size", double.clone()),
            ("distinct_values_count", double.clone()),
            ("nulls_fraction", double.clone()),
            ("row_count", double),
            ("low_value", varchar.clone()),
            ("high_value", varchar),
        ],
        vec![
            texts(names.iter().cloned().map(Some).collect()),
            summary(of(|column| number(&column.byte_size)), None),
            summary(distinct, None),
            summary(nulls, None),
            summary(vec![None; columns.len()], rows),
            texts(low),
            texts(high),
        ],
    )
}

/// The number of rows that NULLs were counted in: filters keep the count of what they read.
fn counted_rows(plan: &Arc<dyn ExecutionPlan>, rows: Option<f64>) -> Option<f64> {
    let mut leaf = plan;
    loop {
        match leaf.children().as_slice() {
            [] => break,
            [only] => leaf = *only,
            _ => return rows,
        }
    }
    let known = StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).ok()?;
    number(&known.num_rows)
}

fn number(value: &Precision<usize>) -> Option<f64> {
    value.get_value().map(|value| *value as f64)
}

/// The least or the largest value, for numbers and dates.
fn bound(value: &Precision<ScalarValue>) -> Option<String> {
    let value = value.get_value()?;
    let data_type = value.data_type();
    let shown = data_type.is_numeric() || matches!(data_type, arrow::datatypes::DataType::Date32);
    (shown && !value.is_null()).then(|| match value.to_string().as_str() {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        text => text.to_owned(),
    })
}
