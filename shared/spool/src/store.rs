//! Storage for objects that are written once.

mod filesystem;
mod memory;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::error::StoreError;

pub use filesystem::FilesystemStore;
pub use memory::MemoryStore;

/// A place for objects. Keys are relative, with `/` between their parts. What was written and
/// answered is durable, and seen by every later request from any node. Nothing is ever changed:
/// an object is written once, read in parts, and deleted.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// Finds out whether objects can be written here; makes the place if it is absent. Leaves
    /// nothing behind.
    ///
    /// # Errors
    /// What is wrong with it.
    async fn check(&self) -> Result<(), StoreError>;

    /// Writes a small object in one piece.
    ///
    /// # Errors
    /// `Exists` when the key is taken.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError>;

    /// Begins an object that is written piece by piece.
    ///
    /// # Errors
    /// `Exists` when the key is taken.
    async fn create(&self, key: &str) -> Result<Box<dyn ObjectSink>, StoreError>;

    /// All of an object.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    async fn get(&self, key: &str) -> Result<BytesMut, StoreError>;

    /// `length` bytes from `offset` on, fewer at the object's end.
    ///
    /// # Errors
    /// `NotFound` when there is no such object.
    async fn get_range(
        &self,
        key: &str,
        offset: u64,
        length: usize,
    ) -> Result<BytesMut, StoreError>;

    /// Deletes every object whose key begins with this folder, and the folder.
    ///
    /// # Errors
    /// Never because there is none.
    async fn delete_folder(&self, folder: &str) -> Result<(), StoreError>;

    /// The names of the folders in this folder; empty when there is no such folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError>;
}

/// An object that is being written. Dropped before [`Self::finish`], nothing of it is left.
#[async_trait]
pub trait ObjectSink: Debug + Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// When they cannot be written; the object is lost then.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object durable, and with it a small one that is written after it: the caller is
    /// answered when both are. Should the storage itself break down before that, the small one
    /// may be left alone: what it speaks of is then found missing.
    ///
    /// # Errors
    /// When they are not sure to be durable; best effort, neither is left.
    async fn finish(self: Box<Self>, key: &str, bytes: Bytes) -> Result<(), StoreError>;
}
