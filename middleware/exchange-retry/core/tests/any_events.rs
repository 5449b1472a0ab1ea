//! Whatever happens, in whatever order: what must always hold. A model that knows nothing of how
//! the machine decides follows 20,000 random histories and checks each action.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use attempts::{Action, Attempts, Class, Event, Limits, MemoryGrowth, Number, Outcome};

type Node = (u8, u8);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit)).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(u32::try_from(items.len()).unwrap()) as usize]
    }

    fn limits(&mut self) -> Limits {
        let whole_node = self.pick(&[1, 100, 1_000, u64::MAX]);
        Limits {
            retries: self.pick(&[0, 1, 4, 126]),
            initial_delay: Duration::from_millis(self.pick(&[0, 1, 100])),
            max_delay: Duration::from_millis(self.pick(&[0, 150, 60_000])),
            delay_scale: self.pick(&[1.0, 2.0, 1e300, f64::NAN]),
            losses_free: self.below(4),
            spool_questions: self.below(4),
            memory: MemoryGrowth { initial: 10, factor: self.pick(&[1.0, 3.0, 1e30]), whole_node },
            hedge: self.below(8) > 0,
        }
    }

    /// Mostly about attempts that live, so that histories get somewhere; sometimes about any.
    fn event(&mut self, model: &Model) -> Event<Node> {
        let live: Vec<Number> = model.live.keys().copied().collect();
        let any = self.below(model.numbered + 2);
        let stray = live.is_empty() || self.below(5) == 0;
        let attempt = if stray { any } else { self.pick(&live) };
        let asked = matches!(model.live.get(&attempt), Some(Stage::Asked { .. }));
        match self.below(24) {
            0..5 if !model.open => Event::Called { condemned: self.condemned(model) },
            0 => Event::Called { condemned: self.condemned(model) },
            1..7 => Event::Placed { attempt, node: (self.below(3) as u8, self.below(2) as u8) },
            7..9 => Event::Committed { attempt },
            9..14 if !asked => Event::Failed { attempt, class: self.class(), peak_memory: 20 },
            14..18 => Event::Straggling { attempt },
            18 if self.below(6) == 0 => Event::Cancelled,
            19 if self.below(3) == 0 => Event::Dropped,
            18..20 => Event::TimeCame,
            _ => Event::SpoolAnswered {
                attempt,
                committed: self.pick(&[Some(true), Some(false), Some(false), None, None, None]),
            },
        }
    }

    fn class(&mut self) -> Class {
        match self.below(20) {
            0 => Class::User,
            1 => Class::InputLost,
            2..5 => Class::Internal,
            5..7 => Class::External,
            7..11 => Class::InsufficientResources,
            11..17 => Class::NodeLost,
            _ => Class::Abandoned,
        }
    }

    fn condemned(&mut self, model: &Model) -> Vec<Number> {
        let winner = model.winner.filter(|_| self.below(2) == 0);
        let any = (0..self.below(3)).map(|_| self.below(model.numbered + 3));
        any.chain(winner).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Waiting,
    Running,
    /// The spool is asked for it.
    Asked {
        times: u32,
        awaited: bool,
    },
}

/// What a bystander knows.
#[derive(Debug, Default)]
struct Model {
    numbered: Number,
    live: BTreeMap<Number, Stage>,
    hedges: BTreeSet<Number>,
    withdrawn: BTreeSet<Number>,
    condemned: BTreeSet<Number>,
    winner: Option<Number>,
    wake: Option<Duration>,
    open: bool,
    cancelled: bool,
    given_up: bool,
}

