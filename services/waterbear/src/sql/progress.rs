//! How far a query is: a line on stderr that is written over, and a summary at its end.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use waterbear_protocol::client::{StageStats, StatementStats};

/// Back to the start of the line, and nothing after it.
const CLEAR: &str = "\r\x1b[2K";

/// The line of one statement.
#[derive(Debug)]
pub struct Progress {
    wanted: bool,
    shown: bool,
}

impl Progress {
    /// A line on stderr, where that is a terminal.
    pub fn new(wanted: bool) -> Self {
        Self { wanted: wanted && io::stderr().is_terminal(), shown: false }
    }

    /// Shows how far the query is now.
    pub fn show(&mut self, stats: &StatementStats) {
        if self.wanted {
            eprint!("{CLEAR}{}", line(stats));
            let _ = io::stderr().flush();
            self.shown = true;
        }
    }

    /// Takes the line away, since rows come.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("{CLEAR}");
            let _ = io::stderr().flush();
        }
    }
}

fn line(stats: &StatementStats) -> String {
    let elapsed = Duration::from_millis(stats.elapsed_time_millis).as_secs();
    let percent = stats.progress_percentage.unwrap_or_default().clamp(0.0, 100.0);
    let (mut stages, mut done) = (0, 0);
    count_stages(stats.root_stage.as_ref(), &mut stages, &mut done);
    let filled = (percent / 5.0) as usize;
    let again = match stats.task_retries {
        0 => String::new(),
        retries => format!("  [{}]", retried(retries)),
    };
    format!(
        "{}:{:02} {:<9} stages {done}/{stages}  splits {}/{}  [{} rows, {}]{again}  [{}{}] {percent:.0}%",
        elapsed / 60,
        elapsed % 60,
        stats.state,
        stats.completed_splits,
        stats.total_splits,
        count(stats.processed_rows),
        size(stats.processed_bytes),
        "=".repeat(filled),
        " ".repeat(20 - filled),
    )
}

fn count_stages(stage: Option<&StageStats>, all: &mut u64, done: &mut u64) {
    if let Some(stage) = stage {
        *all += 1;
        *done += u64::from(stage.done);
        for below in &stage.sub_stages {
            count_stages(Some(below), all, done);
        }
    }
}

fn retried(retries: u64) -> String {
    format!("{retries} task {}", if retries == 1 { "retry" } else { "retries" })
}

/// What Trino has not: the spool, and what ran again. Nothing for most queries.
pub fn spooled(stats: &StatementStats) -> Option<String> {
    let retries = (stats.task_retries > 0).then(|| retried(stats.task_retries));
    let bytes = (stats.spooled_bytes > 0).then(|| format!("{} spooled", size(stats.spooled_bytes)));
    let said: Vec<_> = bytes.into_iter().chain(retries).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What a statement has cost, as Trino's CLI says it after each statement at its prompt.
pub fn summary(id: &str, stats: &StatementStats) -> String {
    let seconds = stats.elapsed_time_millis as f64 / 1000.0;
    let rate = |value: u64| if seconds > 0.0 { (value as f64 / seconds) as u64 } else { 0 };
    let nodes = if stats.nodes == 1 { "node" } else { "nodes" };
    let done = stats.progress_percentage.unwrap_or(100.0);
    let spooled = spooled(stats).map(|text| format!("{text}\n")).unwrap_or_default();
    format!(
        "\nQuery {id}, {}, {} {nodes}\nSplits: {} total, {} done ({done:.2}%)\n{seconds:.2} [{} rows, {}] [{} rows/s, {}/s]\n{spooled}",
        stats.state,
        stats.nodes,
        stats.total_splits,
        stats.completed_splits,
        count(stats.processed_rows),
        size(stats.processed_bytes),
        count(rate(stats.processed_rows)),
        size(rate(stats.processed_bytes)),
    )
}

/// `999`, `1.5K`, `12.3M`.
fn count(value: u64) -> String {
    scaled(value, 1000.0, &["", "K", "M", "B", "T"])
}

/// `999B`, `1.5KB`, `12.3MB`.
fn size(value: u64) -> String {
    scaled(value, 1024.0, &["B", "KB", "MB", "GB", "TB", "PB"])
}

fn scaled(value: u64, step: f64, units: &[&str]) -> String {
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= step && unit + 1 < units.len() {
        scaled /= step;
        unit += 1;
    }
    let digits = if unit == 0 || scaled >= 100.0 { 0 } else { 1 };
    format!("{scaled:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, rows, bytes) in [
            (0, "0", "0B"),
            (999, "999", "999B"),
            (1500, "1.5K", "1.5KB"),
            (60_175, "60.2K", "58.8KB"),
            (123_456_789, "123M", "118MB"),
        ] {
            assert_eq!((count(value).as_str(), size(value).as_str()), (rows, bytes));
        }
    }

    #[test]
    fn the_line_has_stages_splits_rows_bytes_and_time() {
        let leaf = StageStats { done: true, ..StageStats::default() };
        let root = StageStats { sub_stages: vec![leaf], ..StageStats::default() };
        let stats = StatementStats {
            state: "RUNNING".to_owned(),
            elapsed_time_millis: 65_000,
            completed_splits: 3,
            total_splits: 12,
            processed_rows: 1500,
            processed_bytes: 2048,
            progress_percentage: Some(25.0),
            nodes: 2,
            root_stage: Some(root),
            ..StatementStats::default()
        };
        assert_eq!(
            line(&stats),
            "1:05 RUNNING   stages 1/2  splits 3/12  [1.5K rows, 2.0KB]  [=====               ] 25%"
        );
        assert_eq!(
            summary("q1", &stats),
            "\nQuery q1, RUNNING, 2 nodes\nSplits: 12 total, 3 done (25.00%)\n\
             65.00 [1.5K rows, 2.0KB] [23 rows/s, 31B/s]\n"
        );
        let stats = StatementStats { task_retries: 2, spooled_bytes: 12 << 20, ..stats };
        assert_eq!(
            line(&stats),
            "1:05 RUNNING   stages 1/2  splits 3/12  [1.5K rows, 2.0KB]  [2 task retries]  [=====               ] 25%"
        );
        assert!(summary("q1", &stats).ends_with("31B/s]\n12.0MB spooled, 2 task retries\n"));
    }
}
