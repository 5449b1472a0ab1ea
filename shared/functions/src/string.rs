//! Strings: positions and lengths count code points.

mod case;
mod distance;
mod edit;
mod search;
mod split;

use crate::functions::Functions;

pub(crate) fn functions() -> Functions {
    let mut all = case::functions();
    all.extend(distance::functions());
    all.extend(edit::functions());
    all.extend(search::functions());
    all.extend(split::functions());
    Functions::of_scalars(all)
}
