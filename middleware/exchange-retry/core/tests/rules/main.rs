//! The rules, one test each.

mod costs;
mod hedges;
mod losses;
mod memory;
mod task;
mod winners;
