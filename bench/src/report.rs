//! The table of `tpch`.

use std::fmt::{self, Display, Formatter};

use crate::cluster::Exchanged;
use crate::figures::{geometric_mean, median, ms};
use crate::side::{Sample, SideName};

/// One query.
pub struct Line {
    /// Its name.
    pub name: String,
    /// The rows of its answer.
    pub rows: usize,
    /// Why its figures mean nothing.
    pub problem: Option<String>,
    /// Whether it is in the totals.
    counts: bool,
    /// What each run cost, by side.
    samples: Vec<Vec<Sample>>,
}

impl Line {
    /// A query that has not run.
    pub fn new(name: String, counts: bool) -> Self {
        Self { name, rows: 0, problem: None, counts, samples: Vec::new() }
    }

    /// Adds one run.
    pub fn add(&mut self, side: usize, sample: Sample) {
        if self.samples.len() <= side {
            self.samples.resize_with(side + 1, Vec::new);
        }
        self.samples[side].push(sample);
    }

    fn median(&self, side: usize) -> Figures {
        let of = |value: fn(&Sample) -> f64| median(self.samples[side].iter().map(value));
        Figures {
            wall: of(|sample| ms(sample.wall)),
            cpu: of(|sample| ms(sample.cpu)),
            exchanged: of(|sample| sample.exchanged as f64 / 1e6),
        }
    }

    fn is_right(&self) -> bool {
        self.problem.is_none()
    }
}

/// Milliseconds and megabytes (10^6 bytes).
#[derive(Clone, Copy, Default)]
struct Figures {
    wall: f64,
    cpu: f64,
    exchanged: f64,
}

impl Figures {
    fn add(self, other: Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
            exchanged: self.exchanged + other.exchanged,
        }
    }
}

/// Ratios of one side to another.
#[derive(Clone, Copy)]
pub struct Ratio {
    /// Of wall times.
    pub wall: f64,
    /// Of CPU times.
    pub cpu: f64,
}

/// Two sides compared.
pub struct Compared {
    /// The ratios of the totals.
    pub total: Ratio,
    /// The geometric means of the queries' ratios.
    pub mean: Ratio,
    /// Each query's ratios.
    pub queries: Vec<(String, Ratio)>,
}

impl Ratio {
    fn of(side: Figures, divisor: Figures) -> Self {
        Self { wall: side.wall / divisor.wall, cpu: side.cpu / divisor.cpu }
    }
}

/// All queries on all sides.
pub struct Report {
    sides: Vec<SideName>,
    lines: Vec<Line>,
    peaks: Vec<u64>,
    exchanged: Vec<Exchanged>,
}

impl Report {
    /// A table without lines.
    pub fn new(sides: Vec<SideName>) -> Self {
        Self { sides, lines: Vec::new(), peaks: Vec::new(), exchanged: Vec::new() }
    }

    /// Adds a query.
    pub fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Notes the peak memory of each side, in bytes, and what each has exchanged.
    pub fn finish(&mut self, peaks: Vec<u64>, exchanged: Vec<Exchanged>) {
        self.peaks = peaks;
        self.exchanged = exchanged;
    }

    /// Whether every query was answered, and rightly.
    pub fn all_right(&self) -> bool {
        self.lines.iter().all(Line::is_right)
    }

