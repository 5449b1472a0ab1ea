//! The loop: what is due happens, and is checked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use attempts::Attempts;
use waterbear_scheduler::{AttemptKey, NodeKey, Options, QueryKey, Scheduler, TaskKey};

use crate::base::{Fnv, MS, Queue, Rng, S, Time, mix};
use crate::outcome::{Outcome, Violation};
use crate::plant::Plant;
use crate::setup::{Fault, Setup};
use crate::state::{Client, Known, Message, Query, Reading, Task, What, Worker};
use crate::tally::Tally;

/// How long a node may be silent, and how long an attempt may be unasked for and still commit.
pub(crate) const LEASE: Time = 3 * S;
/// Nothing ends for so long after the faults: a stall.
const STALL: Time = 150 * S;
/// How long it is looked on after the last query's end.
const AFTERMATH: Time = 60 * S;

pub(crate) struct Sim {
    pub seed: u64,
    pub rng: Rng,
    pub now: Time,
    pub queue: Queue<What>,
    pub hash: Fnv,
    pub events: u64,
    pub plant: Option<Plant>,
    pub setup: Setup,
    pub tally: Tally,
    pub violation: Option<Violation>,
    pub trace: Option<Vec<(Option<QueryKey>, String)>>,

    pub scheduler: Scheduler,
    /// When the driver's last message arrives: they come in order.
    pub mailbox: Time,
    pub coordinator_frozen: Time,
    pub queries: Vec<Query>,
    pub waiting: BTreeMap<AttemptKey, u64>,
    /// The call of an attempt that was granted a place, and when it hears of that.
    pub running: BTreeMap<AttemptKey, (u64, Time)>,
    /// Attempts that are to leave a node, and since when.
    pub moved: VecDeque<(Time, AttemptKey)>,
    /// Places that were granted and not given back.
    pub held: BTreeMap<AttemptKey, NodeKey>,
    pub nodes: BTreeMap<NodeKey, Known>,
    /// The question that is asked of a lost node.
    pub probes: BTreeMap<NodeKey, u64>,
    pub wake: Option<Time>,
    /// Workers whose output was seen here.
    pub seen: BTreeSet<u64>,
    /// Attempts whose place was given back.
    pub returned: BTreeSet<AttemptKey>,
    pub next_call: u64,
    pub next_request: u64,
    pub next_incarnation: u64,

    pub workers: Vec<Worker>,
    pub spool_down: Time,
    pub faulty: bool,
    pub last_progress: Time,
    pub no_nodes_since: Option<Time>,
}

impl Sim {
    pub fn new(seed: u64, plant: Option<Plant>, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let setup = Setup::draw(&mut rng);
        let no_nodes_after = Duration::from_micros(setup.no_nodes_after);
        Self {
            seed,
            rng,
            now: 0,
            queue: Queue::default(),
            hash: Fnv::default(),
            events: 0,
            plant,
            setup,
            tally: Tally::default(),
            violation: None,
            trace: traced.then(Vec::new),
            scheduler: Scheduler::new(Options { no_nodes_after }),
            mailbox: 0,
            coordinator_frozen: 0,
            queries: Vec::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            moved: VecDeque::new(),
            held: BTreeMap::new(),
            nodes: BTreeMap::new(),
            probes: BTreeMap::new(),
            wake: None,
            seen: BTreeSet::new(),
            returned: BTreeSet::new(),
            next_call: 0,
            next_request: 0,
            next_incarnation: 0,
            workers: Vec::new(),
            spool_down: 0,
            faulty: true,
            last_progress: 0,
            no_nodes_since: None,
        }
    }

