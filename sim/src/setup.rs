//! What a seed decides before anything happens: sizes, graphs, and what will break.

use std::time::Duration;

use attempts::{Limits, MemoryGrowth};
use waterbear_scheduler::{Input, Reads, Stage};

use crate::base::{MS, Rng, S, Time};

/// What can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A worker's process dies.
    Kill,
    /// Several die at once.
    KillSeveral,
    /// A worker stands still for 1 to 30 s.
    Freeze,
    /// A worker's process is replaced by another one.
    Restart,
    /// What the coordinator sends does not reach a worker.
    CutThere,
    /// What a worker sends does not reach the coordinator.
    CutBack,
    /// Connections break after the request was heard.
    LostAnswers,
    /// Messages are late, doubled, out of order.
    BadNetwork,
    /// A worker is slow.
    Slow,
    /// Outputs are damaged.
    Damage,
    /// Outputs vanish.
    Missing,
    /// A reader takes a sound output for lost.
    FalseLoss,
    /// The spool does not answer, or only with errors.
    SpoolDown,
    /// Tasks need more memory than they ask for at first.
    Memory,
    /// Attempts fail by a fault of the machinery.
    Internal,
    /// Attempts fail by a fault of something outside.
    External,
    /// Tasks that would fail anywhere.
    User,
    /// Workers are to be emptied.
    Drain,
    /// Clients leave.
    ClientLeaves,
    /// Discovery does not list a worker for a while.
    Forgotten,
    /// The coordinator stands still.
    CoordinatorFreeze,
}

const FAULTS: [Fault; 21] = [
    Fault::Kill,
    Fault::KillSeveral,
    Fault::Freeze,
    Fault::Restart,
    Fault::CutThere,
    Fault::CutBack,
    Fault::LostAnswers,
    Fault::BadNetwork,
    Fault::Slow,
    Fault::Damage,
    Fault::Missing,
    Fault::FalseLoss,
    Fault::SpoolDown,
    Fault::Memory,
    Fault::Internal,
    Fault::External,
    Fault::User,
    Fault::Drain,
    Fault::ClientLeaves,
    Fault::Forgotten,
    Fault::CoordinatorFreeze,
];

/// A query.
#[derive(Debug, Clone)]
pub struct QueryPlan {
    /// When it begins.
    pub at: Time,
    /// Its graph.
    pub stages: Vec<Stage>,
    /// When its client leaves, if it does.
    pub leaves: Option<Time>,
}

/// What the seed decides beforehand.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Places and memory of each worker.
    pub workers: Vec<(u32, u64)>,
    /// The queries.
    pub queries: Vec<QueryPlan>,
    /// What breaks.
    pub faults: [Fault; 2],
    /// From when on nothing breaks any more.
    pub faults_end: Time,
    /// How tasks run again.
    pub limits: Limits,
    /// How long attempts wait where there is no worker.
    pub no_nodes_after: Time,
    /// How long an attempt computes at most.
    pub longest_run: Time,
    /// How often slow attempts get a hedge, of a thousand.
    pub hedges: u64,
}

impl Setup {
    /// Draws it.
    pub fn draw(rng: &mut Rng) -> Self {
        let (workers, tasks) = match rng.below(1000) {
            0 => (rng.between(100, 1_000), rng.between(1_000, 10_000)),
            1..100 => (rng.spread(2, 50), rng.spread(30, 500)),
            _ => (rng.between(1, 5), rng.between(1, 30)),
        };
        let workers: Vec<_> =
            (0..workers).map(|_| (rng.between(1, 4) as u32, 100 * rng.between(2, 8))).collect();
        let faults = [(); 2].map(|()| rng.pick(&FAULTS).unwrap_or(Fault::Kill));
        let faults_end = rng.between(S, 20 * S);
        let count = if tasks > 500 { rng.between(1, 2) } else { rng.between(1, 5).min(tasks) };
        let queries = (0..count)
            .map(|_| {
                let at = rng.below(faults_end / 2);
                let leaves = faults.contains(&Fault::ClientLeaves) && rng.chance(600);
                let leaves = leaves.then(|| at + rng.below(faults_end));
                QueryPlan { at, stages: stages(rng, (tasks / count).max(1)), leaves }
            })
            .collect();
        let whole_node = workers.iter().map(|(_, memory)| *memory).max().unwrap_or(1);
        let memory = MemoryGrowth { initial: rng.between(20, 100), factor: 3.0, whole_node };
        let limits = Limits {
            hedge: rng.chance(700),
            memory,
            initial_delay: Duration::from_millis(rng.pick(&[10, 100]).unwrap_or(100)),
            ..Limits::default()
        };
        Self {
            workers,
            queries,
            faults,
            faults_end,
            limits,
            no_nodes_after: rng.pick(&[600, 600, 5]).unwrap_or(600) * S,
            longest_run: rng
                .pick(&[50 * MS, 500 * MS, 500 * MS, 3 * S, 3 * S, 15 * S])
                .unwrap_or(S),
            hedges: rng.pick(&[0, 50, 500]).unwrap_or(0),
        }
    }

    /// How many workers and tasks there are.
    pub fn size(&self) -> (usize, u64) {
        let stages = self.queries.iter().flat_map(|query| &query.stages);
        (self.workers.len(), stages.map(|stage| u64::from(stage.tasks)).sum())
    }

    /// Whether this is among what breaks.
    pub fn breaks(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// A graph in which each stage but the last is read, as the planner makes them.
fn stages(rng: &mut Rng, tasks: u64) -> Vec<Stage> {
    let count = rng.between(1, 8).min(tasks) as usize;
    let mut left = tasks - count as u64;
    let mut stages: Vec<Stage> = Vec::with_capacity(count);
    let exact = rng.pick(&[100, 500, 900]).unwrap_or(500);
    for number in 0..count {
        let last = number + 1 == count;
        // Roots are small; all others share what there is.
        let more = if last { rng.below(left.min(4) + 1) } else { rng.below(left + 1) };
        left -= more;
        let tasks = 1 + more as u32;
        let mut inputs = Vec::new();
        let read = |stage: usize, stages: &[Stage]| {
            stages.iter().any(|reader| reader.inputs.iter().any(|input| input.stage == stage))
        };
        for stage in 0..number {
            // Whoever is read by nobody yet is read by the last one at the latest.
            let wanted = match number - stage {
                1 => rng.chance(700),
                _ => rng.chance(if read(stage, &stages) { 50 } else { 200 }),
            };
            if wanted || (last && !read(stage, &stages)) {
                let group = Reads::Group { consumer_tasks: tasks };
                let reads = if rng.chance(600) { Reads::All } else { group };
                inputs.push(Input { stage, reads });
            }
        }
        stages.push(Stage { tasks, inputs, exact: rng.chance(exact) });
    }
    stages
}
