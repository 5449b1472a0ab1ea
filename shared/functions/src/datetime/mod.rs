//! Dates, times, timestamps, zones and intervals.
//!
//! Layout: `value` says what Arrow's types mean and puts their values on the calendar, `zone`
//! knows zones by Trino's names, `parse` and `text` read and write values, `literal` and
//! `arithmetic` are what the dialect makes of literals and operators; the other modules are
//! Trino's functions. A `timestamp with time zone` has its zone in its Arrow type: a column has
//! one zone, and what would need several is refused.

mod arithmetic;
mod convert;
mod extract;
mod format;
mod instants;
mod literal;
mod parse;
mod pattern;
mod spans;
mod steps;
pub mod text;
mod udf;
mod units;
mod value;
mod zone;

pub use arithmetic::{DIVIDED, MINUS, NEGATED, PLUS, TIMES, minus_type, plus_type};
pub use convert::{CAST, TEXT, TRY_CAST, cast_array, cast_ticks, cast_type, to_varchar};
pub use literal::LITERAL;
pub use parse::{
    IntervalField, Written, date, interval, is_time_with_zone, time, time_ticks, timestamp,
    timestamp_ticks,
};
pub(crate) use steps::{Steps, count as sequence_count, sequence_types};
pub use value::Kind;
pub use zone::Zone;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;

use crate::Functions;

/// All functions of this family.
pub(crate) fn functions() -> Functions {
    let scalar = [
        literal::functions(),
        arithmetic::functions(),
        extract::functions(),
        units::functions(),
        convert::functions(),
        instants::functions(),
        format::functions(),
        spans::functions(),
    ];
    Functions { scalar: scalar.into_iter().flatten().collect(), ..Functions::default() }
}

static BY_NAME: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    functions().scalar.into_iter().map(|function| (function.name().to_owned(), function)).collect()
});

/// The function of this family that has this name.
pub fn by_name(name: &str) -> Option<Arc<ScalarUDF>> {
    BY_NAME.get(name).cloned()
}
