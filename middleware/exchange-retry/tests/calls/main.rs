//! Calls through the layer, over a scripted service and a scripted spool, in virtual time.

#![allow(clippy::unwrap_used)]

mod cancel;
mod retries;
mod script;
