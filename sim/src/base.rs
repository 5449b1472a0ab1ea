//! Virtual time, seeded randomness, the hash over everything that happens, the event queue.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::Hasher;

/// Microseconds since the start of a simulation.
pub type Time = u64;

/// A millisecond.
pub const MS: Time = 1_000;
/// A second.
pub const S: Time = 1_000_000;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Numbers that the seed decides.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x7761_7465_7262_6561))
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`; zero if that is zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(limit)) >> 64) as u64
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `permille` of a thousand cases.
    pub fn chance(&mut self, permille: u64) -> bool {
        permille > 0 && self.below(1000) < permille
    }

    /// A number of `low..=high`, small ones as likely as large ones.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let (mut top, low) = (low.max(1), low.max(1));
        let doublings = u64::from((high.max(low) / low).ilog2());
        for _ in 0..self.below(doublings + 1) {
            top = top.saturating_mul(2);
        }
        self.between(low, top.saturating_mul(2).min(high.max(low)))
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len() as u64) as usize).copied()
    }
}

/// SplitMix64's finaliser.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a, over whole words: the same in all processes, unlike the standard hasher.
#[derive(Debug, Clone)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        // Multiplication alone never carries high bits down.
        self.0 ^= self.0 >> 29;
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}

/// What is to happen, by time; at one time in the order in which it was said.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Due<T>>,
    next: u64,
}

#[derive(Debug)]
struct Due<T> {
    at: Time,
    number: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }
}

impl<T> Queue<T> {
    /// Lets it happen at that time.
    pub fn push(&mut self, at: Time, what: T) {
        let number = self.next;
        self.next += 1;
        self.heap.push(Due { at, number, what });
    }

    /// What comes next, and when.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        self.heap.pop().map(|due| (due.at, due.what))
    }

    /// How much is to happen.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is to happen any more.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its largest first.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}
