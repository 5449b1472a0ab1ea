//! Performs what the pure scheduler decides, for all queries of this coordinator.
//!
//! One task owns the scheduler; everything else sends it messages. It never waits for anything
//! but the next message.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use waterbear_membership::Membership;
use waterbear_protocol::membership::NodeInfo;
use waterbear_protocol::{ErrorCode, Failure};
use waterbear_scheduler::{
    Action, AttemptKey, Event, Failure as Why, NodeKey, Options, QueryKey, Scheduler, TaskKey,
};

use super::calls::{self, Calls};
use super::nodes::Nodes;
use super::probe;
use super::query::{SpooledQuery, Winner};

/// What a query is told.
#[derive(Debug)]
pub(super) enum News {
    /// All of the root's tasks are committed.
    Done,
    /// It has failed.
    Failed(Failure),
}

/// Why an attempt is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its node is lost.
    Lost,
    /// Its node is to be emptied.
    Moved,
}

/// A place on a node. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: NodeKey,
    pub(super) node: NodeInfo,
    /// Says when the attempt is to end.
    pub(super) ended: oneshot::Receiver<Ended>,
    attempt: AttemptKey,
    driver: Driver,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.driver.tell(Message::Happened(Event::PlaceReleased { attempt: self.attempt }));
    }
}

#[derive(Debug)]
pub(super) enum Message {
    /// A query begins.
    Add { query: Arc<SpooledQuery>, news: mpsc::UnboundedSender<News> },
    /// A query is over.
    Over(QueryKey),
    /// A place is wanted.
    Wanted { event: Event, attempt: AttemptKey, place: oneshot::Sender<Place> },
    /// A task's output is committed.
    Committed { task: TaskKey, call: u32, winner: Winner },
    /// A task has failed for good.
    Failed { task: TaskKey, call: u32, failure: Failure },
    /// A node is lost to the coordinator.
    Lost(NodeKey),
    /// A node that was lost has answered.
    Back(NodeKey),
    /// Anything that only the scheduler need know.
    Happened(Event),
}

/// A way to speak to the driver. Clones reach the same one.
#[derive(Debug, Clone)]
pub(super) struct Driver(mpsc::UnboundedSender<Message>);

impl Driver {
    pub(super) fn tell(&self, message: Message) {
        // It is gone only when the process ends.
        let _ = self.0.send(message);
    }

    /// A place for an attempt, waited for without a deadline.
    pub(super) async fn place(
        &self,
        attempt: AttemptKey,
        memory: u64,
        avoid: Vec<NodeKey>,
        hedge: bool,
    ) -> Option<Place> {
        let (sender, place) = oneshot::channel();
        let event = Event::PlaceWanted { attempt, memory, avoid, hedge };
        self.tell(Message::Wanted { event, attempt, place: sender });
        let mut waiting = Waiting { attempt, driver: Some(self.clone()) };
        let place = place.await.ok();
        waiting.driver = None;
        place
    }
}

/// Withdraws the wish for a place when nobody waits for it any more.
struct Waiting {
    attempt: AttemptKey,
    driver: Option<Driver>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.tell(Message::Happened(Event::PlaceWithdrawn { attempt: self.attempt }));
        }
    }
}

/// Starts the driver.
pub(super) fn start(
    membership: Membership,
    calls: Calls,
    no_nodes_after: Duration,
    io: &Handle,
) -> Driver {
    let (sender, messages) = mpsc::unbounded_channel();
    let driver = Driver(sender);
    let state = State {
        scheduler: Scheduler::new(Options { no_nodes_after }),
        origin: Instant::now(),
        nodes: Nodes::default(),
        queries: BTreeMap::new(),
        waiting: HashMap::new(),
        running: HashMap::new(),
        probes: HashMap::new(),
        calls,
        // The driver itself must not keep its own messages alive.
        driver: driver.0.downgrade(),
        wake: None,
    };
    io.spawn(state.run(membership, messages));
    driver
}

struct Entry {
    query: Arc<SpooledQuery>,
    news: mpsc::UnboundedSender<News>,
    calls: BTreeMap<TaskKey, (u32, AbortHandle)>,
    failures: BTreeMap<TaskKey, Failure>,
}

