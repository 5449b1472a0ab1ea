//! Properties files, units and secrets: one typed configuration, all problems at once.
//!
//! A node's configuration lies in Trino's files (`config.properties`, `node.properties`,
//! `exchange-manager.properties`, `catalog/NAME.properties`) and in `-D` overrides. Every property
//! that a file may hold is in the [`registry`]: honoured, ignored with a warning that says what
//! replaces it, or refused with the reason. A name that is not there stops the start.
//!
//! Secrets are never printed: errors quote what is *written* in a file, never what `${ENV:}` or
//! `${FILE:}` made of it, and nothing at all of a sensitive property.
//!
//! # Layout
//!
//! - [`properties`]: the file format; [`expand`]: `${ENV:NAME}` and `${FILE:path}`
//! - [`units`]: sizes and durations; [`secret`]: the cluster's secret; [`location`]: URIs
//! - [`registry`]: the table of all properties, a module for each part
//! - [`config`]: [`Config`] and what it is made of; `load`, `settings`, `catalogs`: how it is read
//! - [`docs`]: `docs/configuration.md` from the registry

mod catalogs;
pub mod config;
pub mod docs;
pub mod expand;
mod load;
pub mod location;
mod problems;
pub mod properties;
pub mod registry;
pub mod secret;
mod settings;
#[cfg(test)]
mod tests;
pub mod units;

pub use config::{
    Catalog, Config, ExchangeManager, HttpServer, InternalCommunication, Node, ProcessForwarded,
    Query, Retry, Task,
};
pub use location::{BaseDirectories, DiscoveryUri, S3Location};
pub use problems::{Problem, Problems};
pub use registry::Process;
pub use secret::{Secret, SecretError};
pub use units::{DataSize, MemorySize};
