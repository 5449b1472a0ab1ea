//! One attempt on one worker, as a conversation: create, long-poll, abort. It fails on silence,
//! never on duration; dropped before its end, it is aborted.

use std::sync::Arc;
use std::time::Duration;

use exchange_retry::{Class, Number};
use waterbear_protocol::task::Producer;
use waterbear_protocol::task::TaskState;
use waterbear_protocol::{ErrorCode, ErrorType, Failure};
use waterbear_scheduler::{NodeKey, TaskKey};

use super::calls::Calls;
use super::driver::{Driver, Ended, Message, Place};
use super::query::{SpooledQuery, Winner};
use crate::scheduler::health::Contact;
use crate::scheduler::watch::{self, End, Watched};

/// How long an attempt stays at a worker that takes no tasks: else the next one would come back at
/// once, as long as nobody else has heard of it.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Why an attempt has no output.
#[derive(Debug, Clone)]
pub(super) struct AttemptError {
    pub(super) failure: Failure,
    pub(super) class: Class,
    pub(super) peak_memory: u64,
}

impl AttemptError {
    pub(super) fn new(class: Class, failure: Failure) -> Self {
        Self { failure, class, peak_memory: 0 }
    }

    /// The attempt says that it is committed, and nothing of it is to be seen. Perhaps it is only
    /// damage: another attempt may do better.
    pub(super) fn misplaced(text: String) -> Self {
        Self::new(Class::Internal, Failure::new(ErrorCode::CONFIGURATION_INVALID, text))
    }

    /// An input is being made again.
    pub(super) fn input_missing() -> Self {
        let text = "an input of the task is being made again";
        Self::new(Class::InputLost, Failure::new(ErrorCode::PAGE_TRANSPORT_ERROR, text))
    }
}

/// What a worker's own words mean for the next attempt.
fn class_of(failure: &Failure) -> Class {
    if !failure.lost.is_empty() {
        return Class::InputLost;
    }
    match failure.code {
        ErrorCode::ABANDONED_TASK | ErrorCode::SERVER_SHUTTING_DOWN => return Class::Abandoned,
        // What the plan makes of its rows: the same on every node.
        ErrorCode::PAGE_TOO_LARGE | ErrorCode::SERIALIZATION_ERROR => return Class::User,
        // More memory may help; another node with more disk does.
        ErrorCode::OUT_OF_SPILL_SPACE | ErrorCode::EXCEEDED_SPILL_LIMIT => return Class::Internal,
        _ => {}
    }
    match failure.code.error_type() {
        ErrorType::UserError => Class::User,
        ErrorType::InsufficientResources => Class::InsufficientResources,
        ErrorType::External => Class::External,
        ErrorType::InternalError => Class::Internal,
    }
}

