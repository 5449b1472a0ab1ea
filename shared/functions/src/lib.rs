//! Trino's functions and operators for DataFusion: what they mean, and which of them there are.
//!
//! Coordinators and workers [`register`] the same functions, so that a plan means the same on
//! both: plans travel with functions by name.
//!
//! Layout: a module for each family, each with a `functions()` that lists them; a function that
//! means something else in DataFusion has Trino's meaning here under the same name.

pub mod arithmetic;
mod array;
pub mod cast;
pub mod coercion;
mod conditional;
pub mod datetime;
mod failure;
mod functions;
pub mod lenient;
mod nested;
mod registry;
mod row;

pub use failure::failure_of;
pub use functions::{Functions, register, scalar_function};
pub use registry::{Availability, Function, FunctionKind, availability, supported_functions};
