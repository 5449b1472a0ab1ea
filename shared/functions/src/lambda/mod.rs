//! Functions that take lambdas.

mod arrays;
mod higher;
mod maps;
mod reduce;
mod sort;

use crate::functions::Functions;

/// The functions.
pub(crate) fn functions() -> Functions {
    let tables = [arrays::TABLE, maps::TABLE, reduce::TABLE, sort::TABLE];
    let higher_order = tables.into_iter().flat_map(higher::family).collect();
    Functions { higher_order, ..Functions::default() }
}
