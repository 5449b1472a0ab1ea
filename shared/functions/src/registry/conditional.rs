//! Syntax that looks like functions, and choices between values.

use super::{Function, scalar};

pub(super) const FUNCTIONS: &[Function] = &[
    scalar("coalesce", "T...", "T", "").special(),
    scalar("greatest", "E...", "E", "Get the largest of the given values"),
    scalar("grouping", "T...", "integer", "").special(),
    scalar("if", "boolean, T, T", "T", "").special(),
    scalar("least", "E...", "E", "Get the smallest of the given values"),
    scalar("nullif", "T, T", "T", "").special(),
    scalar("try", "T", "T", ""),
    scalar("unnest", "T...", "T", "").special(),
];