impl Model {
    /// What the event means by itself.
    fn heard(&mut self, event: &Event<Node>, limits: &Limits) {
        match event {
            Event::Called { condemned } => {
                let known = condemned.iter().filter(|number| **number < self.numbered);
                self.condemned.extend(known);
                self.winner = self.winner.filter(|winner| !self.condemned.contains(winner));
                self.open = true;
            }
            Event::Placed { attempt, .. } => {
                if let Some(stage @ Stage::Waiting) = self.live.get_mut(attempt) {
                    *stage = Stage::Running;
                }
            }
            Event::Committed { attempt } => {
                if self.live.remove(attempt).is_some() {
                    assert_eq!(self.winner.replace(*attempt), None);
                }
            }
            Event::Failed { attempt, class, .. } => match self.live.get_mut(attempt) {
                None | Some(Stage::Asked { .. }) => {}
                Some(stage) if *class == Class::NodeLost => {
                    *stage = Stage::Asked { times: 0, awaited: false };
                }
                Some(_) => {
                    self.live.remove(attempt);
                }
            },
            Event::SpoolAnswered { attempt, committed } => {
                self.spool_answered(*attempt, *committed, limits);
            }
            // Without an answer: what lives goes with the actions.
            Event::Dropped => self.open = false,
            Event::Cancelled => self.cancelled = true,
            Event::Straggling { .. } | Event::TimeCame => {}
        }
    }

    fn spool_answered(&mut self, attempt: Number, committed: Option<bool>, limits: &Limits) {
        let Some(Stage::Asked { times, awaited }) = self.live.get_mut(&attempt) else {
            return;
        };
        let last = *awaited && *times >= limits.spool_questions;
        *awaited = false;
        if committed.is_some() || last {
            self.live.remove(&attempt);
        }
        if committed == Some(true) {
            assert_eq!(self.winner.replace(attempt), None);
        }
    }

    fn told(&mut self, action: &Action<Node>, event: &Event<Node>, limits: &Limits) {
        match action {
            Action::Want { attempt, hedge, avoid, memory } => {
                assert!(self.open && !self.cancelled && !self.given_up && self.winner.is_none());
                assert_eq!(*attempt, self.numbered, "a number is given out once, in order");
                assert!(*memory > 0);
                let nodes: BTreeSet<_> = avoid.iter().collect();
                assert_eq!(nodes.len(), avoid.len());
                self.numbered += 1;
                if *hedge {
                    let [Stage::Running] = self.live.values().collect::<Vec<_>>()[..] else {
                        panic!("a hedge beside {:?}", self.live);
                    };
                    self.hedges.insert(*attempt);
                } else {
                    assert!(self.live.is_empty(), "a first attempt beside {:?}", self.live);
                }
                self.live.insert(*attempt, Stage::Waiting);
            }
            Action::Withdraw { attempt } => {
                assert_eq!(self.live.remove(attempt), Some(Stage::Waiting));
                assert!(self.withdrawn.insert(*attempt));
            }
            Action::Abort { attempt } => {
                let was = self.live.remove(attempt);
                let stray =
                    matches!(event, Event::Placed { attempt: placed, .. } if placed == attempt);
                assert!(was.is_some_and(|stage| stage != Stage::Waiting) || stray);
            }
            Action::AskSpool { attempt } => {
                let Some(Stage::Asked { times, awaited }) = self.live.get_mut(attempt) else {
                    panic!("the spool is asked for {attempt}, which is not lost");
                };
                assert!(!*awaited && *times < limits.spool_questions.max(1));
                (*times, *awaited) = (*times + 1, true);
            }
            Action::WakeAt(moment) => self.wake = Some(*moment),
            Action::Answer(outcome) => self.answered(outcome),
        }
    }

    fn answered(&mut self, outcome: &Outcome) {
        assert!(self.open, "a call is answered once");
        self.open = false;
        match outcome {
            Outcome::Committed { attempt } => {
                assert_eq!(self.winner, Some(*attempt));
                assert!(!self.condemned.contains(attempt));
            }
            Outcome::InputLost { .. } => {}
            Outcome::GaveUp { attempt, .. } => {
                assert!(*attempt < self.numbered);
                self.given_up = true;
            }
            Outcome::Cancelled => assert!(self.cancelled),
        }
        assert!(self.live.is_empty(), "{:?} live after the answer", self.live);
    }

