//! A service whose attempts end when the test says so, and a spool that answers what the test says.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use exchange_retry::{
    Attempt, AttemptFailure, Call, Class, Error, ExchangeRetry, ExchangeRetryLayer, Limits, Number,
    Spool, Task, TaskAttempts, Winner,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt};

/// In virtual time, so that a test fails where it would hang.
const FOR_EVER: Duration = Duration::from_secs(100_000);

#[derive(Debug, Clone)]
pub struct Job(pub TaskAttempts<&'static str, &'static str>);

impl Task for Job {
    type Node = &'static str;
    type Committed = &'static str;

    fn attempts(&self) -> &TaskAttempts<&'static str, &'static str> {
        &self.0
    }
}

/// A failure; the number is the memory that was held.
#[derive(Debug, PartialEq)]
pub struct Broken(pub Class, pub u32);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.0, self.1)
    }
}

impl std::error::Error for Broken {}

impl AttemptFailure for Broken {
    fn class(&self) -> Class {
        self.0
    }

    fn peak_memory(&self) -> u64 {
        u64::from(self.1)
    }
}

pub type Answer = Result<&'static str, Broken>;
pub type Answered = Result<Winner<&'static str>, Error<Broken>>;

/// An attempt that runs until the test answers it. Its sender is closed once it was dropped.
pub struct Started {
    pub attempt: Attempt<Job>,
    pub answer: oneshot::Sender<Answer>,
}

impl Started {
    /// Places the attempt.
    pub fn on(self, node: &'static str) -> (Number, oneshot::Sender<Answer>) {
        let number = self.attempt.number;
        self.attempt.placed.on(node);
        (number, self.answer)
    }

    /// Places and ends the attempt.
    pub fn end(self, node: &'static str, answer: Answer) {
        self.on(node).1.send(answer).unwrap();
    }
}

/// Insists on being polled ready before each call, as some services do.
pub struct Workers {
    ready: bool,
    started: mpsc::UnboundedSender<Started>,
}

impl Clone for Workers {
    fn clone(&self) -> Self {
        Self { ready: false, started: self.started.clone() }
    }
}

impl Service<Attempt<Job>> for Workers {
    type Response = &'static str;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt<Job>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        let (answer, end) = oneshot::channel();
        self.started.send(Started { attempt, answer }).ok().unwrap();
        Box::pin(async move { end.await.unwrap() })
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Says {
    Has(&'static str),
    Empty,
    Unreachable,
    Nothing,
}

/// Says what it was given to say, in order, and remembers whom it was asked for.
#[derive(Clone, Default)]
pub struct Storage {
    pub says: Arc<Mutex<VecDeque<Says>>>,
    pub asked: Arc<Mutex<Vec<Number>>>,
}

impl Spool<Job> for Storage {
    type Error = &'static str;

    async fn committed(
        &self,
        _: &Job,
        attempt: Number,
    ) -> Result<Option<&'static str>, Self::Error> {
        self.asked.lock().unwrap().push(attempt);
        let says = self.says.lock().unwrap().pop_front().unwrap();
        match says {
            Says::Has(output) => Ok(Some(output)),
            Says::Empty => Ok(None),
            Says::Unreachable => Err("unreachable"),
            Says::Nothing => std::future::pending().await,
        }
    }
}

/// One job, and all that there is to run it.
pub struct Stage {
    pub job: Job,
    pub storage: Storage,
    pub service: ExchangeRetry<Workers, Storage>,
    started: mpsc::UnboundedReceiver<Started>,
}

impl Stage {
    pub fn new(limits: Limits, says: &[Says]) -> Self {
        let (sender, started) = mpsc::unbounded_channel();
        let storage = Storage::default();
        storage.says.lock().unwrap().extend(says);
        let workers = Workers { ready: false, started: sender };
        let service = ExchangeRetryLayer::new(storage.clone()).layer(workers);
        Self { job: Job(TaskAttempts::new(limits, 1)), storage, service, started }
    }

    pub fn call(&self) -> JoinHandle<Answered> {
        self.call_condemning(&[])
    }

    pub fn call_condemning(&self, condemned: &[Number]) -> JoinHandle<Answered> {
        let call = Call { task: self.job.clone(), condemned: condemned.to_vec() };
        tokio::spawn(self.service.clone().oneshot(call))
    }

    /// The next attempt that starts, whenever that is.
    pub async fn started(&mut self) -> Started {
        timeout(FOR_EVER, self.started.recv()).await.expect("an attempt starts").unwrap()
    }

    /// Whether an attempt starts while nothing else happens.
    pub async fn starts_nothing(&mut self) -> bool {
        settle().await;
        self.started.try_recv().is_err()
    }

    pub fn numbered(&self) -> Number {
        self.job.0.read(|attempts| attempts.numbered())
    }

    pub fn asked(&self) -> Vec<Number> {
        self.storage.asked.lock().unwrap().clone()
    }
}

/// The call's answer, whenever that comes.
pub async fn answer(call: JoinHandle<Answered>) -> Answered {
    timeout(FOR_EVER, call).await.expect("the call is answered").unwrap()
}

/// Returns when the attempt is dropped.
pub async fn dropped(attempt: &mut oneshot::Sender<Answer>) {
    timeout(FOR_EVER, attempt.closed()).await.expect("the attempt is dropped");
}

/// Lets all tasks do what they can without time going by.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

pub fn won(attempt: Number, committed: &'static str) -> Winner<&'static str> {
    Winner { attempt, committed }
}