    pub fn run(mut self) -> Outcome {
        self.begin();
        let tasks: usize = (self.setup.queries.iter())
            .flat_map(|query| query.stages.iter().map(|stage| stage.tasks as usize))
            .sum();
        let most = 400_000 + 3_000 * tasks as u64;
        let mut quiet_since = None;
        while let Some((at, what)) = self.queue.pop() {
            self.now = self.now.max(at);
            self.events += 1;
            if self.put_off(&what) {
                continue;
            }
            at.hash(&mut self.hash);
            what.hash(&mut self.hash);
            self.trace_event(&what);
            self.happen(what);
            self.check_after();
            if self.violation.is_some() {
                break;
            }
            let over = self.queries.len() == self.setup.queries.len()
                && self.queries.iter().all(|query| query.over.is_some())
                && !self.faulty;
            let since = *quiet_since.get_or_insert(self.now);
            if !over {
                quiet_since = None;
                if !self.faulty
                    && self.now > self.last_progress + STALL + self.setup.no_nodes_after / 8
                {
                    self.stalled("nothing has ended or begun for long");
                }
            } else if self.now > since + AFTERMATH {
                break;
            }
            if self.events > most {
                self.stalled("there is no end of events");
            }
        }
        if self.violation.is_none() {
            self.check_end();
        }
        let lines = self.trace.take().unwrap_or_default();
        if let Some(violation) = &mut self.violation {
            let of = violation.query.map(QueryKey);
            let own = lines.iter().filter(|(query, _)| query.is_none() || *query == of);
            let own: Vec<String> = own.map(|(_, line)| line.clone()).collect();
            violation.trace = own[own.len().saturating_sub(40)..].to_vec();
        }
        Outcome {
            events: self.events,
            hash: self.hash.finish(),
            tally: self.tally,
            violation: self.violation,
            trace: lines.into_iter().map(|(_, line)| line).collect(),
        }
    }

    fn begin(&mut self) {
        for worker in 0..self.setup.workers.len() {
            let (places, memory) = self.setup.workers[worker];
            self.workers.push(Worker {
                incarnation: 0,
                up: false,
                refuses: true,
                frozen: 0,
                thawed: 0,
                late: Vec::new(),
                draining: false,
                places,
                memory,
                slow: 1,
                cut_there: 0,
                cut_back: 0,
                impaired: 0,
                forgotten: 0,
                jobs: BTreeMap::new(),
                ticking: false,
                listed: None,
                size: (places, memory),
            });
            let at = self.rng.below(300 * MS);
            self.queue.push(at, What::Start(worker));
        }
        let mut begins: Vec<(Time, usize)> =
            (self.setup.queries.iter().enumerate()).map(|(n, query)| (query.at, n)).collect();
        begins.sort_unstable();
        for (at, number) in begins {
            self.queue.push(at, What::Begin(number));
        }
        self.plan_faults();
        self.queue.push(20 * S, What::Sweep);
    }

