//! A task under test, and words for what it is told.

use std::time::Duration;

use attempts::{Action, Attempts, Class, Event, Limits, Number, Outcome};

pub type Actions = Vec<Action<&'static str>>;

pub struct Task {
    pub attempts: Attempts<&'static str>,
    pub now: Duration,
}

/// A task that is called and whose attempt 0 runs on node `a`.
pub fn running(limits: Limits) -> Task {
    let mut task = Task::new(limits, 1);
    assert_eq!(wanted(&task.call()), [0]);
    task.place(0, "a");
    task
}

/// A task whose attempt 0 runs on node `a`, and its hedge, 1, on node `b`.
pub fn hedged(limits: Limits) -> Task {
    let mut task = running(limits);
    assert_eq!(wanted(&task.straggle(0)), [1]);
    task.place(1, "b");
    task
}

impl Task {
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self { attempts: Attempts::new(limits, seed), now: Duration::from_secs(1_000) }
    }

    pub fn on(&mut self, event: Event<&'static str>) -> Actions {
        self.attempts.on(self.now, event)
    }

    pub fn call(&mut self) -> Actions {
        self.call_condemning(&[])
    }

    pub fn call_condemning(&mut self, condemned: &[Number]) -> Actions {
        self.on(Event::Called { condemned: condemned.to_vec() })
    }

    pub fn place(&mut self, attempt: Number, node: &'static str) {
        assert_eq!(self.on(Event::Placed { attempt, node }), []);
    }

    pub fn commit(&mut self, attempt: Number) -> Actions {
        self.on(Event::Committed { attempt })
    }

    pub fn fail(&mut self, attempt: Number, class: Class) -> Actions {
        self.fail_with(attempt, class, 0)
    }

    pub fn fail_with(&mut self, attempt: Number, class: Class, peak_memory: u64) -> Actions {
        self.on(Event::Failed { attempt, class, peak_memory })
    }

    /// The attempt's node is lost, and the spool does not have its output.
    pub fn lose(&mut self, attempt: Number) -> Actions {
        assert_eq!(self.fail(attempt, Class::NodeLost), [Action::AskSpool { attempt }]);
        self.spool(attempt, Some(false))
    }

    pub fn spool(&mut self, attempt: Number, committed: Option<bool>) -> Actions {
        self.on(Event::SpoolAnswered { attempt, committed })
    }

    pub fn straggle(&mut self, attempt: Number) -> Actions {
        self.on(Event::Straggling { attempt })
    }

    /// Waits for the one moment that is asked for.
    pub fn wait(&mut self, actions: &[Action<&'static str>]) -> Actions {
        let [Action::WakeAt(moment)] = actions else {
            panic!("not a pause: {actions:?}");
        };
        self.now = *moment;
        self.on(Event::TimeCame)
    }

    /// Fails the attempt and waits where that asks for it; then places the next one on `node`.
    pub fn retry(&mut self, attempt: Number, class: Class, node: &'static str) -> Number {
        let mut actions = self.fail(attempt, class);
        if wanted(&actions).is_empty() {
            actions = self.wait(&actions);
        }
        let [next] = wanted(&actions)[..] else {
            panic!("no attempt: {actions:?}");
        };
        self.place(next, node);
        next
    }
}

/// The attempts that are wanted.
pub fn wanted(actions: &[Action<&str>]) -> Vec<Number> {
    let wants = actions.iter().filter_map(|action| match action {
        Action::Want { attempt, .. } => Some(*attempt),
        _ => None,
    });
    wants.collect()
}

/// The memory and the avoided nodes of the one attempt that is wanted.
pub fn want(actions: &[Action<&'static str>]) -> (u64, Vec<&'static str>) {
    let [Action::Want { memory, avoid, .. }] = actions else {
        panic!("not one attempt: {actions:?}");
    };
    (*memory, avoid.clone())
}

pub fn committed(attempt: Number) -> Action<&'static str> {
    Action::Answer(Outcome::Committed { attempt })
}
