//! The layer and its service.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use attempts::Number;
use tower::{Layer, Service};

use crate::call::Driver;
use crate::{Attempt, AttemptFailure, Error, Spool, Task};

/// How long one question to the spool may take, unless the layer is told otherwise.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// A call of a task: the request to [`ExchangeRetry`].
#[derive(Debug, Clone)]
pub struct Call<T> {
    /// The task.
    pub task: T,
    /// Attempts whose outputs were found damaged or missing: they never win (again).
    pub condemned: Vec<Number>,
}

impl<T> Call<T> {
    /// A call that condemns nothing.
    pub fn new(task: T) -> Self {
        Self { task, condemned: Vec::new() }
    }
}

/// The one attempt whose output is to be read: the response of [`ExchangeRetry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner<C> {
    /// Its number.
    pub attempt: Number,
    /// What is known of its output.
    pub committed: C,
}

/// Applies [`ExchangeRetry`].
#[derive(Debug)]
pub struct ExchangeRetryLayer<P> {
    spool: Arc<P>,
    question_timeout: Duration,
}

impl<P> ExchangeRetryLayer<P> {
    /// A layer that looks for lost answers in the spool.
    pub fn new(spool: P) -> Self {
        Self { spool: Arc::new(spool), question_timeout: QUESTION_TIMEOUT }
    }

    /// Takes a question to the spool for failed when it has no answer after this time; 5 s unless
    /// this is called.
    #[must_use]
    pub fn question_timeout(self, question_timeout: Duration) -> Self {
        Self { question_timeout, ..self }
    }
}

// === impl ExchangeRetryLayer ===

impl<P> Clone for ExchangeRetryLayer<P> {
    fn clone(&self) -> Self {
        Self { spool: self.spool.clone(), question_timeout: self.question_timeout }
    }
}

impl<S, P> Layer<S> for ExchangeRetryLayer<P> {
    type Service = ExchangeRetry<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        ExchangeRetry { inner, layer: self.clone() }
    }
}

/// Runs attempts at each called task until one has committed. See the [crate].
#[derive(Debug)]
pub struct ExchangeRetry<S, P> {
    inner: S,
    layer: ExchangeRetryLayer<P>,
}

// === impl ExchangeRetry ===

impl<S: Clone, P> Clone for ExchangeRetry<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<T, S, P> Service<Call<T>> for ExchangeRetry<S, P>
where
    T: Task,
    S: Service<Attempt<T>, Response = T::Committed> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: AttemptFailure + Send + 'static,
    P: Spool<T>,
{
    type Response = Winner<T::Committed>;
    type Error = Error<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::NotReady)
    }

    fn call(&mut self, call: Call<T>) -> Self::Future {
        // The service that was polled ready goes, since readiness may be a reservation; a clone,
        // which has none, stays here, and others are made ready for each further attempt.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone.clone());
        let ExchangeRetryLayer { spool, question_timeout } = self.layer.clone();
        Box::pin(async move {
            let Call { task, condemned } = call;
            let turn = task.attempts().turn().await;
            let driver = Driver::new(turn, task, ready, clone, spool, question_timeout);
            driver.run(condemned).await
        })
    }
}
