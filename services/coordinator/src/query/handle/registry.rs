//! All queries of this coordinator: the living and the lately ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use waterbear_ids::QueryId;
use waterbear_protocol::Failure;

use super::super::ClientContext;
use super::QueryHandle;

/// How many ended queries are remembered (Trino's `query.max-history`).
const MAX_HISTORY: usize = 100;
/// How long an ended query is remembered at most.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// How long every ended query is remembered: its client may not have read its end.
const MIN_AGE: Duration = Duration::from_secs(30);
/// Letters and digits of start ids, without those that look alike.
const START_ID_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// All queries of this coordinator.
#[derive(Debug)]
pub struct QueryRegistry {
    start_id: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Why no query begins here any more.
    closed: Option<Failure>,
    day: NaiveDate,
    counter: u32,
    // Ids sort by the time of submission.
    queries: BTreeMap<QueryId, Arc<QueryHandle>>,
}

impl Default for QueryRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl QueryRegistry {
    /// An empty registry with a start id of its own.
    pub fn new() -> Self {
        let letter = || {
            let index = rand::random_range(0..START_ID_ALPHABET.len());
            char::from(START_ID_ALPHABET[index])
        };
        let start_id = (0..5).map(|_| letter()).collect();
        let (day, queries) = (Utc::now().date_naive(), BTreeMap::new());
        let inner = Inner { closed: None, day, counter: 0, queries };
        Self { start_id, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of all query ids that tells this start of the coordinator from others.
    pub fn start_id(&self) -> &str {
        &self.start_id
    }

    /// Registers a statement under a new id. It does not start.
    pub fn submit(&self, sql: String, context: ClientContext) -> Arc<QueryHandle> {
        let mut inner = self.inner();
        let id = inner.next_id(Utc::now(), &self.start_id);
        let query = Arc::new(QueryHandle::new(id.clone(), sql, context));
        inner.queries.insert(id, Arc::clone(&query));
        if let Some(failure) = &inner.closed {
            query.fail(failure.clone());
        }
        query
    }

    /// Ends all queries, and each that is submitted later, with this failure.
    pub fn close(&self, failure: &Failure) {
        self.inner().closed = Some(failure.clone());
        for query in self.all() {
            query.fail(failure.clone());
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.inner().closed.is_some()
    }

    /// The query with this id, while it is remembered.
    pub fn get(&self, id: &QueryId) -> Option<Arc<QueryHandle>> {
        self.inner().queries.get(id).cloned()
    }

    /// All queries, the oldest first.
    pub fn all(&self) -> Vec<Arc<QueryHandle>> {
        self.inner().queries.values().cloned().collect()
    }

    /// Forgets a query.
    pub fn remove(&self, id: &QueryId) {
        self.inner().queries.remove(id);
    }

    /// Forgets ended queries: the oldest beyond a hundred, and all after 15 minutes.
    pub fn expire(&self) {
        let mut inner = self.inner();
        let ended: Vec<(QueryId, Duration)> = inner
            .queries
            .iter()
            .filter_map(|(id, query)| Some((id.clone(), query.ended_since()?)))
            .collect();
        let surplus = ended.len().saturating_sub(MAX_HISTORY);
        for (position, (id, age)) in ended.into_iter().enumerate() {
            if age > MAX_AGE || position < surplus && age > MIN_AGE {
                inner.queries.remove(&id);
            }
        }
    }
}

impl Inner {
    fn next_id(&mut self, now: DateTime<Utc>, start_id: &str) -> QueryId {
        loop {
            if now.date_naive() != self.day {
                self.day = now.date_naive();
                self.counter = 0;
            }
            let text = format!("{}_{:05}_{start_id}", now.format("%Y%m%d_%H%M%S"), self.counter);
            self.counter = self.counter.wrapping_add(1);
            // The text is always an id, and new: the counter moves on with each one.
            if let Ok(id) = text.parse::<QueryId>()
                && !self.queries.contains_key(&id)
            {
                return id;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_protocol::ErrorCode;

    use super::*;
    use crate::query::handle::QueryState;

    #[test]
    fn ids_have_trinos_form_and_count_up() {
        let registry = QueryRegistry::new();
        let submit = || registry.submit("SELECT 1".into(), ClientContext::default());
        let (first, second) = (submit(), submit());
        let parts: Vec<&str> = first.id().as_str().split('_').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 6, 5, 5]);
        assert_eq!(parts[2], "00000");
        assert_eq!(parts[3], registry.start_id());
        assert!(second.id().as_str().contains("_00001_"));
        assert_eq!(registry.all().len(), 2);
        assert!(Arc::ptr_eq(&registry.get(first.id()).unwrap(), &first));
    }

    #[test]
    fn a_closed_registry_has_no_living_query() {
        let registry = QueryRegistry::new();
        let submit = || registry.submit(String::new(), ClientContext::default());
        let (finished, running) = (submit(), submit());
        finished.set_state(QueryState::Finished);
        running.set_state(QueryState::Running);
        let failure = Failure::new(ErrorCode::SERVER_SHUTTING_DOWN, "the coordinator ends");
        registry.close(&failure);
        assert!(registry.is_closed());
        assert_eq!(finished.failure(), None);
        assert_eq!(running.failure(), Some(failure.clone()));
        assert!(running.cancellation().is_cancelled());
        assert_eq!(submit().failure(), Some(failure));
    }

    #[test]
    fn living_and_just_ended_queries_are_kept() {
        let registry = QueryRegistry::new();
        for _ in 0..150 {
            let query = registry.submit(String::new(), ClientContext::default());
            query.set_state(QueryState::Finished);
        }
        registry.submit(String::new(), ClientContext::default());
        registry.expire();
        assert_eq!(registry.all().len(), 151);
    }
}
