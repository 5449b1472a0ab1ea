//! Aggregates.

mod around;
mod array_agg;
mod average;
mod collect;
mod collected;
mod extremes;
mod maps;
mod numbers;
mod percentile;
mod sum;
mod texts;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;

use crate::functions::Functions;

/// The functions.
pub(crate) fn functions() -> Functions {
    let tables = [extremes::TABLE, maps::TABLE, numbers::TABLE, percentile::TABLE, texts::TABLE];
    let mut aggregate: Vec<_> = tables.into_iter().flat_map(collect::family).collect();
    aggregate.push(Arc::new(AggregateUDF::new_from_impl(sum::Sum::default())));
    aggregate.push(Arc::new(AggregateUDF::new_from_impl(array_agg::ArrayAgg::default())));
    aggregate.push(Arc::new(AggregateUDF::new_from_impl(average::Average::default())));
    Functions { aggregate, ..Functions::default() }
}
