//! What must hold, after each event and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use waterbear_scheduler::{AttemptKey, NodeKey, QueryKey, TaskKey};

use crate::base::{S, mix};
use crate::sim::Sim;
use crate::state::{Answer, Output, Snapshot, What};

impl Sim {
    pub(crate) fn trace_event(&mut self, what: &What) {
        if self.trace.is_none() {
            return;
        }
        let of = match what {
            What::Turn(task, _) | What::Dropped(task, _) | What::Timer { task, .. } => {
                Some(task.query)
            }
            What::Place { attempt, .. }
            | What::Above { attempt, .. }
            | What::Spool { attempt, .. }
            | What::SpoolSilent { attempt, .. }
            | What::Seen { attempt, .. }
            | What::Reply { attempt, .. }
            | What::Silence { attempt, .. }
            | What::Again { attempt, .. }
            | What::Straggles(attempt)
            | What::Work { attempt, .. }
            | What::PollOver { attempt, .. } => Some(attempt.task.query),
            What::ToWorker { request, .. } => Some(request.attempt.task.query),
            What::News(query) | What::Client(query) | What::Delete { query, .. } => Some(*query),
            // Said when it is told.
            What::Mail(_) => return,
            _ => None,
        };
        let what = what.clone();
        self.say(of, || format!("{what:?}"));
    }

    pub(crate) fn watch_for_nodes(&mut self) {
        let any = self.scheduler.nodes().any(|node| !node.draining && node.places > 0);
        match (any, self.no_nodes_since) {
            (true, _) => self.no_nodes_since = None,
            (false, None) => self.no_nodes_since = Some(self.now),
            (false, Some(_)) => {}
        }
    }

    pub(crate) fn check_after(&mut self) {
        // A small cluster is looked at more often: there it costs little.
        let rarely = 1 + self.workers.len() as u64 / 2;
        if !self.events.is_multiple_of(rarely) {
            return;
        }
        self.check_places();
        let idle = self.scheduler.placed().next().is_none();
        let waits = self.scheduler.waiting().next();
        if idle && let Some(attempt) = waits {
            let free = self.scheduler.nodes().any(|node| !node.draining && node.places > 0);
            if free {
                self.violated(Some(attempt.task.query), || {
                    format!("{attempt:?} waits, and all places are free")
                });
            }
        }
        let heard = self.now > self.coordinator_frozen + S;
        while let Some((since, attempt)) = self.moved.front().copied()
            && self.now > since + S
            && heard
        {
            self.moved.pop_front();
            if self.held.contains_key(&attempt) {
                self.violated(Some(attempt.task.query), || {
                    format!("{attempt:?} is still on a node that is to be emptied")
                });
            }
        }
        let full = self.scheduler.nodes().find(|node| {
            let places = node.places_in_use > node.places && node.places > 0;
            places || node.memory_in_use > node.memory
        });
        if let Some(node) = full {
            self.violated(None, || format!("more is given than there is: {node:?}"));
        }
    }

    /// The scheduler has given what was not given back, and lets nobody wait whose query is over.
    fn check_places(&mut self) {
        let mut differs = None;
        if !self.scheduler.placed().eq(self.held.iter().map(|(attempt, node)| (*attempt, *node))) {
            let placed: Vec<_> = self.scheduler.placed().collect();
            let more = placed.iter().find(|(attempt, _)| !self.held.contains_key(attempt));
            let less = self.held.keys().find(|held| !placed.iter().any(|(key, _)| key == *held));
            differs = Some(format!("places: {more:?} is not held, {less:?} is not given"));
        }
        let over = |attempt: &AttemptKey| {
            let query = &self.queries[attempt.task.query.0 as usize];
            !query.known && self.running_nowhere(attempt.task.query)
        };
        if let Some(attempt) = self.scheduler.waiting().find(over) {
            differs = Some(format!("{attempt:?} waits, and its query is over"));
        }
        if let Some(text) = differs {
            self.violated(None, || text);
        }
    }

    fn running_nowhere(&self, query: QueryKey) -> bool {
        self.scheduler.stages(query).is_none()
    }

    // === calls and places

    pub(crate) fn check_call(&mut self, task: TaskKey, number: u32, condemned: &[u32]) {
        let due = self.task(task).last_call.map_or(0, |last| last + 1);
        self.task(task).last_call = Some(number);
        if number != due {
            self.violated(Some(task.query), || format!("call {number} of {task:?}, not {due}"));
        }
        let running = self.query(task.query).calls.get(&task).copied();
        if let Some((running, id)) = running
            && self.call_mut(task, id).is_some()
        {
            self.violated(Some(task.query), || {
                format!("{task:?} is called while call {running} runs")
            });
        }
        let of = self.task(task);
        of.condemned.extend(condemned);
        if let Some(stood) = of.stood.filter(|stood| !of.condemned.contains(stood)) {
            self.violated(Some(task.query), || {
                format!("{task:?} is called again, but winner {stood} is not condemned")
            });
        }
    }