    fn totals(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.counts && line.is_right())
    }

    fn total(&self, side: usize) -> Figures {
        self.totals().map(|line| line.median(side)).fold(Figures::default(), Figures::add)
    }

    fn mean(&self, side: usize, divisor: usize) -> Ratio {
        let ratios: Vec<Ratio> =
            self.totals().map(|line| Ratio::of(line.median(side), line.median(divisor))).collect();
        let of = |value: fn(&Ratio) -> f64| {
            geometric_mean(&ratios.iter().map(value).collect::<Vec<_>>())
        };
        Ratio { wall: of(|ratio| ratio.wall), cpu: of(|ratio| ratio.cpu) }
    }

    fn place(&self, name: SideName) -> Option<usize> {
        self.sides.iter().position(|side| *side == name)
    }

    fn header(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:<13}{:>8}  {:^20}", "", "", SideName::InProcess)?;
        for side in &self.sides[1..] {
            write!(f, "  {side:^48}")?;
        }
        write!(f, "\n{:<13}{:>8}  {:>10}{:>10}", "query", "rows", "ms", "CPU ms")?;
        for _ in &self.sides[1..] {
            write!(f, "  {:>10}{:>10}{:>8}{:>8}", "ms", "CPU ms", "x", "CPU x")?;
            write!(f, "{:>12}", "exchange MB")?;
        }
        writeln!(f)
    }

    fn figures(
        &self,
        f: &mut Formatter<'_>,
        name: &str,
        rows: &str,
        of: impl Fn(usize) -> Figures,
    ) -> fmt::Result {
        let base = of(0);
        write!(f, "{name:<13}{rows:>8}  {:>10.1}{:>10.1}", base.wall, base.cpu)?;
        for side in 1..self.sides.len() {
            let figures = of(side);
            let ratio = Ratio::of(figures, base);
            write!(f, "  {:>10.1}{:>10.1}", figures.wall, figures.cpu)?;
            write!(f, "{:>8.2}{:>8.2}{:>12.1}", ratio.wall, ratio.cpu, figures.exchanged)?;
        }
        writeln!(f)
    }

    fn means(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:<13}{:>8}  {:>20}", "geom. mean", "", "")?;
        for side in 1..self.sides.len() {
            let Ratio { wall, cpu } = self.mean(side, 0);
            write!(f, "  {:>20}{wall:>8.2}{cpu:>8.2}{:>12}", "", "")?;
        }
        writeln!(f)
    }

    /// Ratios by the numbers of the goals.
    fn goals(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (mtls, plain) = (self.place(SideName::Mtls), self.place(SideName::Plain));
        if let Some(mtls) = mtls {
            let compared = self.compared(mtls, 0);
            write_compared(f, "goal 9, cluster with mutual TLS / in process", &compared)?;
            let (cluster, alone) = (self.peaks.get(mtls), self.peaks.first());
            if let (Some(cluster), Some(alone)) = (cluster, alone) {
                let (cluster, alone) = (*cluster as f64 / 1e6, *alone as f64 / 1e6);
                let ratio = cluster / alone;
                writeln!(
                    f,
                    "goal 18, peak memory, cluster / in process: {cluster:.0} MB / {alone:.0} MB = {ratio:.2}"
                )?;
            }
        }
        if let Some(Exchanged { wire, referenced }) = mtls.and_then(|side| self.exchanged.get(side))
        {
            let (wire, referenced) = (*wire as f64 / 1e6, *referenced as f64 / 1e6);
            let ratio = wire / referenced;
            writeln!(
                f,
                "goal 16, exchanged, on the wire / referenced: {wire:.1} MB / {referenced:.1} MB = {ratio:.3}"
            )?;
        }
        if let Some(compared) = self.task_and_none() {
            write_compared(f, "goal 3, retry-policy TASK / NONE", &compared)?;
        }
        if let (Some(mtls), Some(plain)) = (mtls, plain) {
            write_compared(f, "goal 1, mutual TLS on / off", &self.compared(mtls, plain))?;
            let pure = self.lines.iter().filter(|line| !line.counts && line.is_right());
            for line in pure {
                let Ratio { wall, cpu } = Ratio::of(line.median(mtls), line.median(plain));
                writeln!(
                    f,
                    "goal 2, mutual TLS on / off, {}: CPU {cpu:.2}, wall {wall:.2}",
                    line.name
                )?;
            }
        }
        Ok(())
    }

    /// TASK and NONE, where both were run.
    pub fn task_and_none(&self) -> Option<Compared> {
        let none = self.place(SideName::Mtls).or(self.place(SideName::Plain))?;
        Some(self.compared(self.place(SideName::Task)?, none))
    }

    fn compared(&self, side: usize, divisor: usize) -> Compared {
        let ratio = |line: &Line| Ratio::of(line.median(side), line.median(divisor));
        Compared {
            total: Ratio::of(self.total(side), self.total(divisor)),
            mean: self.mean(side, divisor),
            queries: self.totals().map(|line| (line.name.clone(), ratio(line))).collect(),
        }
    }
}

