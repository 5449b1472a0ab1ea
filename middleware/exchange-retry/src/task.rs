//! What outlives a call: the numbers, the winner, the costs.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use attempts::{Action, Attempts, Event, Limits, Number};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::time::Instant;

use crate::Placed;

/// Work whose output is wanted once. Clones are the same task.
pub trait Task: Clone + Send + Sync + 'static {
    /// Names a place where an attempt may run. Must tell two lives of one machine apart.
    type Node: Clone + Ord + Debug + Send + 'static;

    /// What is known of a committed output, say where it is: the response of the inner service.
    type Committed: Clone + Send + 'static;

    /// The attempts at this task: the same for all its clones and calls.
    fn attempts(&self) -> &TaskAttempts<Self::Node, Self::Committed>;
}

/// The attempts at one task, shared by its calls and by whoever watches it. Must live as long as
/// the task may be called: that no number is used twice depends on it.
pub struct TaskAttempts<N, C> {
    shared: Arc<Shared<N, C>>,
}

struct Shared<N, C> {
    /// Where the time that the machine is told starts.
    origin: Instant,
    /// Held by the call that runs.
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State<N, C>>,
}

struct State<N, C> {
    attempts: Attempts<N>,
    /// What was committed last: by the winner, if there is one, since then nothing runs any more.
    output: Option<(Number, C)>,
    /// Where the call that runs hears of events.
    open: Option<mpsc::UnboundedSender<Event<N>>>,
}

impl<N: Clone + Ord + Debug + Send + 'static, C: Clone> TaskAttempts<N, C> {
    /// No attempt yet. The seed decides the jitter of the pauses: give each task its own.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let state = State { attempts: Attempts::new(limits, seed), output: None, open: None };
        let (origin, turn) = (Instant::now(), Arc::default());
        Self { shared: Arc::new(Shared { origin, turn, state: Mutex::new(state) }) }
    }

    /// Asks for a hedge beside a slow attempt. Whether there is one, the rules decide; without a
    /// running call nothing happens.
    pub fn straggling(&self, attempt: Number) {
        if let Some(open) = &self.lock().open {
            // Who hears it may be at its end: then it does not matter any more.
            let _ = open.send(Event::Straggling { attempt });
        }
    }

    /// Ends the task for ever: its running call is answered with
    /// [`Error::Cancelled`](crate::Error::Cancelled), and so is any later one.
    pub fn cancel(&self) {
        let mut state = self.lock();
        if let Some(open) = &state.open {
            // Heard even at the call's end: `Turn` takes in what is left when it is dropped.
            let _ = open.send(Event::Cancelled);
        } else {
            state.attempts.on(self.now(), Event::Cancelled);
        }
    }

    /// What there is to know: numbers, winner, failures, losses, time in pauses. The closure holds
    /// a lock: it must not use the attempts that it is given by another way.
    pub fn read<R>(&self, read: impl FnOnce(&Attempts<N>) -> R) -> R {
        read(&self.lock().attempts)
    }

    /// Waits until no other call runs.
    pub(crate) async fn turn(&self) -> Turn<N, C> {
        let guard = self.shared.turn.clone().lock_owned().await;
        let (told, events) = mpsc::unbounded_channel();
        self.lock().open = Some(told.clone());
        Turn { attempts: self.clone(), told, events, answered: false, _guard: guard }
    }

    fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State<N, C>> {
        // The machine does not panic; what a reader's closure does, does not harm it.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N, C> Clone for TaskAttempts<N, C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<N: Debug, C> Debug for TaskAttempts<N, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("TaskAttempts").field(&state.attempts).finish()
    }
}

/// A call's turn. Dropped without an answer, it leaves the task to a later call.
pub(crate) struct Turn<N: Clone + Ord + Debug + Send + 'static, C: Clone> {
    attempts: TaskAttempts<N, C>,
    told: mpsc::UnboundedSender<Event<N>>,
    events: mpsc::UnboundedReceiver<Event<N>>,
    answered: bool,
    _guard: OwnedMutexGuard<()>,
}

impl<N: Clone + Ord + Debug + Send + 'static, C: Clone> Turn<N, C> {
    pub(crate) fn on(&self, event: Event<N>) -> Vec<Action<N>> {
        self.attempts.lock().attempts.on(self.attempts.now(), event)
    }

    /// The next event from outside of the call.
    pub(crate) fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Event<N>> {
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            // Not closed while `told` is here.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    pub(crate) fn placed(&self, attempt: Number) -> Placed<N> {
        let told = self.told.clone();
        // After the call's end nobody wants to know.
        Placed::new(move |node| drop(told.send(Event::Placed { attempt, node })))
    }

    /// The moment on tokio's clock; none if it is beyond it.
    pub(crate) fn moment(&self, at: Duration) -> Option<Instant> {
        self.attempts.shared.origin.checked_add(at)
    }

    /// The task is answered: dropping the turn changes nothing any more.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// Keeps what the attempt committed, for this call's answer and for later ones.
    pub(crate) fn keep(&self, attempt: Number, output: C) {
        self.attempts.lock().output = Some((attempt, output));
    }

    /// What the winner committed.
    pub(crate) fn output(&self, winner: Number) -> Option<C> {
        let state = self.attempts.lock();
        let output = state.output.as_ref().filter(|(attempt, _)| *attempt == winner);
        output.map(|(_, output)| output.clone())
    }
}

impl<N: Clone + Ord + Debug + Send + 'static, C: Clone> Drop for Turn<N, C> {
    fn drop(&mut self) {
        let now = self.attempts.now();
        let mut state = self.attempts.lock();
        state.open = None;
        // No attempt of this call lives beyond it, so there is nothing to do about the actions.
        while let Ok(event) = self.events.try_recv() {
            state.attempts.on(now, event);
        }
        if !self.answered {
            state.attempts.on(now, Event::Dropped);
        }
    }
}
