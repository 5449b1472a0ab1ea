//! The table of goals.

use std::fmt::{self, Display, Formatter};

/// What is measured, and its bars.
pub struct Goal {
    /// Its number in the list of goals.
    pub number: u8,
    what: &'static str,
    ship: Bar,
    moon: Bar,
    better: Better,
}

/// A bar and how it is written.
type Bar = (f64, &'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
}

/// All goals that are measured here.
pub const GOALS: [Goal; 7] = [
    Goal {
        number: 3,
        what: "retry-policy TASK / NONE, TPC-H total, wall",
        ship: (1.30, "≤ 1.30"),
        moon: (1.10, "≤ 1.10"),
        better: Better::Lower,
    },
    Goal {
        number: 4,
        what: "TASK / NONE for queries under 100 ms",
        ship: (2.0, "≤ 2"),
        moon: (1.2, "≤ 1.2"),
        better: Better::Lower,
    },
    Goal {
        number: 5,
        what: "kill -9 of one of four pinned workers at 50 % under TASK, time / undisturbed",
        ship: (1.35, "≤ 1.35"),
        moon: (1.22, "≤ 1.22"),
        better: Better::Lower,
    },
    Goal {
        number: 6,
        what: "a killed worker is known lost after, s",
        ship: (3.0, "≤ 3 s"),
        moon: (0.5, "≤ 0.5 s"),
        better: Better::Lower,
    },
    Goal {
        number: 13,
        what: "scheduler, 10,000 tasks on 1,000 simulated workers, events a second a core",
        ship: (20_000.0, "20,000"),
        moon: (200_000.0, "200,000"),
        better: Better::Higher,
    },
    Goal {
        number: 14,
        what: "overhead of an empty task over mTLS, ms",
        ship: (2.0, "≤ 2 ms"),
        moon: (0.3, "≤ 0.3 ms"),
        better: Better::Lower,
    },
    Goal {
        number: 17,
        what: "storage requests under TASK, share of attempts within the bar of writes and reads",
        ship: (1.0, "writes ≤ 2 + bytes / part size; reads ≤ producers × runs"),
        moon: (2.0, "1 write for small outputs; no read"),
        better: Better::Higher,
    },
];

/// What was measured of a goal.
pub struct Measured {
    /// What is held against the bars. NaN reaches none.
    pub value: f64,
    /// How it is shown.
    pub shown: String,
    /// What was done and seen, a line each.
    pub notes: Vec<String>,
}

/// The table, and what stands below it.
#[derive(Default)]
pub struct Table {
    lines: Vec<(&'static Goal, Outcome)>,
}

enum Outcome {
    Measured(Measured),
    /// Why not.
    Not(String),
}

impl Goal {
    /// The goal with this number.
    pub fn of(number: u8) -> Option<&'static Self> {
        GOALS.iter().find(|goal| goal.number == number)
    }

    fn reached(&self, value: f64) -> &'static str {
        let holds = |bar: Bar| match self.better {
            Better::Lower => value <= bar.0,
            Better::Higher => value >= bar.0,
        };
        match () {
            () if holds(self.moon) => "reached: both bars",
            () if holds(self.ship) => "reached: ship",
            () => "**missed**",
        }
    }
}

impl Table {
    /// Adds what was measured.
    pub fn add(&mut self, goal: &'static Goal, measured: Measured) {
        self.lines.push((goal, Outcome::Measured(measured)));
    }

    /// Adds a goal that cannot be measured here.
    pub fn add_not_measured(&mut self, goal: &'static Goal, reason: impl Into<String>) {
        self.lines.push((goal, Outcome::Not(reason.into())));
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "| # | goal | ship | moon | measured | |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (goal, outcome) in &self.lines {
            let Goal { number, what, ship, moon, .. } = goal;
            write!(f, "| {number} | {what} | {} | {} | ", ship.1, moon.1)?;
            match outcome {
                Outcome::Measured(Measured { value, shown, .. }) => {
                    writeln!(f, "{shown} | {} |", goal.reached(*value))?;
                }
                Outcome::Not(reason) => writeln!(f, "not measured: {reason} | |")?,
            }
        }
        for (goal, outcome) in &self.lines {
            let Outcome::Measured(Measured { notes, .. }) = outcome else { continue };
            if !notes.is_empty() {
                writeln!(f, "\nGoal {}:\n", goal.number)?;
            }
            for note in notes {
                writeln!(f, "- {note}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_reached_from_their_better_side() {
        let reached = |number, value| Goal::of(number).unwrap().reached(value);
        assert_eq!(reached(3, 1.10), "reached: both bars");
        assert_eq!(reached(3, 1.11), "reached: ship");
        assert_eq!(reached(3, 1.31), "**missed**");
        assert_eq!(reached(13, 19_999.0), "**missed**");
        assert_eq!(reached(13, 20_000.0), "reached: ship");
        assert_eq!(reached(13, 1e6), "reached: both bars");
        for goal in &GOALS {
            assert_eq!(goal.reached(f64::NAN), "**missed**");
        }
    }

    #[test]
    fn a_line_has_its_bars_and_what_was_seen() {
        let mut table = Table::default();
        let notes = vec!["q3: 1.2".to_owned()];
        let measured = Measured { value: 1.2, shown: "1.20".to_owned(), notes };
        table.add(Goal::of(5).unwrap(), measured);
        table.add_not_measured(Goal::of(6).unwrap(), "no cgroup");
        let text = table.to_string();
        assert!(text.contains("| ≤ 1.35 | ≤ 1.22 | 1.20 | reached: both bars |\n"), "{text}");
        assert!(text.contains("| not measured: no cgroup | |\n"), "{text}");
        assert!(text.ends_with("\nGoal 5:\n\n- q3: 1.2\n"), "{text}");
    }
}
