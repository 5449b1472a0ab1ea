//! Pages: what an exchange puts on the wire.
//!
//! A page is one record batch as an Arrow IPC encapsulated message without its schema, which both
//! sides know from the plan. On the wire a `u32` little-endian length precedes it. Bodies are
//! aligned to 16 bytes from the page's start, so a page that lies in an aligned buffer is decoded
//! without a copy. Dictionaries are not sent: they are unpacked before and packed again after.

mod assemble;
mod compact;
mod decode;
mod encode;
mod wire_schema;

pub(crate) use compact::referenced_bytes;

pub use assemble::{PageAssembler, TransferError};
pub use decode::{DecodeError, PageDecoder};
pub use encode::{EncodeError, Page, PageEncoder};

/// Larger batches are divided into pages of about this size, in bytes.
pub const TARGET_PAGE_BYTES: usize = 1 << 20;

/// A page is at most this large, in bytes: more than the target only for rows that are themselves
/// larger.
pub const MAX_PAGE_BYTES: usize = 128 << 20;

/// Bytes of the length in front of each page.
pub(crate) const LENGTH_BYTES: usize = size_of::<u32>();

/// Alignment of the body and of each buffer in it: the strictest that arrow's types ask for.
const ALIGNMENT: usize = 16;
