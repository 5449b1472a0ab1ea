//! One call: performs what the machine decides, and tells it what comes of that.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use attempts::{Action, Event, Number, Outcome};
use tokio::time::{Sleep, sleep_until, timeout};
use tower::{Service, ServiceExt};

use crate::task::Turn;
use crate::{Attempt, AttemptFailure, Error, Failure, Spool, Task, Winner};

/// How many failures before the last one an error tells of.
const EARLIER_FAILURES: usize = 5;

pub(crate) struct Driver<T: Task, S: Service<Attempt<T>>, P> {
    /// What runs, the first attempt before its hedge: so few that each wake polls them all. Before
    /// `turn`, so that all of it is gone when another call has its turn.
    running: Vec<Running<T::Committed, S::Error>>,
    /// What has ended, but must wait until all that was said before its end is heard.
    ended: VecDeque<(Number, EndOf<T, S>)>,
    timer: Option<Pin<Box<Sleep>>>,
    failures: VecDeque<Failure<S::Error>>,
    task: T,
    /// For the first attempt.
    ready: Option<S>,
    /// For all others.
    inner: S,
    spool: Arc<P>,
    question_timeout: Duration,
    turn: Turn<T::Node, T::Committed>,
}

/// An attempt, or the question for it.
struct Running<C, E> {
    attempt: Number,
    end: Pin<Box<dyn Future<Output = Ended<C, E>> + Send>>,
}

enum Ended<C, E> {
    Committed(C),
    Failed(E),
    /// What the spool has, unless it could not be asked.
    Spool(Option<Option<C>>),
}

type EndOf<T, S> = Ended<<T as Task>::Committed, <S as Service<Attempt<T>>>::Error>;

/// What the call hears.
enum Heard<N, C, E> {
    Told(Event<N>),
    Ended(Number, Ended<C, E>),
    TimeCame,
}

