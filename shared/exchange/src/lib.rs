//! Output buffers and exchange sources: record batches from task to task, pulled by token.
//!
//! Layout: [`page`] encodes and decodes batches; [`buffer`] holds a task's output until its
//! readers have acknowledged it; [`reader`] reads many producers as one stream, through [`fetch`],
//! which [`http`] does over the network; [`spooled`] writes and reads the spool instead; [`error`]
//! names a producer that cannot be read.

pub mod buffer;
pub mod error;
pub mod fetch;
pub mod held;
pub mod http;
pub mod metric;
pub mod page;
pub mod reader;
pub mod spooled;

pub use buffer::{
    Chunk, Chunks, OutputBuffer, Pages, PartitionWriter, ReadError, WriteError, Written,
};
pub use error::ExchangeError;
pub use fetch::{Answer, Fetch, FetchError, Fetched, PageRequest, Source};
pub use held::HeldBytes;
pub use http::HttpFetch;
pub use metric::ExchangeMetrics;
pub use reader::{ExchangeReader, ReaderOptions};
pub use spooled::{SpoolFetch, SpoolReads, SpoolSink};