    pub(crate) fn check_grant(&mut self, attempt: AttemptKey, node: NodeKey) {
        if self.held.contains_key(&attempt) || self.returned.contains(&attempt) {
            self.violated(Some(attempt.task.query), || {
                format!("{attempt:?} is granted a second place")
            });
        }
        let known = self.nodes.get(&node).copied();
        let lost = known.and_then(|known| known.lost_at);
        // After a standstill what was told before comes now.
        let heard = self.now > self.coordinator_frozen + S;
        if known.is_some_and(|known| known.lost)
            || lost.is_some_and(|at| heard && self.now > at + S)
        {
            self.violated(Some(attempt.task.query), || {
                format!("{attempt:?} is granted a place on {node:?}, which is lost")
            });
        }
    }

    pub(crate) fn given_back(&mut self, attempt: AttemptKey, withdrawn: bool) {
        self.held.remove(&attempt);
        if !withdrawn && !self.returned.insert(attempt) {
            self.violated(Some(attempt.task.query), || {
                format!("the place of {attempt:?} is given back twice")
            });
        }
    }

    /// Costs of a task are never more than what has happened to it.
    pub(crate) fn check_costs(&mut self, key: TaskKey) {
        let free = self.setup.limits.losses_free;
        let task = self.task(key);
        while task.losses < task.attempts.losses() {
            task.losses += 1;
            task.counted += u32::from(task.losses > free);
        }
        let (counted, failures) = (task.counted, task.attempts.failures());
        if failures > counted {
            self.violated(Some(key.query), || {
                format!("{key:?} is charged with {failures} failures, and has had {counted}")
            });
        }
    }

    /// An attempt that is taken for lost has not committed.
    pub(crate) fn check_lost(&mut self, attempt: AttemptKey) {
        let of = self.query(attempt.task.query);
        if of.objects.get(&attempt).is_some_and(|object| !object.spoilt) {
            self.violated(Some(attempt.task.query), || {
                format!("{attempt:?} is taken for lost, and had committed")
            });
        }
    }

    // === winners

    pub(crate) fn condemn_lost(&mut self, lost: &[AttemptKey]) {
        for lost in lost {
            if self.scheduler.winner(lost.task) == Some(lost.attempt) {
                self.task(lost.task).condemned.insert(lost.attempt);
            }
        }
    }

    /// What readers are told to read is the winner.
    pub(crate) fn check_told(&mut self, key: TaskKey, before: Option<u32>) {
        let told = self.task(key).winner;
        let now = self.scheduler.winner(key);
        if told != before && told != now {
            self.violated(Some(key.query), || {
                format!("readers of {key:?} are told to read {told:?}; the winner is {now:?}")
            });
        }
    }

    pub(crate) fn check_winner(&mut self, key: TaskKey, attempt: u32) {
        let task = self.task(key);
        let stood = task.stood.replace(attempt);
        let two = stood.is_some_and(|stood| stood != attempt && !task.condemned.contains(&stood));
        if task.condemned.contains(&attempt) {
            let text = format!("attempt {attempt} of {key:?} wins, and is condemned");
            return self.violated(Some(key.query), || text);
        }
        if two {
            let text = format!("attempt {attempt} of {key:?} wins beside {stood:?}");
            return self.violated(Some(key.query), || text);
        }
        if self.query(key.query).given.contains_key(&key) {
            let text = format!("{key:?} is made again, and rows of it were given");
            return self.violated(Some(key.query), || text);
        }
        let Some(output) = self.query(key.query).truth.get(&key.attempt(attempt)).cloned() else {
            let text = format!("attempt {attempt} of {key:?} wins, and has not committed");
            return self.violated(Some(key.query), || text);
        };
        let stage = key.stage as usize;
        if self.query(key.query).stages[stage].exact && output.value != value_of(key, &output) {
            let text = format!("attempt {attempt} of {key:?} is not what its inputs give");
            return self.violated(Some(key.query), || text);
        }
        for input in &output.reads {
            self.check_input(key, attempt, input);
        }
    }

    /// What a winner has read stands, or what stands has the same rows.
    fn check_input(&mut self, key: TaskKey, attempt: u32, input: &Snapshot) {
        let of = &self.queries[key.query.0 as usize];
        let same = input.version == of.versions[input.stage as usize];
        if same && input.attempts.len() > 64 && self.plant.is_none() {
            return;
        }
        let exact = of.stages[input.stage as usize].exact;
        for (place, read) in input.attempts.iter().enumerate() {
            let task = input.first + place as u32;
            let producer = TaskKey { query: key.query, stage: input.stage, task };
            let now = self.scheduler.winner(producer);
            let fits = match now {
                Some(now) if now == *read => true,
                Some(now) if exact => {
                    let value = |attempt| of.truth.get(&producer.attempt(attempt)).map(|o| o.value);
                    value(now) == value(*read)
                }
                Some(_) => false,
                // An exact one may be on its way to be made again.
                None => exact,
            };
            if !fits {
                let text = format!(
                    "attempt {attempt} of {key:?} wins, and has read attempt {read} of \
                     {producer:?}, of which {now:?} stands"
                );
                return self.violated(Some(key.query), || text);
            }
        }
    }