impl<T, S, P> Driver<T, S, P>
where
    T: Task,
    S: Service<Attempt<T>, Response = T::Committed> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: AttemptFailure + Send + 'static,
    P: Spool<T>,
{
    pub(crate) fn new(
        turn: Turn<T::Node, T::Committed>,
        task: T,
        ready: S,
        inner: S,
        spool: Arc<P>,
        question_timeout: Duration,
    ) -> Self {
        Self {
            running: Vec::new(),
            ended: VecDeque::new(),
            timer: None,
            failures: VecDeque::new(),
            task,
            ready: Some(ready),
            inner,
            spool,
            question_timeout,
            turn,
        }
    }

    pub(crate) async fn run(
        mut self,
        condemned: Vec<Number>,
    ) -> Result<Winner<T::Committed>, Error<S::Error>> {
        let mut outcome = self.tell(Event::Called { condemned });
        loop {
            if let Some(outcome) = outcome {
                self.turn.answered();
                return self.answer(outcome);
            }
            outcome = match poll_fn(|cx| self.poll_heard(cx)).await {
                Heard::Told(event) => self.tell(event),
                Heard::TimeCame => self.tell(Event::TimeCame),
                Heard::Ended(attempt, ended) => self.tell_end(attempt, ended),
            };
        }
    }

    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard<T::Node, T::Committed, S::Error>> {
        self.poll_running(cx);
        // An attempt says where it is placed before it ends: that must not overtake.
        if let Poll::Ready(event) = self.turn.poll_told(cx) {
            return Poll::Ready(Heard::Told(event));
        }
        if let Some((attempt, ended)) = self.ended.pop_front() {
            return Poll::Ready(Heard::Ended(attempt, ended));
        }
        let timer = self.timer.as_mut().map(|timer| timer.as_mut().poll(cx));
        if timer.is_some_and(|polled| polled.is_ready()) {
            self.timer = None;
            return Poll::Ready(Heard::TimeCame);
        }
        Poll::Pending
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) {
        let mut index = 0;
        while let Some(running) = self.running.get_mut(index) {
            match running.end.as_mut().poll(cx) {
                Poll::Ready(end) => {
                    let ended = self.running.remove(index);
                    self.ended.push_back((ended.attempt, end));
                }
                Poll::Pending => index += 1,
            }
        }
    }

    fn tell_end(&mut self, attempt: Number, ended: EndOf<T, S>) -> Option<Outcome> {
        match ended {
            Ended::Committed(output) => {
                self.turn.keep(attempt, output);
                self.tell(Event::Committed { attempt })
            }
            Ended::Failed(error) => {
                let (class, peak_memory) = (error.class(), error.peak_memory());
                tracing::warn!(attempt, ?class, %error, "attempt failed");
                if self.failures.len() > EARLIER_FAILURES {
                    self.failures.pop_front();
                }
                self.failures.push_back(Failure { attempt, error });
                self.tell(Event::Failed { attempt, class, peak_memory })
            }
            Ended::Spool(Some(Some(output))) => {
                tracing::info!(attempt, "attempt had committed: only its answer was lost");
                self.turn.keep(attempt, output);
                self.tell(Event::SpoolAnswered { attempt, committed: Some(true) })
            }
            Ended::Spool(answer) => {
                let committed = answer.map(|output| output.is_some());
                self.tell(Event::SpoolAnswered { attempt, committed })
            }
        }
    }

    /// Tells the machine and does what it wants; returns its answer to the call, if there is one.
    fn tell(&mut self, event: Event<T::Node>) -> Option<Outcome> {
        let mut outcome = None;
        for action in self.turn.on(event) {
            match action {
                Action::Want { attempt, memory, avoid, hedge } => {
                    let (task, placed) = (self.task.clone(), self.turn.placed(attempt));
                    self.start(Attempt { task, number: attempt, memory, avoid, hedge, placed });
                }
                Action::Withdraw { attempt } | Action::Abort { attempt } => {
                    self.running.retain(|running| running.attempt != attempt);
                }
                Action::AskSpool { attempt } => self.ask(attempt),
                Action::WakeAt(at) => {
                    self.timer = self.turn.moment(at).map(|at| Box::pin(sleep_until(at)));
                }
                Action::Answer(answer) => outcome = Some(answer),
            }
        }
        outcome
    }

    fn start(&mut self, attempt: Attempt<T>) {
        let number = attempt.number;
        tracing::debug!(attempt = number, hedge = attempt.hedge, "attempt starts");
        let ended = |result| match result {
            Ok(output) => Ended::Committed(output),
            Err(error) => Ended::Failed(error),
        };
        let end: Pin<Box<dyn Future<Output = _> + Send>> = match self.ready.take() {
            Some(mut ready) => {
                let answer = ready.call(attempt);
                Box::pin(async move { ended(answer.await) })
            }
            None => {
                let answer = self.inner.clone().oneshot(attempt);
                Box::pin(async move { ended(answer.await) })
            }
        };
        self.running.push(Running { attempt: number, end });
    }

    fn ask(&mut self, attempt: Number) {
        let (spool, task, limit) = (self.spool.clone(), self.task.clone(), self.question_timeout);
        let end = async move {
            Ended::Spool(match timeout(limit, spool.committed(&task, attempt)).await {
                Ok(Ok(output)) => Some(output),
                Ok(Err(error)) => {
                    tracing::warn!(attempt, %error, "spool could not be asked");
                    None
                }
                Err(_) => {
                    tracing::warn!(attempt, after = ?limit, "spool does not answer");
                    None
                }
            })
        };
        self.running.push(Running { attempt, end: Box::pin(end) });
    }

    fn answer(mut self, outcome: Outcome) -> Result<Winner<T::Committed>, Error<S::Error>> {
        match outcome {
            Outcome::Committed { attempt } => {
                // Only calls tell the machine of commits, and they keep the output before they do.
                let committed = self.turn.output(attempt).expect("a winner's output is kept");
                Ok(Winner { attempt, committed })
            }
            Outcome::InputLost { attempt } => {
                // Answered in the very step in which the failure is told.
                let failure = self.failures.pop_back().expect("a lost input is a failure");
                Err(Error::InputLost { attempt, source: failure.error })
            }
            Outcome::GaveUp { attempt, why } => {
                let last = self.failures.pop_back().map(|failure| failure.error);
                Err(Error::GaveUp {
                    attempt,
                    why,
                    last,
                    earlier: self.failures.drain(..).collect(),
                })
            }
            Outcome::Cancelled => Err(Error::Cancelled),
        }
    }
}
