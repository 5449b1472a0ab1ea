//! What this process's own attempts have written lately, in memory, as it lies in storage.
//!
//! Who reads here opens and checks the same sealed bytes as who reads storage, and reads storage
//! when something is missing here or wrong. So nothing depends on the cache: it is bounded, the
//! oldest objects go first, and all of it goes when the memory is wanted for something else.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

/// An object may have one part in so many of the cache: a larger one would cost too many others
/// their places.
const LARGEST_PART: usize = 4;

/// The memory out of which a cache is made.
pub trait CacheMemory: Debug + Send + Sync + 'static {
    /// Takes bytes; false when there are none to spare.
    fn try_take(&self, bytes: usize) -> bool;

    /// Gives back what was taken.
    fn give_back(&self, bytes: usize);
}

/// Objects in memory, by their keys. Clones are the same cache.
#[derive(Debug, Clone)]
pub struct OutputCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: usize,
    memory: Arc<dyn CacheMemory>,
    objects: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: HashMap<String, Object>,
    /// Those that are being written, by a number of their own.
    unfinished: HashMap<u64, Object>,
    next: u64,
    /// The oldest first.
    order: VecDeque<(Instant, String)>,
    /// Bytes of all objects, those included that are being written.
    bytes: usize,
}

/// The pieces of an object, in order, and its length.
#[derive(Debug, Default)]
struct Object {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl OutputCache {
    /// An empty cache of at most `limit` bytes of `memory`.
    pub fn new(limit: usize, memory: Arc<dyn CacheMemory>) -> Self {
        Self { inner: Arc::new(Inner { limit, memory, objects: Mutex::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.inner.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// `length` bytes of an object from `offset` on, fewer at its end; `None` when the object is
    /// not here.
    pub fn read(&self, key: &str, offset: u64, length: usize) -> Option<BytesMut> {
        let pieces = self.lock().by_key.get(key)?.pieces.clone();
        let mut skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(length);
        for piece in pieces {
            let part = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            let part = &part[..part.len().min(length - bytes.len())];
            bytes.extend_from_slice(part);
        }
        Some(bytes)
    }

    /// Begins to keep an object while it is written.
    pub(crate) fn begin(&self, key: String) -> CachedObject {
        let mut objects = self.lock();
        let number = objects.next;
        objects.next += 1;
        objects.unfinished.insert(number, Object::default());
        drop(objects);
        CachedObject { cache: self.clone(), key, number }
    }

    /// Drops what is older.
    pub fn drop_older(&self, age: Duration) {
        let mut objects = self.lock();
        while let Some((since, _)) = objects.order.front()
            && since.elapsed() > age
        {
            self.drop_oldest(&mut objects);
        }
    }

    /// Drops everything, what is being written too.
    pub fn clear(&self) {
        let mut objects = self.lock();
        while self.drop_oldest(&mut objects) {}
        let numbers: Vec<u64> = objects.unfinished.keys().copied().collect();
        for number in numbers {
            self.give_up(&mut objects, number);
        }
    }

    /// False when there is none.
    fn drop_oldest(&self, objects: &mut Objects) -> bool {
        let Some((_, key)) = objects.order.pop_front() else { return false };
        let bytes = objects.by_key.remove(&key).map_or(0, |object| object.bytes);
        objects.bytes -= bytes;
        self.inner.memory.give_back(bytes);
        true
    }

    /// Makes room for so many bytes more.
    fn take(&self, objects: &mut Objects, bytes: usize) -> bool {
        while objects.bytes + bytes > self.inner.limit {
            if !self.drop_oldest(objects) {
                return false;
            }
        }
        let taken = self.inner.memory.try_take(bytes);
        objects.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// An object that is being written is not kept.
    fn give_up(&self, objects: &mut Objects, number: u64) {
        let bytes = objects.unfinished.remove(&number).map_or(0, |object| object.bytes);
        objects.bytes -= bytes;
        self.inner.memory.give_back(bytes);
    }
}

/// An object that is being written. Dropped before it is finished, nothing of it is kept.
#[derive(Debug)]
pub(crate) struct CachedObject {
    cache: OutputCache,
    key: String,
    /// Among those that are being written; when it is not there, it has no room.
    number: u64,
}

impl CachedObject {
    /// What is written next.
    pub(crate) fn push(&mut self, piece: &Bytes) {
        let mut objects = self.cache.lock();
        let Some(object) = objects.unfinished.get(&self.number) else { return };
        let fits = object.bytes + piece.len() <= self.cache.inner.limit / LARGEST_PART;
        let taken = fits && self.cache.take(&mut objects, piece.len());
        match objects.unfinished.get_mut(&self.number) {
            Some(object) if taken => {
                object.bytes += piece.len();
                object.pieces.push(piece.clone());
            }
            _ => self.cache.give_up(&mut objects, self.number),
        }
    }

    /// All of it is in storage.
    pub(crate) fn finish(self) {
        let mut objects = self.cache.lock();
        // An attempt writes its object once, so there is none to be replaced.
        if !objects.by_key.contains_key(&self.key)
            && let Some(object) = objects.unfinished.remove(&self.number)
        {
            objects.by_key.insert(self.key.clone(), object);
            objects.order.push_back((Instant::now(), self.key.clone()));
        }
    }
}

impl Drop for CachedObject {
    fn drop(&mut self) {
        let mut objects = self.cache.lock();
        self.cache.give_up(&mut objects, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// So many bytes that are still to be had.
    #[derive(Debug)]
    struct Spare(AtomicUsize);

    impl CacheMemory for Spare {
        fn try_take(&self, bytes: usize) -> bool {
            let taken = |spare: usize| spare.checked_sub(bytes);
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
        }

        fn give_back(&self, bytes: usize) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn cache(limit: usize, spare: usize) -> (OutputCache, Arc<Spare>) {
        let spare = Arc::new(Spare(AtomicUsize::new(spare)));
        (OutputCache::new(limit, Arc::clone(&spare) as _), spare)
    }

    fn write(cache: &OutputCache, key: &str, pieces: &[&[u8]]) {
        let mut object = cache.begin(key.to_owned());
        pieces.iter().for_each(|piece| object.push(&Bytes::copy_from_slice(piece)));
        object.finish();
    }

    #[test]
    fn every_part_of_an_object_is_what_was_written() {
        let mut random = StdRng::seed_from_u64(3);
        let (cache, _) = cache(1 << 20, 1 << 20);
        for number in 0..200 {
            let pieces: Vec<Vec<u8>> = (0..random.random_range(0..6))
                .map(|_| (0..random.random_range(0..50)).map(|_| random.random()).collect())
                .collect();
            let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            let key = number.to_string();
            write(&cache, &key, &pieces);
            let whole = pieces.concat();
            for _ in 0..20 {
                let (offset, length) = (random.random_range(0..260), random.random_range(0..260));
                let start = offset.min(whole.len());
                let expected = &whole[start..(start + length).min(whole.len())];
                let found = cache.read(&key, offset as u64, length).unwrap();
                assert_eq!(found, expected, "{length} from {offset} on of {pieces:?}");
            }
            assert!(cache.read(&key, u64::MAX, 10).unwrap().is_empty());
        }
        assert!(cache.read("other", 0, 1).is_none());
    }

    #[test]
    fn the_oldest_go_for_new_ones_and_none_takes_too_much() {
        let (cache, spare) = cache(100, 1000);
        for key in ["a", "b", "c", "d", "e"] {
            write(&cache, key, &[&[1; 20]]);
        }
        assert_eq!(cache.bytes(), 100);
        write(&cache, "f", &[&[1; 12], &[1; 13]]);
        let kept = |key: &str| cache.read(key, 0, 1).is_some();
        assert!(!kept("a") && !kept("b") && kept("c") && kept("f"));
        write(&cache, "g", &[&[1; 13], &[1; 13]]);
        assert!(!kept("g"), "more than a quarter of it");
        assert_eq!(spare.0.load(Ordering::Relaxed), 1000 - cache.bytes());
    }

    #[test]
    fn it_takes_what_is_to_spare_and_gives_all_of_it_back() {
        let (cache, spare) = cache(1000, 100);
        for key in ["a", "b", "c"] {
            write(&cache, key, &[&[1; 30], &[1; 10]]);
        }
        assert_eq!((cache.bytes(), spare.0.load(Ordering::Relaxed)), (80, 20));
        assert!(cache.read("c", 0, 1).is_none(), "there was no room for it");
        let mut unfinished = cache.begin("d".to_owned());
        unfinished.push(&Bytes::from_static(&[1; 20]));
        cache.clear();
        assert_eq!((cache.bytes(), spare.0.load(Ordering::Relaxed)), (0, 100));
        unfinished.push(&Bytes::from_static(&[1; 20]));
        unfinished.finish();
        assert!(cache.read("d", 0, 1).is_none(), "it is not whole");
        assert_eq!((cache.bytes(), spare.0.load(Ordering::Relaxed)), (0, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_dropped() {
        let (cache, spare) = cache(1000, 1000);
        write(&cache, "a", &[&[1; 30]]);
        tokio::time::advance(Duration::from_secs(9)).await;
        write(&cache, "b", &[&[1; 40]]);
        tokio::time::advance(Duration::from_secs(2)).await;
        cache.drop_older(Duration::from_secs(10));
        assert!(cache.read("a", 0, 1).is_none() && cache.read("b", 0, 1).is_some());
        assert_eq!(spare.0.load(Ordering::Relaxed), 960);
    }
}