fn write_compared(f: &mut Formatter<'_>, what: &str, compared: &Compared) -> fmt::Result {
    let Compared { total, mean, .. } = compared;
    writeln!(
        f,
        "{what}: total CPU {:.2}, wall {:.2}; geometric mean CPU {:.2}, wall {:.2}",
        total.cpu, total.wall, mean.cpu, mean.wall
    )
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.header(f)?;
        for line in self.lines.iter().filter(|line| line.is_right()) {
            self.figures(f, &line.name, &line.rows.to_string(), |side| line.median(side))?;
        }
        self.figures(f, "total", "", |side| self.total(side))?;
        self.means(f)?;
        self.goals(f)?;
        for line in &self.lines {
            if let Some(problem) = &line.problem {
                writeln!(f, "{} is not counted: {problem}", line.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(name: &str, counts: bool, walls: [u64; 3]) -> Line {
        let mut line = Line::new(name.to_owned(), counts);
        line.rows = 4;
        for (side, wall) in walls.into_iter().enumerate() {
            for noise in [0, 1, 90] {
                let wall = Duration::from_millis(wall + noise);
                let exchanged = if side == 0 { 0 } else { 2_000_000 };
                line.add(side, Sample { wall, cpu: wall * 2, exchanged });
            }
        }
        line
    }

    fn report() -> Report {
        let mut report = Report::new(vec![SideName::InProcess, SideName::Mtls, SideName::Plain]);
        report.add(line("q1", true, [99, 199, 149]));
        report.add(line("q2", true, [99, 399, 349]));
        report.add(line("repartition", false, [9, 239, 199]));
        let exchanged = Exchanged { wire: 104_000_000, referenced: 100_000_000 };
        let exchanged = vec![Exchanged::default(), exchanged, exchanged];
        report.finish(vec![100_000_000, 150_000_000, 140_000_000], exchanged);
        report
    }

    fn words(text: &str, first: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(first)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn figures_are_medians_and_ratios_of_medians() {
        let text = report().to_string();
        let expected = ["q1", "4", "100.0", "200.0", "200.0", "400.0", "2.00", "2.00", "2.0"];
        assert_eq!(words(&text, "q1")[..9], expected);
        assert_eq!(
            words(&text, "total")[1..7],
            ["200.0", "400.0", "600.0", "1200.0", "3.00", "3.00"]
        );
        assert_eq!(words(&text, "geom.")[2..4], ["2.83", "2.83"]);
    }

    #[test]
    fn goals_are_named_with_their_ratios() {
        let text = report().to_string();
        for expected in [
            "goal 9, cluster with mutual TLS / in process: total CPU 3.00, wall 3.00; geometric",
            "goal 18, peak memory, cluster / in process: 150 MB / 100 MB = 1.50",
            "goal 16, exchanged, on the wire / referenced: 104.0 MB / 100.0 MB = 1.040",
            "goal 1, mutual TLS on / off: total CPU 1.20, wall 1.20; geometric mean CPU 1.23",
            "goal 2, mutual TLS on / off, repartition: CPU 1.20, wall 1.20",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn a_wrong_answer_is_shown_and_counts_nowhere() {
        let mut report = report();
        let mut wrong = line("q3", true, [1, 1000, 1]);
        wrong.problem = Some("wrong: 3 rows, not 4".to_owned());
        report.add(wrong);
        assert!(!report.all_right());
        let text = report.to_string();
        assert!(text.contains("q3 is not counted: wrong: 3 rows, not 4"), "{text}");
        assert_eq!(words(&text, "total")[1], "200.0");
    }

    #[test]
    fn a_query_that_failed_at_once_has_no_figures() {
        let mut report = Report::new(vec![SideName::InProcess, SideName::Mtls]);
        let mut failed = Line::new("q1".to_owned(), true);
        failed.problem = Some("side 2: NOT_SUPPORTED".to_owned());
        report.add(failed);
        assert!(report.to_string().contains("NOT_SUPPORTED"));
    }
}
