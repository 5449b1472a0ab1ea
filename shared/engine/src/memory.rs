//! Who holds how much of a node's memory: the node's pool, each query's share of it, each task's
//! part of that.
//!
//! A reservation passes through all three. The query's pool refuses what goes beyond
//! `query.max-memory-per-node`, the node's what does not fit beside the other queries; either
//! refusal makes an operator that can spill do so, and fails the query where none can. Both pools
//! give every consumer that can spill an equal part of what those that cannot have left.
//!
//! What nobody has reserved may be lent to caches. They are told to give it back before a
//! reservation is refused for want of it.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
    human_readable_size,
};
use waterbear_ids::QueryId;

/// How many of the largest consumers a refusal names.
const NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");

/// Tells a pool of bytes that come (or go, with a minus) without asking.
pub type ByteCounter = Arc<dyn Fn(isize) + Send + Sync>;

/// A node's memory pool and the queries that have a part of it.
#[derive(Debug)]
pub(crate) struct NodeMemory {
    pool: Arc<dyn MemoryPool>,
    limit: usize,
    query_limit: usize,
    queries: Mutex<HashMap<QueryId, Weak<QueryMemory>>>,
    spare: Arc<SpareMemory>,
}

impl NodeMemory {
    /// A pool of `limit` bytes, of which no query gets more than `query_limit`.
    pub(crate) fn new(limit: usize, query_limit: usize) -> Self {
        let pool = Arc::new(FairSpillPool::new(limit));
        let pool: Arc<dyn MemoryPool> = pool;
        let spare = Arc::new(SpareMemory::new(&pool));
        let query_limit = query_limit.min(limit);
        Self { pool, limit, query_limit, queries: Mutex::default(), spare }
    }

    /// What nobody has reserved.
    pub(crate) fn spare(&self) -> Arc<SpareMemory> {
        Arc::clone(&self.spare)
    }

    /// Bytes that queries hold.
    pub(crate) fn reserved(&self) -> usize {
        self.pool.reserved().saturating_sub(self.spare.lent())
    }

    /// The node's pool.
    pub(crate) fn pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.pool)
    }

    /// Bytes that all queries together may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The pool of a query, one for all its tasks here.
    pub(crate) fn query(&self, query: &QueryId) -> Arc<QueryMemory> {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = queries.get(query).and_then(Weak::upgrade) {
            return memory;
        }
        queries.retain(|_, memory| memory.strong_count() > 0);
        let memory = Arc::new(QueryMemory {
            node: Arc::clone(&self.pool),
            node_limit: self.limit,
            spare: Arc::clone(&self.spare),
            own: TrackConsumersPool::new(FairSpillPool::new(self.query_limit), NAMED),
            limit: self.query_limit,
        });
        queries.insert(query.clone(), Arc::downgrade(&memory));
        memory
    }
}

/// What one query may hold of this node's memory.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    node: Arc<dyn MemoryPool>,
    node_limit: usize,
    spare: Arc<SpareMemory>,
    own: TrackConsumersPool<FairSpillPool>,
    limit: usize,
}

impl QueryMemory {
    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if self.own.try_grow(reservation, additional).is_err() {
            let what = format!(
                "Query exceeded per-node memory limit of {}",
                human_readable_size(self.limit)
            );
            return Err(self.refusal(&what, additional));
        }
        if self.node.try_grow(reservation, additional).is_err()
            && !self.spare.called_back(|| self.node.try_grow(reservation, additional).is_ok())
        {
            self.own.shrink(reservation, additional);
            let what = format!(
                "The node's memory pool of {} is full: all queries hold {} of it",
                human_readable_size(self.node_limit),
                human_readable_size(self.node.reserved().saturating_sub(self.spare.lent()))
            );
            return Err(self.refusal(&what, additional));
        }
        Ok(())
    }

    /// The refusal of a request, with the numbers. An operator that can spill swallows it.
    fn refusal(&self, what: &str, additional: usize) -> DataFusionError {
        let mut top = self.own.metrics();
        top.sort_by_key(|consumer| std::cmp::Reverse(consumer.reserved));
        let top: Vec<String> = top
            .iter()
            .take(NAMED.get())
            .map(|consumer| format!("{}={}", consumer.name, human_readable_size(consumer.reserved)))
            .collect();
        DataFusionError::ResourcesExhausted(format!(
            "{what} [Allocated: {}, Delta: {}, Top Consumers: {{{}}}]",
            human_readable_size(self.own.reserved()),
            human_readable_size(additional),
            top.join(", ")
        ))
    }
}

/// Gives back everything that was lent.
type CallBack = Box<dyn Fn() + Send + Sync>;

/// Lends what nobody has reserved of a node's memory, until somebody reserves it.
pub struct SpareMemory {
    lent: MemoryReservation,
    call_back: OnceLock<CallBack>,
}

impl SpareMemory {
    fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let lent = MemoryConsumer::new("Caches").register(pool);
        Self { lent, call_back: OnceLock::new() }
    }

    /// Lends bytes; false when all are reserved.
    pub fn try_take(&self, bytes: usize) -> bool {
        self.lent.try_grow(bytes).is_ok()
    }

    /// Takes back what was lent.
    pub fn give_back(&self, bytes: usize) {
        self.lent.shrink(bytes);
    }

    /// Bytes that are lent now.
    pub fn lent(&self) -> usize {
        self.lent.size()
    }

    /// Sets who gives back everything, at once, when it is asked to. It is set once.
    pub fn on_shortage(&self, call_back: impl Fn() + Send + Sync + 'static) {
        // A second one would be one that has nothing.
        let _ = self.call_back.set(Box::new(call_back));
    }

    /// Whether something succeeds once everything was asked back: also when it was another one who
    /// has just asked.
    fn called_back(&self, then: impl FnOnce() -> bool) -> bool {
        match self.call_back.get() {
            Some(call_back) => {
                call_back();
                then()
            }
            None => false,
        }
    }
}

