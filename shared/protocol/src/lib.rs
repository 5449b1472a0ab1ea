//! Wire types of the internal API and of the client API; no I/O.
//!
//! Layout: [`error_code`] has Trino's codes, [`failure`] what travels when something failed,
//! [`membership`] announcements and views, [`task`] the task API between coordinator and workers,
//! [`spool`] what is said of outputs in the spool, [`retry`] what runs again, [`client`] the documents
//! of Trino's client protocol.

mod base64_bytes;
pub mod client;
pub mod error_code;
pub mod failure;
pub mod membership;
pub mod retry;
pub mod spool;
pub mod task;

pub use error_code::{ErrorCode, ErrorType};
pub use failure::{ErrorLocation, Failure};
pub use retry::RetryPolicy;

/// What two nodes must share to work together: hash partitioning and plan encoding are bound to
/// the build. The package version and the wire format's number.
pub const BUILD_ID: &str = concat!(env!("CARGO_PKG_VERSION"), "+wire.2");