    fn check(&self, attempts: &Attempts<Node>, now: Duration, limits: &Limits) {
        let hedges = self.live.keys().filter(|number| self.hedges.contains(number));
        assert!(self.live.len() <= 2 && hedges.count() <= 1, "{:?}", self.live);
        assert_eq!(attempts.winner(), self.winner, "only the first one, until it is condemned");
        assert_eq!(attempts.numbered(), self.numbered);
        assert_eq!(attempts.condemned(), &self.condemned);
        assert!(attempts.failures() <= limits.retries + 1);
        if self.open {
            let hope = !self.live.is_empty() || self.wake.is_some_and(|wake| wake > now);
            assert!(hope && !self.cancelled && !self.given_up, "an open call waits for nothing");
        } else {
            assert!(self.live.is_empty());
        }
    }
}

/// Runs one random history; returns everything that was done.
fn history(seed: u64) -> Vec<Action<Node>> {
    let mut random = Random(seed);
    let limits = random.limits();
    let mut attempts = Attempts::new(limits.clone(), seed);
    let mut model = Model::default();
    let mut now = Duration::ZERO;
    let mut done = Vec::new();
    for _ in 0..1 + random.below(40) {
        let event = random.event(&model);
        now = match (&event, model.wake) {
            (Event::TimeCame, Some(wake)) if random.below(4) > 0 => wake.max(now),
            // A caller's clock may even step back a little.
            _ if random.below(50) == 0 => now.saturating_sub(Duration::from_millis(5)),
            _ => now + Duration::from_millis(u64::from(random.below(20))),
        };
        if model.wake.is_some_and(|wake| wake <= now) && !matches!(event, Event::TimeCame) {
            // The caller's timer is due: it may come before or after the event, but it comes.
            step(&mut attempts, &mut model, now, Event::TimeCame, &limits, &mut done);
        }
        step(&mut attempts, &mut model, now, event, &limits, &mut done);
    }
    done
}

fn step(
    attempts: &mut Attempts<Node>,
    model: &mut Model,
    now: Duration,
    event: Event<Node>,
    limits: &Limits,
    done: &mut Vec<Action<Node>>,
) {
    if matches!(event, Event::TimeCame) {
        model.wake = model.wake.filter(|wake| *wake > now);
    }
    model.heard(&event, limits);
    let actions = attempts.on(now, event.clone());
    for action in &actions {
        model.told(action, &event, limits);
    }
    model.check(attempts, now, limits);
    done.extend(actions);
}

#[test]
fn invariants_hold_in_any_history() {
    let mut kinds = BTreeMap::<&str, u32>::new();
    for seed in 0..20_000 {
        let done = catch_unwind(AssertUnwindSafe(|| history(seed))).unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            resume_unwind(panic)
        });
        for action in done {
            *kinds.entry(kind(&action)).or_default() += 1;
        }
    }
    // The histories must have been about something.
    let seen = kinds.iter().filter(|(_, count)| **count >= 500).count();
    assert_eq!(seen, 10, "{kinds:?}");
}

fn kind(action: &Action<Node>) -> &'static str {
    match action {
        Action::Want { hedge: false, .. } => "first attempt",
        Action::Want { hedge: true, .. } => "hedge",
        Action::Withdraw { .. } => "withdraw",
        Action::Abort { .. } => "abort",
        Action::AskSpool { .. } => "ask",
        Action::WakeAt(_) => "wake",
        Action::Answer(Outcome::Committed { .. }) => "committed",
        Action::Answer(Outcome::InputLost { .. }) => "input lost",
        Action::Answer(Outcome::GaveUp { .. }) => "gave up",
        Action::Answer(Outcome::Cancelled) => "cancelled",
    }
}

#[test]
fn same_events_give_the_same_actions() {
    for seed in 0..200 {
        assert_eq!(history(seed), history(seed));
    }
}
