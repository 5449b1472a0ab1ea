//! Trino's functions and operators for DataFusion: what they mean, and which of them there are.
//!
//! Coordinators and workers [`register`] the same functions, so that a plan means the same on
//! both: plans travel with functions by name.
//!
//! Layout: a module for each family, each with a `functions()` that lists them; a function that
//! means something else in DataFusion has Trino's meaning here under the same name.

mod aggregate;
pub mod arithmetic;
mod array;
mod binary;
pub mod cast;
mod characters;
pub mod coercion;
mod conditional;
pub mod datetime;
mod failure;
mod floats;
mod functions;
mod json;
mod lambda;
pub mod lenient;
mod map;
mod math;
mod nested;
mod regexp;
mod registry;
mod row;
mod scalar;
mod signature;
mod string;
mod url;
mod windows;

pub use characters::PadCharacters;
pub use failure::failure_of;
pub use functions::{Functions, aggregate_function, register, scalar_function};
pub use registry::{Availability, Function, FunctionKind, availability, supported_functions};