impl fmt::Debug for SpareMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpareMemory").field("lent", &self.lent()).finish_non_exhaustive()
    }
}

/// Passes every reservation of one task on to its query's pool, and counts them.
#[derive(Debug)]
pub struct TaskMemoryPool {
    query: Arc<QueryMemory>,
    held: AtomicUsize,
    peak: AtomicUsize,
}

impl TaskMemoryPool {
    /// A pool for one task within its query's.
    pub(crate) fn new(query: Arc<QueryMemory>) -> Self {
        Self { query, held: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The most bytes that were held at once.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn count(&self, additional: usize) {
        let held = self.held.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }
}

/// A counter for buffers that are bounded by themselves: their bytes are taken from `pool` without
/// asking, so that operators get less.
pub(crate) fn byte_counter(name: &str, pool: &Arc<dyn MemoryPool>) -> ByteCounter {
    let reservation = Mutex::new(MemoryConsumer::new(name).register(pool));
    Arc::new(move |bytes| {
        // One at a time: bytes may go on one thread while others come on another.
        let reservation = reservation.lock().unwrap_or_else(PoisonError::into_inner);
        match usize::try_from(bytes) {
            Ok(more) => reservation.grow(more),
            Err(_) => reservation.shrink(bytes.unsigned_abs().min(reservation.size())),
        }
    })
}

impl fmt::Display for TaskMemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task(held: {}, peak: {}) of {}", self.held(), self.peak(), self.query.own)
    }
}

impl MemoryPool for TaskMemoryPool {
    fn name(&self) -> &str {
        "task"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.query.own.register(consumer);
        self.query.node.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.query.own.unregister(consumer);
        self.query.node.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.query.own.grow(reservation, additional);
        self.query.node.grow(reservation, additional);
        self.count(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.query.own.shrink(reservation, shrink);
        self.query.node.shrink(reservation, shrink);
        self.held.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.query.try_grow(reservation, additional)?;
        self.count(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.held()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.query.limit)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn task(node: &NodeMemory, query: &str) -> Arc<dyn MemoryPool> {
        Arc::new(TaskMemoryPool::new(node.query(&query.parse().unwrap())))
    }

    #[test]
    fn a_query_gets_its_limit_and_no_more_on_all_its_tasks_together() {
        let node = NodeMemory::new(1000, 600);
        let (one, two) = (
            task(&node, "20260101_000000_00000_aaaaa"),
            task(&node, "20260101_000000_00000_aaaaa"),
        );
        let held = MemoryConsumer::new("HashJoinInput").register(&one);
        held.try_grow(500).unwrap();
        let more = MemoryConsumer::new("Sort").register(&two);
        let error = more.try_grow(200).unwrap_err().to_string();
        for part in [
            "per-node memory limit of 600.0 B",
            "Allocated: 500.0 B",
            "Delta: 200.0 B",
            "HashJoinInput",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let other = task(&node, "20260101_000000_00001_aaaaa");
        let others = MemoryConsumer::new("Sort").register(&other);
        others.try_grow(400).unwrap();
        let error = others.try_grow(200).unwrap_err().to_string();
        assert!(error.contains("memory pool of 1000.0 B is full"), "{error}");
        drop(held);
        others.try_grow(200).unwrap();
        assert_eq!((node.pool().reserved(), one.reserved(), other.reserved()), (600, 0, 600));
        drop((more, others));
        assert_eq!(node.pool().reserved(), 0);
    }

    #[test]
    fn counted_bytes_leave_less_for_operators() {
        let node = NodeMemory::new(1000, 1000);
        let pool = task(&node, "20260101_000000_00000_aaaaa");
        let count = byte_counter("ExchangePages", &pool);
        count(900);
        let operator = MemoryConsumer::new("Sort").register(&pool);
        assert!(operator.try_grow(200).is_err());
        count(-900);
        operator.try_grow(200).unwrap();
        drop((operator, count));
        assert_eq!(node.pool().reserved(), 0);
    }

    #[test]
    fn what_is_lent_comes_back_before_anybody_is_refused() {
        let node = NodeMemory::new(1000, 1000);
        let spare = node.spare();
        let (cache, calls) = (Arc::clone(&spare), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&calls);
        spare.on_shortage(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let lent = cache.lent();
            cache.give_back(lent);
        });
        assert!(spare.try_take(600));
        assert_eq!((node.pool().reserved(), node.reserved()), (600, 0));
        let pool = task(&node, "20260101_000000_00000_aaaaa");
        let held = MemoryConsumer::new("HashJoinInput").register(&pool);
        held.try_grow(400).unwrap();
        assert!(!spare.try_take(1));
        assert_eq!((calls.load(Ordering::Relaxed), spare.lent()), (0, 600));
        held.try_grow(400).unwrap();
        assert_eq!((calls.load(Ordering::Relaxed), spare.lent()), (1, 0));
        assert!(spare.try_take(200));
        // One that can spill has all that the others leave.
        let sort = MemoryConsumer::new("Sort").with_can_spill(true).register(&pool);
        sort.try_grow(200).unwrap();
        assert!(sort.try_grow(1).is_err());
        drop((held, sort));
        assert_eq!(node.pool().reserved(), 0);
    }

    #[test]
    fn a_query_that_is_gone_leaves_nothing() {
        let node = NodeMemory::new(1000, 1000);
        drop(task(&node, "20260101_000000_00000_aaaaa"));
        drop(task(&node, "20260101_000000_00001_aaaaa"));
        assert!(node.queries.lock().unwrap().len() <= 1);
    }
}
