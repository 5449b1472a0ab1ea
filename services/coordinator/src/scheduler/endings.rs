//! What is still to be done for queries that have ended: aborts under way, spooled data to delete.
//! A coordinator that ends waits for it, so that nothing of its queries is left.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an attempt that was told to end may still write.
const SETTLED: Duration = Duration::from_millis(100);

/// What runs for the ends of queries. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Endings {
    work: TaskTracker,
    deletions: TaskTracker,
    /// The coordinator ends: nobody waits for what may come later.
    hurry: CancellationToken,
}

impl Endings {
    /// Runs what runs for a query, or ends something of it.
    pub fn spawn<F>(&self, work: F, runtime: &Handle) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.work.spawn_on(work, runtime)
    }

    /// Runs what deletes a query's data; at the coordinator's end it is waited for last.
    pub fn spawn_deletion<F>(&self, deletion: F, runtime: &Handle)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.deletions.spawn_on(deletion, runtime);
    }

    /// Waits, but not beyond the coordinator's end.
    pub async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurry.cancelled() => {}
        }
    }

    /// Waits until all is done, for `limit` at most: all queries have been ended before. False when
    /// something is left then.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.work.close();
        self.deletions.close();
        let done = async {
            self.work.wait().await;
            if !self.deletions.is_empty() {
                tokio::time::sleep(SETTLED).await;
                self.hurry.cancel();
                self.deletions.wait().await;
            }
        };
        tokio::time::timeout(limit, done).await.is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn data_is_deleted_last_when_nothing_runs_that_could_write_it() {
        let (endings, io) = (Endings::default(), Handle::current());
        let said = Arc::new(Mutex::new(Vec::new()));
        let say = |what: &'static str| {
            let said = Arc::clone(&said);
            move || said.lock().unwrap().push(what)
        };
        let (own, deleted, again) = (endings.clone(), say("deleted"), say("deleted again"));
        endings.spawn_deletion(
            async move {
                deleted();
                own.pause(Duration::from_secs(60)).await;
                again();
            },
            &io,
        );
        let (own, own_io, aborted) = (endings.clone(), io.clone(), say("aborted"));
        endings.spawn(
            async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                // What ends a query begins more that is waited for.
                let abort = async move {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    aborted();
                };
                own.spawn(abort, &own_io);
            },
            &io,
        );
        let start = Instant::now();
        assert!(endings.finish(LIMIT).await);
        assert_eq!(start.elapsed(), Duration::from_secs(1) + SETTLED);
        assert_eq!(*said.lock().unwrap(), ["deleted", "aborted", "deleted again"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_coordinator_waits_for_nothing_and_no_other_for_ever() {
        let start = Instant::now();
        assert!(Endings::default().finish(LIMIT).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        let endings = Endings::default();
        endings.spawn(std::future::pending::<()>(), &Handle::current());
        assert!(!endings.finish(LIMIT).await);
        assert_eq!(start.elapsed(), LIMIT);
    }
}
