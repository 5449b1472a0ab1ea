//! What happens, and what is said.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use attempts::{Class, GaveUp};
use waterbear_scheduler::{AttemptKey, NodeKey, QueryKey, TaskKey};

use crate::base::Time;
use crate::setup::Fault;

/// What happens at a moment.
#[derive(Debug, Clone, Hash)]
pub(crate) enum What {
    /// The driver takes a message.
    Mail(Message),
    /// A call begins, or waits for the one before it to be gone.
    Turn(TaskKey, u64),
    /// An aborted call is gone.
    Dropped(TaskKey, u64),
    /// A granted place arrives at its attempt.
    Place { attempt: AttemptKey, call: u64, node: NodeKey },
    /// An attempt hears that its node is lost, or is to be emptied.
    Above { attempt: AttemptKey, call: u64, moved: bool },
    /// The one timer of a call.
    Timer { task: TaskKey, call: u64, number: u64 },
    /// The spool answers whether an attempt has committed.
    Spool { attempt: AttemptKey, call: u64, ask: u64 },
    /// Or it does not.
    SpoolSilent { attempt: AttemptKey, call: u64, ask: u64 },
    /// Whether a winner's output is seen here.
    Seen { attempt: AttemptKey, call: u64 },
    /// A worker's answer about an attempt.
    Reply { attempt: AttemptKey, call: u64, request: u64, answer: Answer },
    /// No answer came in time.
    Silence { attempt: AttemptKey, call: u64, request: u64 },
    /// The next poll after one that broke.
    Again { attempt: AttemptKey, call: u64, request: u64 },
    /// An attempt is slower than others.
    Straggles(AttemptKey),
    /// The scheduler's timer.
    Wake(Time),
    /// Discovery's view has changed.
    View,
    /// The coordinator asks whether a lost node is there again.
    Probe { node: NodeKey, since: Time },
    /// The answer to that.
    Probed { node: NodeKey, since: Time, number: u64, answer: Answer },
    /// A client hears something.
    News(QueryKey),
    /// A client reads on.
    Client(QueryKey),
    /// A client leaves.
    Leaves(QueryKey),
    /// What a query has left in the spool is deleted.
    Delete { query: QueryKey, again: bool },
    /// What is left of queries that are over is looked for.
    Sweep,
    /// A request arrives at a worker.
    ToWorker { worker: usize, request: Request },
    /// A worker goes on with an attempt.
    Work { worker: usize, incarnation: u64, attempt: AttemptKey, step: Step },
    /// A long poll has waited long enough.
    PollOver { worker: usize, incarnation: u64, attempt: AttemptKey, request: u64 },
    /// A worker looks for attempts that nobody asks for.
    Tick { worker: usize, incarnation: u64, due: Time },
    /// A frozen worker goes on.
    Thaw(usize),
    /// A worker announces itself, or is missed.
    Announce(usize),
    /// A worker's next process starts.
    Start(usize),
    /// A worker that was to be emptied need not be any more, or its process ends.
    Drained { worker: usize, ends: bool },
    /// A query begins.
    Begin(usize),
    /// Something breaks.
    Break(Fault),
    /// From now on nothing breaks.
    FaultsEnd,
}

/// What the driver is told.
#[derive(Debug, Clone, Hash)]
pub(crate) enum Message {
    Over(QueryKey),
    Wanted {
        attempt: AttemptKey,
        call: u64,
        memory: u64,
        avoid: Vec<NodeKey>,
        hedge: bool,
    },
    Committed {
        task: TaskKey,
        call: u32,
        attempt: u32,
    },
    InputLost {
        task: TaskKey,
        call: u32,
        lost: Vec<AttemptKey>,
    },
    Failed {
        task: TaskKey,
        call: u32,
        why: Reason,
    },
    Lost(NodeKey),
    Back(NodeKey),
    Withdrawn(AttemptKey),
    Released(AttemptKey),
    OutputLost(AttemptKey),
    RowsGiven(TaskKey),
    /// Planted: what readers are told comes later than it should.
    SetWinner(AttemptKey),
}

/// Why a call has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    User,
    Exhausted,
    Memory,
    MostCalls,
}

impl From<GaveUp> for Reason {
    fn from(why: GaveUp) -> Self {
        match why {
            GaveUp::UserError => Self::User,
            GaveUp::AttemptsExhausted => Self::Exhausted,
            GaveUp::OutOfMemory => Self::Memory,
        }
    }
}

/// A request to a worker.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Request {
    pub kind: Kind,
    pub attempt: AttemptKey,
    pub call: u64,
    pub number: u64,
    /// The process that it is for.
    pub node: NodeKey,
}

#[derive(Debug, Clone, Hash)]
pub(crate) enum Kind {
    Create(Rc<Order>),
    Poll,
    Abort,
    /// The connection of a poll is closed.
    Hangup,
    Probe(Time),
}

/// What an attempt is created with.
#[derive(Debug)]
pub(crate) struct Order {
    pub inputs: Vec<Rc<Snapshot>>,
    pub memory: u64,
}

impl Hash for Order {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.memory.hash(state);
        for input in &self.inputs {
            input.values.hash(state);
        }
    }
}

/// The attempts at a stage's tasks that somebody is told to read: a run of them.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub stage: u32,
    pub first: u32,
    pub attempts: Vec<u32>,
    /// Of the stage's winners, when it was made.
    pub version: u64,
    /// Of all their rows.
    pub values: u64,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Running,
    Finished,
    Failed(Cause),
    Aborted,
    /// It knows no such attempt.
    Unknown,
    /// Another process is there.
    Conflict,
    /// Nothing listens there.
    Refused,
    /// The connection broke.
    Broken,
}

/// Why an attempt has failed, by a worker's words or the coordinator's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    User,
    Internal,
    External,
    Memory(u64),
    Lost(Vec<AttemptKey>),
    Abandoned,
    Node,
}

impl Cause {
    pub fn class(&self) -> Class {
        match self {
            Self::User => Class::User,
            Self::Internal => Class::Internal,
            Self::External => Class::External,
            Self::Memory(_) => Class::InsufficientResources,
            Self::Lost(_) => Class::InputLost,
            Self::Abandoned => Class::Abandoned,
            Self::Node => Class::NodeLost,
        }
    }
}

/// What an attempt does next on its worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Read,
    Fail(Cause),
    /// All rows are there: is it still wanted?
    Check,
    Record,
}
