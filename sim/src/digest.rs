//! Events and actions of the two crates, for the hash.

use std::hash::{Hash, Hasher};

use attempts::Outcome;
use waterbear_scheduler::{Action, Event, QueryKey};

use crate::base::Fnv;

pub(crate) fn event(event: &Event, hash: &mut Fnv) {
    std::mem::discriminant(event).hash(hash);
    match event {
        Event::QueryAdded { query, .. } | Event::QueryEnded { query } => query.hash(hash),
        Event::TaskCommitted { task, call, attempt } => (task, call, attempt).hash(hash),
        Event::TaskInputLost { task, call, lost } => (task, call, lost).hash(hash),
        Event::TaskFailed { task, call } => (task, call).hash(hash),
        Event::OutputLost { lost: attempt }
        | Event::PlaceWithdrawn { attempt }
        | Event::PlaceReleased { attempt } => attempt.hash(hash),
        Event::RowsGiven { task } => task.hash(hash),
        Event::PlaceWanted { attempt, memory, avoid, hedge } => {
            (attempt, memory, avoid, hedge).hash(hash);
        }
        Event::NodeJoined { node, places, memory } => (node, places, memory).hash(hash),
        Event::NodeDraining { node } | Event::NodeLost { node } => node.hash(hash),
        Event::TimeCame => {}
    }
}

pub(crate) fn action(action: &Action, hash: &mut Fnv) {
    std::mem::discriminant(action).hash(hash);
    match action {
        Action::Call { task, call, condemned } => (task, call, condemned).hash(hash),
        Action::CancelCall { task, call } => (task, call).hash(hash),
        Action::Granted { attempt, node }
        | Action::Lost { attempt, node }
        | Action::Moved { attempt, node } => (attempt, node).hash(hash),
        Action::Done { query, winners } => (query, winners).hash(hash),
        Action::Fail { query, why } => {
            query.hash(hash);
            std::mem::discriminant(why).hash(hash);
        }
        Action::WakeAt(at) => at.hash(hash),
    }
}

/// What the attempts at a task want.
pub(crate) fn wanted<N: Hash>(action: &attempts::Action<N>, hash: &mut Fnv) {
    use attempts::Action;
    std::mem::discriminant(action).hash(hash);
    match action {
        Action::Want { attempt, memory, avoid, hedge } => {
            (attempt, memory, avoid, hedge).hash(hash);
        }
        Action::Withdraw { attempt } | Action::Abort { attempt } | Action::AskSpool { attempt } => {
            attempt.hash(hash)
        }
        Action::WakeAt(at) => at.hash(hash),
        Action::Answer(outcome) => match outcome {
            Outcome::Committed { attempt } => (0_u8, attempt).hash(hash),
            Outcome::InputLost { attempt } => (1_u8, attempt).hash(hash),
            Outcome::GaveUp { attempt, .. } => (2_u8, attempt).hash(hash),
            Outcome::Cancelled => hash.write_u8(3),
        },
    }
}

pub(crate) fn query_of(event: &Event) -> Option<QueryKey> {
    match event {
        Event::QueryAdded { query, .. } | Event::QueryEnded { query } => Some(*query),
        Event::TaskCommitted { task, .. }
        | Event::TaskInputLost { task, .. }
        | Event::TaskFailed { task, .. }
        | Event::RowsGiven { task } => Some(task.query),
        Event::OutputLost { lost: attempt }
        | Event::PlaceWithdrawn { attempt }
        | Event::PlaceReleased { attempt }
        | Event::PlaceWanted { attempt, .. } => Some(attempt.task.query),
        _ => None,
    }
}

pub(crate) fn query_of_action(action: &Action) -> Option<QueryKey> {
    match action {
        Action::Call { task, .. } | Action::CancelCall { task, .. } => Some(task.query),
        Action::Granted { attempt, .. }
        | Action::Lost { attempt, .. }
        | Action::Moved { attempt, .. } => Some(attempt.task.query),
        Action::Done { query, .. } | Action::Fail { query, .. } => Some(*query),
        Action::WakeAt(_) => None,
    }
}
