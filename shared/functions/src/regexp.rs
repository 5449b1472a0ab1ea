//! Regular expressions: Java's syntax as far as it means the same to the engine here.

mod functions;
mod pattern;

pub(crate) use functions::functions;
