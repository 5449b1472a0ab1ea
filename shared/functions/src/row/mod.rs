//! Rows, and the rows that UNNEST makes.

mod compare;
mod construct;
mod single;
mod unnest;

use crate::functions::Functions;
use crate::nested::family;

/// The functions.
pub(crate) fn functions() -> Functions {
    let tables = [compare::TABLE, construct::TABLE, single::TABLE, unnest::TABLE];
    Functions { scalar: tables.into_iter().flat_map(family).collect(), ..Functions::default() }
}
