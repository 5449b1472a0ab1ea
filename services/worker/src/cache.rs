//! The memory in which outputs of this worker are kept for its own readers.

use std::sync::Arc;
use std::time::Duration;

use waterbear_engine::{Engine, SpareMemory};
use waterbear_spool::{CacheMemory, OutputCache};

/// How long an output is kept. Nobody tells a worker of a query's end; but what is kept is in
/// nobody's way, and the oldest goes first.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(300);

/// A cache of at most `limit` bytes of what no task holds of the engine's memory.
pub(crate) fn over(engine: &Engine, limit: usize) -> OutputCache {
    let spare = engine.spare_memory();
    let cache = OutputCache::new(limit, Arc::new(Spare(Arc::clone(&spare))));
    let own = cache.clone();
    spare.on_shortage(move || own.clear());
    cache
}

#[derive(Debug)]
struct Spare(Arc<SpareMemory>);

impl CacheMemory for Spare {
    fn try_take(&self, bytes: usize) -> bool {
        self.0.try_take(bytes)
    }

    fn give_back(&self, bytes: usize) {
        self.0.give_back(bytes);
    }
}
