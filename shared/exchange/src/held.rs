//! Who is told how many bytes of pages are held.

use std::fmt;
use std::sync::Arc;

/// Tells a memory pool of pages that come and go, by their bytes. The default tells nobody.
#[derive(Clone, Default)]
pub struct HeldBytes(Option<Arc<dyn Fn(isize) + Send + Sync>>);

impl HeldBytes {
    /// Tells `count` of each change: more bytes, or with a minus less.
    pub fn counted_by(count: Arc<dyn Fn(isize) + Send + Sync>) -> Self {
        Self(Some(count))
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.change(isize::try_from(bytes).unwrap_or(isize::MAX));
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.change(-isize::try_from(bytes).unwrap_or(isize::MAX));
    }

    fn change(&self, bytes: isize) {
        if let Some(count) = &self.0
            && bytes != 0
        {
            count(bytes);
        }
    }
}

impl fmt::Debug for HeldBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBytes").field("counted", &self.0.is_some()).finish()
    }
}
