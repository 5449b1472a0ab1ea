//! The attempts at one task, as a pure state machine: numbering, the winner, condemned outputs,
//! retries, back-off, hedging, memory growth.
//!
//! A *task* is work whose output is wanted exactly once, however often it has to be run. Each run
//! is an *attempt*; it writes its output somewhere durable (the *spool*) under its own number and
//! commits it there. [`Attempts`] is all that is to be decided about one task: what happened goes
//! in as an [`Event`], what is to be done comes out as [`Action`]s, and the time is an argument.
//! The crate has no clock, no I/O, no threads and no dependencies, so that whoever uses it can run
//! it in simulated time; the same events give the same actions. One value lives as long as the
//! task may be called.
//!
//! ```text
//!           Called                      Answer(Committed | InputLost)
//!   Idle ───────────▶ Open ───────────────────────────────▶ Idle
//!                      │ └── Answer(GaveUp) ──▶ Spent      (a later call gets the same answer)
//!   Open ── Dropped ──▶ Idle  (its attempts are gone; the next call goes on)
//!   any ── Cancelled ──┴──────────────────────▶ Cancelled  (nothing starts ever again)
//!
//!   an attempt of an open call:
//!   Waiting ── Placed ──▶ Running ── Committed ──▶ wins
//!      └──────────────────┴─ Failed ──▶ ended
//!                         └─ Failed (NodeLost) ──▶ Asked ── the spool has it ──▶ wins
//!                                                     └──── has it not ──▶ ended
//! ```
//!
//! # Rules
//!
//! - A number is given out once: not again after a lost output, a lost input or another call.
//! - The first winner stays until it is condemned. A condemned attempt never wins, however late it
//!   says that it has committed.
//! - An attempt that ended without an answer ([`Class::NodeLost`]) may have committed: the spool
//!   is asked before anything runs again.
//! - Each [`Class`] says what its failure costs; [`Limits`] says how much a task may cost.
//! - A *hedge* is a second attempt beside a slow first one. There is at most one, it starts only
//!   when the first has its place, and what becomes of it does not count: it is a run that the
//!   task did not need, and a hedged task must not have fewer chances than one without a hedge.
//!
//! Layout: [`Attempts`] is the machine; `event` what goes in and comes out; `limits` how much a
//! task may cost, `budget` what it has cost; `live` the attempts of an open call; `random` jitter.
//!
//! ```
//! use std::time::Duration;
//! use attempts::{Action, Attempts, Class, Event, Limits, Outcome};
//!
//! let mut task: Attempts<&str> = Attempts::new(Limits::default(), 7);
//! let at = Duration::from_secs;
//! let wanted = task.on(at(0), Event::Called { condemned: vec![] });
//! assert!(matches!(wanted[..], [Action::Want { attempt: 0, .. }]));
//! task.on(at(0), Event::Placed { attempt: 0, node: "a" });
//!
//! // The node dies. Perhaps only the answer was lost: ask. It was not: run again, elsewhere.
//! let lost = Event::Failed { attempt: 0, class: Class::NodeLost, peak_memory: 0 };
//! assert_eq!(task.on(at(1), lost), [Action::AskSpool { attempt: 0 }]);
//! let again = task.on(at(1), Event::SpoolAnswered { attempt: 0, committed: Some(false) });
//! assert!(matches!(&again[..], [Action::Want { attempt: 1, avoid, .. }] if avoid == &["a"]));
//!
//! task.on(at(1), Event::Placed { attempt: 1, node: "b" });
//! let won = task.on(at(2), Event::Committed { attempt: 1 });
//! assert_eq!(won, [Action::Answer(Outcome::Committed { attempt: 1 })]);
//! ```

mod budget;
mod event;
mod limits;
mod live;
mod machine;
mod random;

pub use event::{Action, Class, Event, GaveUp, Number, Outcome};
pub use limits::{Limits, MemoryGrowth};
pub use machine::Attempts;