/// Runs an attempt in its place.
pub(super) async fn run(
    calls: &Calls,
    driver: &Driver,
    query: &Arc<SpooledQuery>,
    task: TaskKey,
    number: Number,
    mut place: Place,
) -> Result<Winner, AttemptError> {
    let attempt = query.task_id(task).attempt(number);
    let location = calls.spool.location_for(&attempt, &query.bad_locations(task));
    let location = location.unwrap_or_default().to_owned();
    let (own, own_location) = (Arc::clone(query), location.clone());
    let request = calls.cpu.spawn(async move { own.request(task, own_location) }).await;
    let request = request
        .unwrap_or_else(|error| {
            let text = format!("encoding a task stopped: {error}");
            Err(Failure::new(ErrorCode::GENERIC_INTERNAL_ERROR, text))
        })
        .map_err(|failure| AttemptError::new(class_of(&failure), failure))?
        .ok_or_else(AttemptError::input_missing)?;
    let watched = Arc::new(Watched::new(Producer { attempt, node: place.node.clone() }));
    query.begin(task, Arc::clone(&watched), location);
    let contact = calls.health.contact(&place.node);
    let mut abort = AbortOnDrop {
        watched: Arc::clone(&watched),
        contact: Arc::clone(&contact),
        calls: calls.clone(),
        needed: true,
    };
    let conversation = async {
        if let Err(end) = watched.create(&calls.control, &request, &contact).await {
            if matches!(end, End::Refused(_)) {
                // The cluster's view will say so in a moment, and that ends this attempt.
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            return Err(end);
        }
        drop(request);
        watch::until_done(&watched, &calls.control, &contact, || query.report(false)).await
    };
    let end = tokio::select! {
        biased;
        ended = &mut place.ended => return Err(ended_from_above(&watched, ended.ok())),
        end = conversation => end,
    };
    // Who has not heard the worker's own word does not know what still runs there, nor what becomes
    // of an earlier request to create it.
    abort.needed = matches!(end, Err(End::Lost { .. } | End::Refused(_)));
    drop(abort);
    query.add_spooled_bytes(watched.spooled_bytes());
    query.report(true);
    outcome(driver, place.key, &watched, end)
}

fn ended_from_above(watched: &Watched, ended: Option<Ended>) -> AttemptError {
    let (class, what) = match ended {
        Some(Ended::Moved) => (Class::Abandoned, "is to be emptied"),
        _ => (Class::NodeLost, "is lost"),
    };
    let node = &watched.node().node_id;
    let text = format!("worker {node} {what}, and task {} with it", watched.attempt());
    let failure = Failure::new(ErrorCode::REMOTE_HOST_GONE, text).on(node.clone());
    watched.mark(TaskState::Aborted);
    AttemptError { failure, class, peak_memory: watched.peak_memory() }
}

fn outcome(
    driver: &Driver,
    node: NodeKey,
    watched: &Watched,
    end: Result<(), End>,
) -> Result<Winner, AttemptError> {
    let peak_memory = watched.peak_memory();
    match end {
        Ok(()) => match watched.take_output() {
            Some(record) => Ok(Winner { record: Arc::new(record), node: watched.node().clone() }),
            None => {
                let text = format!("task {} is finished without an output", watched.attempt());
                let failure = Failure::new(ErrorCode::REMOTE_TASK_ERROR, text);
                Err(AttemptError { failure, class: Class::Internal, peak_memory })
            }
        },
        Err(End::Failed(failure) | End::Refused(failure)) => {
            let class = class_of(&failure);
            Err(AttemptError { failure, class, peak_memory })
        }
        Err(End::Lost { failure, node_is_lost }) => {
            if node_is_lost {
                driver.tell(Message::Lost(node));
            }
            // In both cases there was no answer: the spool knows whether it has committed.
            Err(AttemptError { failure, class: Class::NodeLost, peak_memory })
        }
    }
}

/// Aborts what was not heard to its end.
struct AbortOnDrop {
    watched: Arc<Watched>,
    contact: Arc<Contact>,
    calls: Calls,
    needed: bool,
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if !self.needed {
            return;
        }
        let Calls { control, endings, io, .. } = self.calls.clone();
        let (watched, contact) = (Arc::clone(&self.watched), Arc::clone(&self.contact));
        let abort = async move {
            if watched.abort(&control).await.is_err() {
                contact.leave(watched);
            }
        };
        endings.spawn(abort, &io);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_fail_anywhere_ends_the_task() {
        let class = |code| class_of(&Failure::new(code, "x"));
        assert_eq!(class(ErrorCode::DIVISION_BY_ZERO), Class::User);
        assert_eq!(class(ErrorCode::PAGE_TOO_LARGE), Class::User);
        assert_eq!(class(ErrorCode::SERIALIZATION_ERROR), Class::User);
        assert_eq!(class(ErrorCode::GENERIC_INTERNAL_ERROR), Class::Internal);
        assert_eq!(class(ErrorCode::OUT_OF_SPILL_SPACE), Class::Internal);
        assert_eq!(class(ErrorCode::EXCEEDED_SPILL_LIMIT), Class::Internal);
        assert_eq!(class(ErrorCode::EXCEEDED_LOCAL_MEMORY_LIMIT), Class::InsufficientResources);
        assert_eq!(class(ErrorCode::ABANDONED_TASK), Class::Abandoned);
    }
}
