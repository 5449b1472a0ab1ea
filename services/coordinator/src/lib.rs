//! Client API, planner, scheduler and the life of a query.

pub mod query;
