//! The list of all functions.

use std::sync::Arc;

use crate::{binary, characters, json, math, regexp, string, url};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

use crate::lenient::twin;
use crate::{
    aggregate, arithmetic, array, cast, conditional, datetime, floats, lambda, map, row, windows,
};

/// Functions of all kinds, to be registered together.
#[derive(Debug, Default)]
pub struct Functions {
    /// One row in, one value out.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Scalar functions that take lambdas.
    pub higher_order: Vec<Arc<HigherOrderUDF>>,
    /// Many rows in, one value out.
    pub aggregate: Vec<Arc<AggregateUDF>>,
    /// Over the rows around each row.
    pub window: Vec<Arc<WindowUDF>>,
}

impl Functions {
    /// Scalar functions alone.
    pub fn of_scalars(scalar: Vec<Arc<ScalarUDF>>) -> Self {
        Self { scalar, ..Self::default() }
    }

    /// Adds those of another family.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.scalar.extend(other.scalar);
        self.higher_order.extend(other.higher_order);
        self.aggregate.extend(other.aggregate);
        self.window.extend(other.window);
        self
    }
}

/// All functions of this crate.
pub(crate) fn all() -> Functions {
    Functions::default()
        .with(characters::functions())
        .with(string::functions())
        .with(regexp::functions())
        .with(math::functions())
        .with(binary::functions())
        .with(url::functions())
        .with(json::functions())
        .with(arithmetic::functions())
        .with(array::functions())
        .with(cast::functions())
        .with(datetime::functions())
        .with(conditional::functions())
        .with(floats::functions())
        .with(row::functions())
        .with(map::functions())
        .with(lambda::functions())
        .with(aggregate::functions())
        .with(windows::functions())
}

/// A scalar function of this crate by its name.
pub fn scalar_function(name: &str) -> Option<Arc<ScalarUDF>> {
    all().scalar.into_iter().find(|function| function.name() == name)
}

/// An aggregate of this crate by its name.
pub fn aggregate_function(name: &str) -> Option<Arc<AggregateUDF>> {
    all().aggregate.into_iter().find(|function| function.name() == name)
}

/// Adds Trino's functions to those that a session already has; of two with one name Trino's stays.
/// Each scalar function has a twin for TRY.
pub fn register(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let all = all();
    let scalar = builder.scalar_functions().get_or_insert_default();
    scalar.extend(all.scalar);
    let twins: Vec<_> = scalar.iter().map(twin).collect();
    scalar.extend(twins);
    builder.higher_order_functions().get_or_insert_default().extend(all.higher_order);
    builder.aggregate_functions().get_or_insert_default().extend(all.aggregate);
    builder.window_functions().get_or_insert_default().extend(all.window);
    builder
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_function_hides_another() {
        let mut names = HashSet::new();
        for function in all().scalar {
            assert!(names.insert(function.name().to_owned()), "{}", function.name());
        }
    }
}
