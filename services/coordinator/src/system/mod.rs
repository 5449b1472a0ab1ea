//! Tables about the cluster and its catalogs, answered by the coordinator alone.
//!
//! Layout: `rows` makes a table of what a source gives, `wanted` reads a query's filters,
//! `listing` lists catalogs no further than these ask; `connector` is the catalog `system` with
//! the schemas `jdbc`, `metadata` and `runtime`, `information_schema` the schema of that name in
//! every catalog.

mod connector;
mod information_schema;
mod jdbc;
mod listing;
mod rows;
mod runtime;
mod wanted;

pub use connector::{SYSTEM, SystemConnector, SystemSources};
pub use information_schema::{INFORMATION_SCHEMA, WithInformationSchema};