    /// What stands still hears of nothing: then it is put off.
    fn put_off(&mut self, what: &What) -> bool {
        let worker = match what {
            What::ToWorker { worker, .. }
            | What::Work { worker, .. }
            | What::PollOver { worker, .. }
            | What::Tick { worker, .. } => *worker,
            What::Thaw(_)
            | What::Announce(_)
            | What::Start(_)
            | What::Drained { .. }
            | What::Break(_)
            | What::FaultsEnd
            | What::Leaves(_)
            | What::Begin(_) => return false,
            of_coordinator => {
                let frozen = self.now < self.coordinator_frozen;
                if frozen {
                    self.queue.push(self.coordinator_frozen, of_coordinator.clone());
                }
                return frozen;
            }
        };
        let worker = &mut self.workers[worker];
        let frozen = self.now < worker.frozen && worker.up;
        if frozen {
            worker.late.push(what.clone());
        }
        frozen
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Mail(message) => self.take(message),
            What::Turn(task, call) => self.turn(task, call),
            What::Dropped(task, call) => self.call_dropped(task, call),
            What::Place { attempt, call, node } => self.placed(attempt, call, node),
            What::Above { attempt, call, moved } => self.ended_from_above(attempt, call, moved),
            What::Timer { task, call, number } => self.timer(task, call, number),
            What::Spool { attempt, call, ask } => self.spool_answers(attempt, call, ask),
            What::SpoolSilent { attempt, call, ask } => self.spool_is_silent(attempt, call, ask),
            What::Seen { attempt, call } => self.location_checked(attempt, call),
            What::Reply { attempt, call, request, answer } => {
                self.reply(attempt, call, request, answer);
            }
            What::Silence { attempt, call, request } => self.silence(attempt, call, request),
            What::Again { attempt, call, request } => self.poll_again(attempt, call, request),
            What::Straggles(attempt) => self.straggles(attempt),
            What::Wake(at) => self.wake(at),
            What::View => self.view(),
            What::Probe { node, since } => self.probe(node, since),
            What::Probed { node, since, number, answer } => {
                self.probed(node, since, number, answer);
            }
            What::News(query) => self.hears(query),
            What::Client(query) => self.reads(query),
            What::Leaves(query) => self.end_client(query),
            What::Delete { query, again } => self.delete(query, again),
            What::Sweep => self.sweep(),
            What::ToWorker { worker, request } => self.arrives(worker, request),
            What::Work { worker, incarnation, attempt, step } => {
                self.work(worker, incarnation, attempt, step);
            }
            What::PollOver { worker, incarnation, attempt, request } => {
                self.poll_over(worker, incarnation, attempt, request);
            }
            What::Tick { worker, incarnation, due } => self.tick(worker, incarnation, due),
            What::Thaw(worker) => self.thaw(worker),
            What::Announce(worker) => self.announce(worker),
            What::Start(worker) => self.start(worker),
            What::Drained { worker, ends } => self.drained(worker, ends),
            What::Begin(number) => self.add_query(number),
            What::Break(fault) => self.break_something(fault),
            What::FaultsEnd => self.faults_end(),
        }
    }

    fn add_query(&mut self, number: usize) {
        let plan = self.setup.queries[number].clone();
        let key = QueryKey(self.queries.len() as u64);
        let mut tasks = Vec::with_capacity(plan.stages.len());
        let whole = self.setup.limits.memory.whole_node;
        for (stage, of_stage) in plan.stages.iter().enumerate() {
            let mut of = Vec::with_capacity(of_stage.tasks as usize);
            for task in 0..of_stage.tasks {
                let seed =
                    mix(self.seed ^ mix((key.0 << 32) ^ ((stage as u64) << 20) ^ u64::from(task)));
                let hungry = self.setup.breaks(Fault::Memory) && self.rng.chance(300);
                let need = if hungry { self.rng.between(1, whole) } else { 1 };
                let attempts = Attempts::new(self.setup.limits.clone(), seed);
                of.push(Task::new(attempts, need));
            }
            tasks.push(of);
        }
        let count = plan.stages.len();
        let client = Client { news: Default::default(), state: Reading::Waits, read: Vec::new() };
        self.queries.push(Query {
            key,
            stages: plan.stages.clone(),
            tasks,
            versions: vec![0; count],
            snapshots: vec![None; count],
            known: true,
            calls: BTreeMap::new(),
            client,
            over: None,
            truth: BTreeMap::new(),
            objects: BTreeMap::new(),
            bad: Default::default(),
            deleted: None,
            swept: false,
            lost: BTreeSet::new(),
            user_error: false,
            given: BTreeMap::new(),
        });
        if let Some(at) = plan.leaves {
            self.queue.push(at.max(self.now), What::Leaves(key));
        }
        let event = waterbear_scheduler::Event::QueryAdded { query: key, stages: plan.stages };
        self.happened(event);
    }

    // === helpers

    pub fn task(&mut self, key: TaskKey) -> &mut Task {
        &mut self.queries[key.query.0 as usize].tasks[key.stage as usize][key.task as usize]
    }

    pub fn query(&mut self, key: QueryKey) -> &mut Query {
        &mut self.queries[key.0 as usize]
    }

    pub fn after(&mut self, delay: Time, what: What) {
        self.queue.push(self.now + delay, what);
    }

    /// A moment of a coordinator's time, a little longer now and then.
    pub fn moment(&mut self) -> Time {
        if self.rng.chance(20) { self.rng.below(20 * MS) } else { self.rng.below(300) }
    }

    /// Tells the driver. What is told by anybody comes in the order in which it was told.
    pub fn mail(&mut self, message: Message) {
        let moment = self.moment();
        self.mailbox = self.mailbox.max(self.now + moment / 4);
        self.queue.push(self.mailbox, What::Mail(message));
    }

    pub fn planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    pub fn violated(&mut self, query: Option<QueryKey>, text: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let (seed, at, query) = (self.seed, self.now, query.map(|query| query.0));
            self.violation = Some(Violation { seed, at, query, text: text(), trace: Vec::new() });
        }
    }

    pub fn say(&mut self, query: Option<QueryKey>, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            let (seconds, rest) = (now / S, now % S);
            trace.push((query, format!("{seconds:>4}.{rest:06} {}", text())));
        }
    }
}
