//! Connectors: where the rows of a catalog come from.
//!
//! A catalog is a [`Connector`] that [`create()`] makes from the properties of its file. The
//! coordinator asks it for schemas, tables and columns; a table gives a DataFusion
//! `TableProvider`, and the scans that it plans run on workers.
//!
//! # Layout
//! - [`connector`]: the traits, [`Column`] and [`ConnectorError`]
//! - [`create()`]: a connector from the properties of its catalog file
//! - [`scan`]: our own scan nodes on the wire, and their division among tasks
//! - [`tpch`]: TPC-H tables, generated row by row, never stored
//! - [`mod@write`]: what a connector may change, and the contract for writing rows
//! - [`memory`]: tables that live in the coordinator's memory
//! - [`files`]: Parquet, CSV and JSON files in a folder of this machine

pub mod connector;
mod create;
pub mod files;
pub mod memory;
mod properties;
pub mod scan;
pub mod tpch;
pub mod write;

pub use connector::{Column, Connector, ConnectorError, ConnectorTable};
pub use create::create;
pub use write::{
    ConnectorWrites, TableDefinition, TableName, TableWrite, ViewDefinition, WriteAttempt,
    WriteTarget, Written,
};
