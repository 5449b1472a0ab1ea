//! Bind, accept, drain: how any service of the cluster listens, and the stacks in front of its
//! routes.
//!
//! Layout: [`bind`] opens a port, [`Server`] accepts and drains, `connection` is the life of one
//! connection; [`stacks`] has the three inbound stacks, `rescue` what they answer when something
//! went wrong; [`info`] the read-only routes that every node has.

mod connection;
pub mod info;
mod listen;
mod rescue;
mod server;
pub mod stacks;

pub use connection::PeerAddress;
pub use listen::{BindError, bind};
pub use server::Server;