struct State {
    scheduler: Scheduler,
    origin: Instant,
    nodes: Nodes,
    queries: BTreeMap<QueryKey, Entry>,
    waiting: HashMap<AttemptKey, oneshot::Sender<Place>>,
    running: HashMap<AttemptKey, oneshot::Sender<Ended>>,
    /// Nodes that are lost and are asked whether they are there again.
    probes: HashMap<NodeKey, AbortOnDropHandle<()>>,
    calls: Calls,
    driver: mpsc::WeakUnboundedSender<Message>,
    wake: Option<Instant>,
}

impl State {
    async fn run(
        mut self,
        mut membership: Membership,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) {
        self.view(&membership);
        loop {
            let wake = self.wake;
            let time = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = membership.changed() => self.view(&membership),
                () = time => {
                    self.wake = None;
                    self.happened(Event::TimeCame);
                }
            }
        }
    }

    fn view(&mut self, membership: &Membership) {
        for event in self.nodes.listed(&membership.view(), Instant::now()) {
            self.happened(event);
        }
        let nodes = &self.nodes;
        self.probes.retain(|node, _| nodes.info(*node).is_some());
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Add { query, news } => {
                let (key, stages) = (query.key, query.stages());
                let (calls, failures) = (BTreeMap::new(), BTreeMap::new());
                self.queries.insert(key, Entry { query, news, calls, failures });
                self.happened(Event::QueryAdded { query: key, stages });
            }
            Message::Over(query) => {
                self.forget(query);
                self.happened(Event::QueryEnded { query });
            }
            Message::Wanted { event, attempt, place } => {
                self.waiting.insert(attempt, place);
                self.happened(event);
            }
            Message::Committed { task, call, winner } => self.committed(task, call, winner),
            Message::Failed { task, call, failure } => {
                if let Some(entry) = self.queries.get_mut(&task.query) {
                    entry.failures.insert(task, failure);
                }
                self.happened(Event::TaskFailed { task, call });
            }
            Message::Lost(node) => {
                if let Some(event) = self.nodes.lost(node) {
                    self.watch_for_return(node);
                    self.happened(event);
                }
            }
            Message::Back(node) => {
                self.probes.remove(&node);
                if let Some(event) = self.nodes.back(node) {
                    self.happened(event);
                }
            }
            Message::Happened(event) => {
                match &event {
                    Event::PlaceWithdrawn { attempt } => drop(self.waiting.remove(attempt)),
                    Event::PlaceReleased { attempt } => drop(self.running.remove(attempt)),
                    _ => {}
                }
                let lost: Vec<TaskKey> = match &event {
                    Event::TaskInputLost { lost, .. } => {
                        lost.iter().map(|lost| lost.task).collect()
                    }
                    Event::OutputLost { lost } => vec![lost.task],
                    _ => Vec::new(),
                };
                self.happened(event);
                for task in lost {
                    self.forget_winner(task);
                }
            }
        }
    }

    /// An attempt that begins now must not be given an output that is lost.
    fn forget_winner(&self, task: TaskKey) {
        if self.scheduler.winner(task).is_none()
            && let Some(entry) = self.queries.get(&task.query)
        {
            entry.query.no_winner(task);
        }
    }

    /// The winner must be known before its readers are called.
    fn committed(&mut self, task: TaskKey, call: u32, winner: Winner) {
        let attempt = winner.record.attempt.number;
        let actions = self.scheduler.on(self.now(), Event::TaskCommitted { task, call, attempt });
        if self.scheduler.winner(task) == Some(attempt)
            && let Some(entry) = self.queries.get(&task.query)
        {
            entry.query.set_winner(task, winner);
        }
        self.perform(actions);
    }

    fn watch_for_return(&mut self, node: NodeKey) {
        let (Some(info), Some(driver)) = (self.nodes.info(node), self.driver.upgrade()) else {
            return;
        };
        tracing::warn!(node = %info.node_id, "worker is lost");
        let probe = probe::until_back(&self.calls, node, info.clone(), Driver(driver));
        self.probes.insert(node, probe);
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn happened(&mut self, event: Event) {
        let actions = self.scheduler.on(self.now(), event);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Call { task, call, condemned } => self.call(task, call, condemned),
                Action::CancelCall { task, call } => self.cancel(task, call),
                Action::Granted { attempt, node } => self.grant(attempt, node),
                Action::Lost { attempt, .. } => self.end(attempt, Ended::Lost),
                Action::Moved { attempt, .. } => self.end(attempt, Ended::Moved),
                Action::Done { query, .. } => self.tell(query, News::Done),
                Action::Fail { query, why } => {
                    let failure = self.failure(query, why);
                    self.tell(query, News::Failed(failure));
                    self.forget(query);
                }
                Action::WakeAt(at) => self.wake = Some(self.origin + at),
            }
        }
    }

    fn call(&mut self, task: TaskKey, call: u32, condemned: Vec<u32>) {
        let Some(driver) = self.driver.upgrade().map(Driver) else { return };
        let Some(entry) = self.queries.get_mut(&task.query) else { return };
        entry.query.no_winner(task);
        for attempt in &condemned {
            entry.query.avoid_location_of(task, *attempt);
        }
        let running =
            calls::spawn(&self.calls, driver, Arc::clone(&entry.query), task, call, condemned);
        if let Some((_, before)) = entry.calls.insert(task, (call, running)) {
            // It has sent its end, or this one would not have come.
            before.abort();
        }
    }

    fn cancel(&mut self, task: TaskKey, call: u32) {
        let Some(entry) = self.queries.get_mut(&task.query) else { return };
        if entry.calls.get(&task).is_some_and(|(running, _)| *running == call)
            && let Some((_, running)) = entry.calls.remove(&task)
        {
            running.abort();
        }
    }

    fn grant(&mut self, attempt: AttemptKey, key: NodeKey) {
        let (ending, ended) = oneshot::channel();
        let Some(driver) = self.driver.upgrade().map(Driver) else { return };
        let Some(node) = self.nodes.info(key) else {
            // It was forgotten just now; whoever waits for the place is told so.
            self.waiting.remove(&attempt);
            driver.tell(Message::Happened(Event::PlaceReleased { attempt }));
            return;
        };
        let place = Place { key, node: node.clone(), ended, attempt, driver };
        let Some(waiting) = self.waiting.remove(&attempt) else { return };
        self.running.insert(attempt, ending);
        // Without a receiver the place comes back and is dropped, and so given back.
        drop(waiting.send(place));
    }

    fn end(&mut self, attempt: AttemptKey, ended: Ended) {
        if let Some(running) = self.running.remove(&attempt) {
            // Whoever held the place may be gone.
            let _ = running.send(ended);
        }
    }

    fn tell(&self, query: QueryKey, news: News) {
        if let Some(entry) = self.queries.get(&query) {
            let _ = entry.news.send(news);
        }
    }

    fn forget(&mut self, query: QueryKey) {
        let Some(entry) = self.queries.remove(&query) else { return };
        for (_, running) in entry.calls.into_values() {
            running.abort();
        }
        self.waiting.retain(|attempt, _| attempt.task.query != query);
    }

    fn failure(&self, query: QueryKey, why: Why) -> Failure {
        let entry = self.queries.get(&query);
        let internal = |text: &str| Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text);
        match why {
            Why::TaskFailed { task } => entry
                .and_then(|entry| entry.failures.get(&task).cloned())
                .unwrap_or_else(|| internal("a task has failed, and nobody knows why")),
            Why::RowsGone { lost } => {
                let attempt = entry.map(|e| e.query.task_id(lost.task).attempt(lost.attempt));
                let attempt = attempt.map_or_else(String::new, |attempt| attempt.to_string());
                Failure::new(
                    ErrorCode::GENERIC_INTERNAL_ERROR,
                    format!(
                        "The output of task {attempt} is lost, after rows that depend on it were \
                         given to the client: it could only be made again with other rows"
                    ),
                )
            }
            Why::NoNodes => {
                Failure::new(ErrorCode::NO_NODES_AVAILABLE, "No nodes available to run query")
            }
            Why::Malformed => internal("the query's stages do not fit together"),
        }
    }
}
