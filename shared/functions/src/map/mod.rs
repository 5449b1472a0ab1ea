//! Functions over maps.

mod build;
mod parts;

use crate::functions::Functions;
use crate::nested::family;

pub(crate) use build::check_keys;

/// The functions.
pub(crate) fn functions() -> Functions {
    let tables = [build::TABLE, parts::TABLE];
    Functions { scalar: tables.into_iter().flat_map(family).collect(), ..Functions::default() }
}
