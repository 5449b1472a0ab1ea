//! Announce a node, watch the cluster, and what a node's state means.
//!
//! Layout: [`Announcer`] tells the discoveries that this node lives, [`Membership`] watches what
//! they list, [`merge`] makes one [`View`] of what several of them say (pure: no clock, no I/O),
//! [`own_host`] finds this node's address; `discovery_api` is what both ask of a discovery.

mod address;
mod announce;
mod discovery_api;
pub mod merge;
mod pause;
mod watch;

pub use address::own_host;
pub use announce::Announcer;
pub use merge::View;
pub use watch::Membership;
