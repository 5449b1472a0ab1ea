//! Objects in memory: for the tests of what stands above.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{ObjectSink, Store};
use crate::error::{StoreError, StoreErrorKind};

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// Objects in this process, gone with it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    objects: Objects,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.objects).keys().cloned().collect()
    }

    /// Changes an object's bytes as damage would; false when there is none.
    pub fn damage(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut objects = lock(&self.objects);
        let Some(object) = objects.get_mut(key) else { return false };
        let mut bytes = object.to_vec();
        change(&mut bytes);
        *object = bytes.into();
        true
    }
}

fn lock(objects: &Objects) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: StoreErrorKind, what: &str, key: &str, reason: &str) -> StoreError {
    let (location, what) = ("memory".to_owned(), format!("{what} {key}"));
    StoreError { kind, location, what, reason: reason.to_owned() }
}

fn insert(objects: &Objects, key: &str, bytes: Bytes) -> Result<(), StoreError> {
    let mut objects = lock(objects);
    if objects.contains_key(key) {
        return Err(error(StoreErrorKind::Exists, "write", key, "it exists"));
    }
    objects.insert(key.to_owned(), bytes);
    Ok(())
}

#[async_trait]
impl Store for MemoryStore {
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        insert(&self.objects, key, bytes)
    }

    async fn create(&self, key: &str) -> Result<Box<dyn ObjectSink>, StoreError> {
        if lock(&self.objects).contains_key(key) {
            return Err(error(StoreErrorKind::Exists, "write", key, "it exists"));
        }
        let (objects, key) = (Arc::clone(&self.objects), key.to_owned());
        Ok(Box::new(MemorySink { objects, key, bytes: Vec::new() }))
    }

    async fn get(&self, key: &str) -> Result<BytesMut, StoreError> {
        self.get_range(key, 0, usize::MAX).await
    }

    async fn get_range(
        &self,
        key: &str,
        offset: u64,
        length: usize,
    ) -> Result<BytesMut, StoreError> {
        let objects = lock(&self.objects);
        let object = objects
            .get(key)
            .ok_or_else(|| error(StoreErrorKind::NotFound, "read", key, "there is none"))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(object.len());
        let end = start.saturating_add(length).min(object.len());
        Ok(BytesMut::from(&object[start..end]))
    }

    async fn delete_folder(&self, folder: &str) -> Result<(), StoreError> {
        let folder = format!("{folder}/");
        lock(&self.objects).retain(|key, _| !key.starts_with(&folder));
        Ok(())
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let prefix = format!("{folder}/");
        let objects = lock(&self.objects);
        let below = objects.keys().filter_map(|key| key.strip_prefix(&prefix)?.split_once('/'));
        let mut names: Vec<_> = below.map(|(name, _)| name.to_owned()).collect();
        names.dedup();
        Ok(names)
    }
}

#[derive(Debug)]
struct MemorySink {
    objects: Objects,
    key: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl ObjectSink for MemorySink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        insert(&self.objects, &self.key, self.bytes.into())?;
        insert(&self.objects, key, bytes)
    }
}
