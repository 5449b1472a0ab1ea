//! Where task attempts leave their output, so that it outlives the machines that made it.
//!
//! An attempt writes one object, `data`, with the output of all its partitions, and then its
//! `committed` record, which says where in it each partition lies. Both are sealed with a key of
//! the query's that is never in storage. The format is specified, with test vectors, in
//! `docs/spool-format.md`.
//!
//! Layout: [`seal`] keys and frames; [`record`] what a commit says; [`writer`] an attempt's object,
//! run by run; [`ranges`] a consumer's parts of it; [`store`] the trait of storage, and below it
//! its kinds; [`cache`] what was written here lately, in memory; [`spool`] the locations of a cluster and the names of objects in them.

pub mod cache;
pub mod error;
pub mod ranges;
pub mod record;
pub mod seal;
pub mod spool;
pub mod store;
pub mod writer;

pub use cache::{CacheMemory, OutputCache};
pub use error::{FormatError, SpoolError, StoreError, StoreErrorKind};
pub use ranges::RangeReader;
pub use seal::random_query_key;
pub use spool::{ObjectKind, Spool};
pub use store::{ObjectSink, Store};
pub use writer::{AttemptWriter, FinishedAttempt};