    pub(crate) fn check_done(&mut self, query: QueryKey, winners: &[AttemptKey]) {
        let of = self.query(query);
        let stage = of.stages.len() as u32 - 1;
        let tasks = of.stages[stage as usize].tasks;
        let right = winners.len() == tasks as usize
            && (winners.iter().zip(0..))
                .all(|(winner, task)| winner.task == TaskKey { query, stage, task });
        if !right {
            return self.violated(Some(query), || format!("done with {winners:?}"));
        }
        self.check_rows(query, winners, "the winners at the end");
    }

    /// All rows that these were made from are of one execution.
    pub(crate) fn check_rows(&mut self, query: QueryKey, attempts: &[AttemptKey], what: &str) {
        let of = &self.queries[query.0 as usize];
        let mut values: BTreeMap<TaskKey, u64> = BTreeMap::new();
        let mut looked: BTreeSet<AttemptKey> = BTreeSet::new();
        let mut inputs: BTreeSet<*const Snapshot> = BTreeSet::new();
        let mut left: Vec<AttemptKey> = attempts.to_vec();
        let mut wrong = None;
        while let Some(attempt) = left.pop() {
            let Some(output) = of.truth.get(&attempt) else {
                wrong = Some(format!("{what}: {attempt:?} was never committed"));
                break;
            };
            if *values.entry(attempt.task).or_insert(output.value) != output.value {
                wrong = Some(format!("{what} mix two versions of the rows of {attempt:?}"));
                break;
            }
            if !looked.insert(attempt) {
                continue;
            }
            for input in output.reads.iter().filter(|input| inputs.insert(Rc::as_ptr(input))) {
                left.extend((input.attempts.iter().zip(input.first..)).map(|(attempt, task)| {
                    TaskKey { query, stage: input.stage, task }.attempt(*attempt)
                }));
            }
        }
        if let Some(text) = wrong {
            self.violated(Some(query), || text);
        }
    }

    /// Rows of a root task are given once, of one attempt.
    pub(crate) fn check_given(&mut self, attempt: AttemptKey, more: bool) {
        let before = self.query(attempt.task.query).given.insert(attempt.task, attempt.attempt);
        if (!more && before.is_some()) || (more && before != Some(attempt.attempt)) {
            self.violated(Some(attempt.task.query), || {
                format!("rows of {attempt:?} are given, and of attempt {before:?} were before")
            });
        }
    }

    // === the end

    pub(crate) fn stalled(&mut self, why: &str) {
        let query = self.queries.iter().find(|query| query.over.is_none()).map(|query| query.key);
        let waiting: Vec<_> = self.scheduler.waiting().take(4).collect();
        let placed: Vec<_> = self.scheduler.placed().take(4).collect();
        self.violated(query, || format!("{why}; waiting: {waiting:?}, placed: {placed:?}"));
    }

    pub(crate) fn check_end(&mut self) {
        if !self.queries.iter().all(|query| query.over.is_some()) {
            self.stalled("nothing is to happen any more");
        }
        if !self.scheduler.is_idle() {
            self.stalled("the scheduler is not idle at the end");
        }
        let places = [self.waiting.len(), self.running.len()];
        if places != [0, 0] || !self.held.is_empty() {
            let held = self.held.len();
            self.violated(None, || format!("wishes and places are left: {places:?}, {held}"));
        }
        for number in 0..self.queries.len() {
            let (key, objects) = (self.queries[number].key, self.queries[number].objects.len());
            let calls = self.queries[number].tasks.iter().flatten();
            let calls: usize = calls.map(|task| task.calls.len()).sum();
            if objects > 0 || calls > 0 {
                self.violated(Some(key), || {
                    format!("{objects} objects and {calls} calls are left")
                });
            }
        }
        let mut wrong = None;
        for (number, worker) in self.workers.iter().enumerate().filter(|(_, worker)| worker.up) {
            let alive = worker.jobs.iter().find(|(_, job)| job.state == Answer::Running);
            if let Some((attempt, _)) = alive {
                wrong = Some((Some(attempt.task.query), format!("{attempt:?} still runs")));
            }
            let node = NodeKey { node: number as u32, incarnation: worker.incarnation };
            let here = self.scheduler.nodes().find(|here| here.node == node);
            let listed = worker.listed == Some((worker.incarnation, false));
            let takes = here.is_some_and(|here| !here.draining && here.places == worker.places);
            if listed && !takes {
                wrong = Some((None, format!("{node:?} is active, the scheduler has {here:?}")));
            }
        }
        if let Some((query, text)) = wrong {
            self.violated(query, || text);
        }
    }
}

/// What an exact stage makes of its inputs.
fn value_of(key: TaskKey, output: &Output) -> u64 {
    let own = mix((u64::from(key.stage) << 32) | u64::from(key.task));
    output.reads.iter().fold(own, |value, input| mix(value ^ input.values))
}
