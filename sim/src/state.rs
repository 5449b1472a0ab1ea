//! What the model is made of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use attempts::{Attempts, Number};
use waterbear_scheduler::{AttemptKey, NodeKey, QueryKey, Stage, TaskKey};

use crate::base::Time;
pub(crate) use crate::what::{
    Answer, Cause, Kind, Message, Order, Reason, Request, Snapshot, Step, What,
};

/// A query as the coordinator has it, and what is true of it.
pub(crate) struct Query {
    pub key: QueryKey,
    pub stages: Vec<Stage>,
    pub tasks: Vec<Vec<Task>>,
    /// Counts the winners set in each stage.
    pub versions: Vec<u64>,
    /// All winners of a stage, of a version.
    pub snapshots: Vec<Option<Rc<Snapshot>>>,
    /// Whether the driver has it.
    pub known: bool,
    /// The driver's calls.
    pub calls: BTreeMap<TaskKey, (u32, u64)>,
    pub client: Client,
    pub over: Option<Time>,
    /// All outputs ever committed, by what they hold.
    pub truth: BTreeMap<AttemptKey, Rc<Output>>,
    /// What is in the spool.
    pub objects: BTreeMap<AttemptKey, Object>,
    /// Those whose rows cannot be read.
    pub bad: BTreeSet<AttemptKey>,
    /// When it was deleted for the second time.
    pub deleted: Option<Time>,
    /// Whether the sweeper has seen it.
    pub swept: bool,
    /// Outputs that were found lost.
    pub lost: BTreeSet<AttemptKey>,
    /// What explains a failure.
    pub user_error: bool,
    /// Root tasks of which the client has rows, and the attempts that they are of.
    pub given: BTreeMap<TaskKey, u32>,
}

pub(crate) struct Object {
    /// Whether its record cannot be read.
    pub spoilt: bool,
}

/// A committed output.
pub(crate) struct Output {
    /// Equal for equal rows.
    pub value: u64,
    pub reads: Vec<Rc<Snapshot>>,
    /// The rows lie inside the record.
    pub inline: bool,
}

/// A task as the coordinator has it, and what is true of it.
pub(crate) struct Task {
    pub attempts: Attempts<NodeKey>,
    /// What was committed last.
    pub kept: Option<Number>,
    /// What readers are told to read.
    pub winner: Option<u32>,
    /// Attempts that were about to be created, and where.
    pub begun: BTreeMap<Number, NodeKey>,
    /// The call that has the turn, and those that wait for it.
    pub calls: VecDeque<Call>,
    /// Memory that it needs.
    pub need: u64,
    /// Whether an attempt has found that it would fail anywhere.
    pub hopeless: bool,
    /// The last number given out by the attempts.
    pub last: Option<Number>,
    /// All attempts that must not win.
    pub condemned: BTreeSet<u32>,
    /// Failures that count, as the model sees them.
    pub counted: u32,
    pub losses: u32,
    /// The winner that the scheduler was seen to have.
    pub stood: Option<u32>,
    pub last_call: Option<u32>,
}

/// A call under way.
pub(crate) struct Call {
    pub id: u64,
    pub number: u32,
    pub condemned: Vec<u32>,
    pub begun: bool,
    pub live: Vec<Live>,
    pub timer: u64,
    /// Of the last failure.
    pub lost: Vec<AttemptKey>,
}

pub(crate) struct Live {
    pub number: Number,
    pub memory: u64,
    pub state: LiveState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LiveState {
    Waits,
    Talks(Talk),
    /// It is looked whether its output is seen here.
    Looks,
    /// The spool is asked for it.
    Asks {
        ask: u64,
    },
}

/// A conversation with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Talk {
    pub node: NodeKey,
    pub request: u64,
    pub created: bool,
    pub heard: Time,
    pub asked: Time,
}

/// Reads the result.
pub(crate) struct Client {
    pub news: VecDeque<bool>,
    pub state: Reading,
    /// Root tasks whose rows were all read, with the attempts that they are of.
    pub read: Vec<AttemptKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// For all root tasks to be committed.
    Waits,
    Reads {
        attempt: AttemptKey,
        batches: u64,
        given: bool,
    },
    Ended,
}

/// A worker.
pub(crate) struct Worker {
    pub incarnation: u64,
    pub up: bool,
    /// A dead one's port refuses; else there is silence.
    pub refuses: bool,
    pub frozen: Time,
    pub thawed: Time,
    pub late: Vec<What>,
    pub draining: bool,
    pub places: u32,
    pub memory: u64,
    pub slow: u64,
    pub cut_there: Time,
    pub cut_back: Time,
    /// Until when what was said before a cut or a freeze may be heard at last.
    pub impaired: Time,
    pub forgotten: Time,
    pub jobs: BTreeMap<AttemptKey, Job>,
    pub ticking: bool,
    /// What discovery lists: incarnation and whether it drains.
    pub listed: Option<(u64, bool)>,
    /// The places and memory that it lists for that.
    pub size: (u32, u64),
}

/// An attempt on a worker.
pub(crate) struct Job {
    pub state: Answer,
    pub asked: Time,
    pub heard: Time,
    pub order: Option<Rc<Order>>,
    pub polls: Vec<(u64, u64)>,
    /// Polls whose connection was closed before they were heard.
    pub hung: Vec<(u64, u64)>,
    pub checked: Time,
    pub saw_damage: bool,
}

/// What the driver knows of a worker's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub listed: Listed,
    /// Places and memory, as they were last listed.
    pub size: (u32, u64),
    pub lost: bool,
    /// When a conversation ended with its loss.
    pub lost_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Active,
    Draining,
    No,
}

impl Task {
    /// A task that nothing has happened to.
    pub fn new(attempts: Attempts<NodeKey>, need: u64) -> Self {
        Self {
            attempts,
            kept: None,
            winner: None,
            begun: BTreeMap::new(),
            calls: VecDeque::new(),
            need,
            hopeless: false,
            last: None,
            condemned: BTreeSet::new(),
            counted: 0,
            losses: 0,
            stood: None,
            last_call: None,
        }
    }
}
