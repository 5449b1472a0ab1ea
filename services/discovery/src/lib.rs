//! Who is in the cluster: announcements in, a watched view out.
//!
//! Discovery finds nodes; it does not kill them: that a node is not listed only keeps new work
//! from it. Nothing is stored: after a restart the nodes announce themselves anew, and until a
//! lease has passed the view says that it is warming.
//!
//! Layout: [`registry`] has the leases and the view (pure: the time is an argument), [`api`] its
//! routes, [`service`] the process around them.

pub mod api;
pub mod registry;
pub mod service;

pub use service::{DiscoveryOptions, DiscoveryService};
