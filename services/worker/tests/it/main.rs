//! Workers of this process, over mutual TLS, asked as a coordinator asks them.
#![allow(clippy::unwrap_used)]

mod cluster;
mod exchange;
mod lifecycle;
mod spooled;
