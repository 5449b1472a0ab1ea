//! Numbers.

mod bits;
mod buckets;
mod doubles;
mod random;
mod rounding;

use crate::functions::Functions;

pub(crate) fn functions() -> Functions {
    let mut all = bits::functions();
    all.extend(buckets::functions());
    all.extend(doubles::functions());
    all.extend(random::functions());
    all.extend(rounding::functions());
    Functions::of_scalars(all)
}
