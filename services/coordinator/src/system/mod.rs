//! Tables about the cluster and its catalogs, answered by the coordinator alone.
//!
//! Layout: `rows` makes a table of what a function gives, `runtime` is the catalog `system`,
//! `information_schema` the schema of that name in every catalog.

mod information_schema;
mod rows;
mod runtime;

pub use information_schema::WithInformationSchema;
pub use runtime::{SystemConnector, SystemSources};
