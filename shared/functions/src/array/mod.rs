//! Functions over arrays.

mod access;
mod build;
mod order;
mod sets;
mod text;

use crate::functions::Functions;
use crate::nested::family;

/// The functions.
pub(crate) fn functions() -> Functions {
    let tables = [access::TABLE, build::TABLE, order::TABLE, sets::TABLE, text::TABLE];
    Functions { scalar: tables.into_iter().flat_map(family).collect(), ..Functions::default() }
}
