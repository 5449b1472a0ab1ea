//! Bind, accept, drain: how any service of the cluster listens, and the stacks in front of its
//! routes.
//!
//! Layout: [`bind`] opens a port, [`Server`] accepts and drains, `connection` is the life of one
//! connection; [`stacks`] has the three inbound stacks, `rescue` what they answer when something
//! went wrong; [`lifecycle`] is the node's own state, [`state`] the route that changes it; [`info`]
//! the other routes that every node has, which are read-only.

mod connection;
pub mod info;
pub mod lifecycle;
mod listen;
mod rescue;
mod server;
pub mod stacks;
pub mod state;

pub use connection::PeerAddress;
pub use lifecycle::Lifecycle;
pub use listen::{BindError, bind};
pub use server::Server;
