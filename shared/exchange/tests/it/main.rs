//! Exchange without a network: pages, buffers, readers.
#![allow(clippy::unwrap_used)]

mod buffers;
mod pages;
mod readers;
mod spooled;
mod support;
