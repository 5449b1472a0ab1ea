//! What came of it: a table.

use std::fmt;
use std::time::Duration;

/// What came of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The right answer, after this time.
    Right(Duration),
    /// An answer that is not right.
    Wrong(String),
    /// An error instead of an answer.
    Failed(String),
}

/// Counts and latencies of each query of a mix.
pub struct Report {
    lines: Vec<Line>,
    clients: u32,
    elapsed: Duration,
}

#[derive(Default)]
struct Line {
    name: &'static str,
    latencies: Vec<Duration>,
    wrong: Vec<String>,
    failed: Vec<String>,
}

impl Report {
    /// An empty table with one line for each name.
    pub fn new(names: impl IntoIterator<Item = &'static str>, clients: u32) -> Self {
        let lines = names.into_iter().map(|name| Line { name, ..Line::default() }).collect();
        Self { lines, clients, elapsed: Duration::ZERO }
    }

    /// Adds what came of the query in line `index`.
    pub fn add(&mut self, index: usize, outcome: Outcome) {
        let line = &mut self.lines[index];
        match outcome {
            Outcome::Right(latency) => line.latencies.push(latency),
            Outcome::Wrong(reason) => line.wrong.push(reason),
            Outcome::Failed(reason) => line.failed.push(reason),
        }
    }

    /// Sorts the latencies and notes how long the whole took.
    pub fn finish(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
        self.lines.iter_mut().for_each(|line| line.latencies.sort_unstable());
    }

    /// Whether every query got its right answer.
    pub fn all_right(&self) -> bool {
        self.lines.iter().all(|line| {
            line.wrong.is_empty() && line.failed.is_empty() && !line.latencies.is_empty()
        })
    }
}

/// The value below which `percent` of the sorted values lie, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16}{:>8}{:>10}{:>10}{:>10}{:>8}{:>8}",
            "query", "right", "p50 ms", "p99 ms", "max ms", "wrong", "errors"
        )?;
        for line in &self.lines {
            let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&line.latencies, percent));
            let (right, wrong, failed) =
                (line.latencies.len(), line.wrong.len(), line.failed.len());
            writeln!(
                f,
                "{:<16}{right:>8}{p50:>10.1}{p99:>10.1}{max:>10.1}{wrong:>8}{failed:>8}",
                line.name
            )?;
        }
        let count = |of: fn(&Line) -> usize| self.lines.iter().map(of).sum::<usize>();
        let (right, wrong, failed) = (
            count(|line| line.latencies.len()),
            count(|line| line.wrong.len()),
            count(|line| line.failed.len()),
        );
        let seconds = self.elapsed.as_secs_f64();
        let rate = right as f64 / seconds.max(f64::EPSILON);
        writeln!(
            f,
            "{right} right, {wrong} wrong, {failed} errors; {} clients, {seconds:.1} s, {rate:.0} queries/s",
            self.clients
        )?;
        for line in &self.lines {
            for reason in line.wrong.first().into_iter().chain(line.failed.first()) {
                writeln!(f, "{}: {reason}", line.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(["a", "b"], 2);
        (1..=100).for_each(|ms| report.add(0, Outcome::Right(Duration::from_millis(101 - ms))));
        report.add(1, Outcome::Right(Duration::from_millis(7)));
        report
    }

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let mut report = report();
        report.finish(Duration::from_secs(10));
        let text = report.to_string();
        let line = text.lines().nth(1).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["a", "100", "50.0", "99.0", "100.0", "0", "0"]);
        assert!(text.contains("101 right, 0 wrong, 0 errors"), "{text}");
        assert!(report.all_right());
    }

    #[test]
    fn one_wrong_answer_or_error_is_not_all_right_and_is_shown() {
        for outcome in [Outcome::Wrong("x".to_owned()), Outcome::Failed("x".to_owned())] {
            let mut report = report();
            report.add(1, outcome);
            report.finish(Duration::from_secs(1));
            assert!(!report.all_right());
            assert!(report.to_string().ends_with("b: x\n"), "{report}");
        }
    }

    #[test]
    fn a_query_that_was_never_answered_is_not_all_right() {
        assert!(!Report::new(["a"], 1).all_right());
    }
}
