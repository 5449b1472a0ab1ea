//! Bytes: their encodings and hashes.

mod encoding;
mod hash;

use crate::functions::Functions;

pub(crate) fn functions() -> Functions {
    let mut all = encoding::functions();
    all.extend(hash::functions());
    Functions::of_scalars(all)
}
