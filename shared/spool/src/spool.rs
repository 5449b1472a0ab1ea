//! The locations of a cluster, and what objects are called in them.
//!
//! A key is `waterbear-<namespace>/<environment>/<query>/<stage>.<task>.<attempt>/<object>`. The
//! namespace is derived from the cluster's secret, so that clusters can share a location. Nothing
//! depends on listing: whoever looks for an object knows its key.

use std::collections::BTreeSet;
use std::sync::Arc;

use waterbear_ids::{AttemptId, QueryId, stable_hash};
use waterbear_protocol::spool::{CommittedRecord, QueryKey};

use crate::cache::OutputCache;
use crate::error::{FormatError, SpoolError, StoreError, StoreErrorKind};
use crate::ranges::RangeReader;
use crate::record;
pub use crate::seal::ObjectKind;
use crate::store::Store;

/// So many bytes are read at once to see whether an output is whole.
const VERIFY_BYTES: usize = 2 << 20;

/// A base directory and the storage behind it.
#[derive(Debug, Clone)]
pub struct Location {
    /// As it is configured; the same text on all nodes.
    pub name: String,
    /// The storage.
    pub store: Arc<dyn Store>,
}

/// Where a cluster spools. Clones share the storage.
#[derive(Debug, Clone)]
pub struct Spool {
    locations: Arc<[Location]>,
    prefix: Arc<str>,
    cache: Option<OutputCache>,
}

impl Spool {
    /// A spool in these locations, at least one; `namespace` is the cluster's public name.
    pub fn new(locations: Vec<Location>, namespace: &str, environment: &str) -> Self {
        let prefix = format!("waterbear-{namespace}/{environment}").into();
        Self { locations: locations.into(), prefix, cache: None }
    }

    /// The same spool, of which what is written by this process is read in `cache` if it is there.
    pub fn with_cache(self, cache: OutputCache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    pub(crate) fn cache(&self) -> Option<&OutputCache> {
        self.cache.as_ref()
    }

    /// Finds out whether every location can be used, and makes those that are absent.
    ///
    /// # Errors
    /// The first one that cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        for location in &*self.locations {
            location.store.check().await?;
        }
        Ok(())
    }

    /// The locations' names.
    pub fn locations(&self) -> impl Iterator<Item = &str> {
        self.locations.iter().map(|location| location.name.as_str())
    }

    /// Where an attempt should write: by hash, and if possible none of those to avoid.
    pub fn location_for(&self, attempt: &AttemptId, avoid: &[String]) -> Option<&str> {
        let good: Vec<_> =
            self.locations().filter(|name| !avoid.iter().any(|a| a == name)).collect();
        let all: Vec<_> = self.locations().collect();
        let choice = if good.is_empty() { all } else { good };
        let index = stable_hash(attempt.to_string().bytes()) % choice.len().max(1) as u64;
        choice.get(index as usize).copied()
    }

    /// The storage of a location.
    ///
    /// # Errors
    /// When the location is not one of this node's.
    pub fn store(&self, location: &str) -> Result<&dyn Store, SpoolError> {
        let found = self.locations.iter().find(|known| known.name == location);
        found.map(|found| &*found.store).ok_or_else(|| SpoolError::UnknownLocation {
            location: location.to_owned(),
            known: self.locations().collect::<Vec<_>>().join(", "),
        })
    }

    /// The key of one of an attempt's objects.
    pub fn key(&self, attempt: &AttemptId, kind: ObjectKind) -> String {
        let (task, number) = (&attempt.task, attempt.number);
        let folder = self.query_folder(attempt.query());
        format!("{folder}/{}.{}.{number}/{}", task.stage.number, task.number, kind.name())
    }

    fn query_folder(&self, query: &QueryId) -> String {
        format!("{}/{query}", self.prefix)
    }

    /// What an attempt has committed; `None` when it has not.
    ///
    /// # Errors
    /// When the location cannot be asked. A damaged record is no commit.
    pub async fn committed(
        &self,
        query: &QueryKey,
        attempt: &AttemptId,
        location: &str,
    ) -> Result<Option<CommittedRecord>, SpoolError> {
        let key = self.key(attempt, ObjectKind::Record);
        let bytes = match self.store(location)?.get(&key).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match record::open(query, attempt, &bytes) {
            Ok(record) => Ok(Some(record)),
            // It may well be whole: this build cannot tell.
            Err(error @ FormatError::Version { .. }) => {
                let object = format!("the record of {attempt} in {location}");
                Err(SpoolError::Damaged { object, error })
            }
            Err(error) => {
                tracing::warn!(%attempt, location, %error, "a record that cannot be read");
                Ok(None)
            }
        }
    }

    /// Reads all that an attempt has committed, to see whether it is whole.
    ///
    /// # Errors
    /// What is gone or damaged, or that it cannot be told.
    pub async fn verify(
        &self,
        query: &QueryKey,
        committed: &CommittedRecord,
    ) -> Result<(), SpoolError> {
        let attempt = &committed.attempt;
        let stored = self.committed(query, attempt, &committed.location).await?;
        if stored.as_ref() != Some(committed) {
            let object = format!("the record of {attempt} in {}", committed.location);
            let error = FormatError::Record("it is not what was committed".to_owned());
            return Err(SpoolError::Damaged { object, error });
        }
        let partitions: BTreeSet<_> =
            committed.ranges.iter().map(|range| range.partition).collect();
        for partition in partitions {
            let spool = self.clone();
            let mut reader = RangeReader::new(spool, query, committed, partition, VERIFY_BYTES)?;
            while reader.next_page().await?.is_some() {}
        }
        Ok(())
    }

    /// Deletes everything of a query, in all locations.
    ///
    /// # Errors
    /// The first location that failed; the others are swept all the same.
    pub async fn delete_query(&self, query: &QueryId) -> Result<(), StoreError> {
        let folder = self.query_folder(query);
        let mut failed = Ok(());
        for location in &*self.locations {
            let deleted = location.store.delete_folder(&folder).await;
            failed = failed.and(deleted);
        }
        failed
    }

    /// The queries that have something in any location. Folders that are no query's are not
    /// named.
    ///
    /// # Errors
    /// When a location cannot be listed.
    pub async fn queries(&self) -> Result<Vec<QueryId>, StoreError> {
        let mut queries = Vec::new();
        for location in &*self.locations {
            let names = location.store.folders(&self.prefix).await?;
            queries.extend(names.iter().filter_map(|name| name.parse::<QueryId>().ok()));
        }
        queries.sort();
        queries.dedup();
        Ok(queries)
    }
}
