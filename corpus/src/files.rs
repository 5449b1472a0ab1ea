//! Corpus files: what they expect of each statement, and whether each way gives it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::stream::{StreamExt, TryStreamExt};
use sqllogictest::{
    Condition, DefaultColumnType, ExpectedError, QueryExpect, Record, SortMode, StatementExpect,
};
use waterbear_testkit::client::{Answer, Table};

use crate::rows::{are_lines, line, same_rows};
use crate::ways::{Sessions, Way, Ways};

/// Files that run at once.
const AT_ONCE: usize = 4;
/// Rows of an answer that are shown when it is wrong.
const SHOWN: usize = 12;

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    queries: usize,
    wrong: usize,
    files: Vec<(String, usize, Duration)>,
    times: BTreeMap<&'static str, Duration>,
    /// Tasks of all queries on three workers.
    tasks: u64,
    /// Those that ran again because of a fault.
    retries: u64,
    elapsed: Duration,
}

impl Report {
    /// Whether each way gave what was expected, for at least one statement.
    pub fn all_right(&self) -> bool {
        self.wrong == 0 && self.queries > 0
    }

    fn add(&mut self, other: Self) {
        self.queries += other.queries;
        self.wrong += other.wrong;
        self.files.extend(other.files);
        self.tasks += other.tasks;
        self.retries += other.retries;
        for (way, time) in other.times {
            *self.times.entry(way).or_default() += time;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, queries, time) in &self.files {
            writeln!(f, "{name:40} {queries:5} statements {:7.1} s", time.as_secs_f64())?;
        }
        for (way, time) in &self.times {
            writeln!(f, "{way:40} {:24.1} s", time.as_secs_f64())?;
        }
        writeln!(
            f,
            "{} statements, {} wrong, {} tasks on three workers, {} retries of tasks that failed, {:.1} s",
            self.queries,
            self.wrong,
            self.tasks,
            self.retries,
            self.elapsed.as_secs_f64()
        )
    }
}

/// Runs files, and all files of folders.
///
/// # Errors
/// When a file cannot be read or a coordinator does not speak Trino's protocol.
pub async fn run(ways: &Ways, paths: &[PathBuf], verbose: bool) -> anyhow::Result<Report> {
    let start = Instant::now();
    let mut report = Report::default();
    let running = futures::stream::iter(files(paths)?)
        .map(|path| async move { run_file(ways, &path, verbose).await })
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>();
    for one in running.await? {
        report.add(one);
    }
    report.elapsed = start.elapsed();
    Ok(report)
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut inside =
            entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        inside.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
        inside.sort();
        found.append(&mut inside);
    }
    Ok(found)
}

async fn run_file(ways: &Ways, path: &Path, verbose: bool) -> anyhow::Result<Report> {
    let start = Instant::now();
    let records = sqllogictest::parse_file::<DefaultColumnType>(path)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut sessions = Sessions::new();
    let mut report = Report::default();
    for record in records {
        let Some(case) = Case::of(record)? else { continue };
        report.queries += 1;
        case.run(ways, &mut sessions, verbose, &mut report).await;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    report.files.push((name, report.queries, start.elapsed()));
    Ok(report)
}

/// A statement and what is expected of it.
struct Case {
    place: String,
    sql: String,
    expected: Expected,
    conditions: Vec<Condition>,
}

enum Expected {
    Ok,
    Error(ExpectedError),
    Rows { lines: Vec<String>, ordered: bool },
}

/// A fault in every stage makes a retry in every stage.
fn without_retry(table: &Table) -> Option<String> {
    let Table { stages, retries, .. } = table;
    (retries < stages).then(|| format!("retried: {retries} retries in {stages} stages"))
}

impl Case {
    fn of(record: Record<DefaultColumnType>) -> anyhow::Result<Option<Self>> {
        let (loc, sql, conditions, expected) = match record {
            Record::Statement { loc, conditions, sql, expected, .. } => {
                let expected = match expected {
                    StatementExpect::Ok | StatementExpect::Count(_) => Expected::Ok,
                    StatementExpect::Error(error) => Expected::Error(error),
                };
                (loc, sql, conditions, expected)
            }
            Record::Query { loc, conditions, sql, expected, .. } => {
                let expected = match expected {
                    QueryExpect::Results { sort_mode, results, .. } => {
                        let ordered = match sort_mode {
                            Some(SortMode::NoSort) => true,
                            Some(SortMode::RowSort) => false,
                            _ => bail!("{loc}: say nosort or rowsort"),
                        };
                        Expected::Rows { lines: results, ordered }
                    }
                    QueryExpect::Error(error) => Expected::Error(error),
                };
                (loc, sql, conditions, expected)
            }
            Record::Comment(_) | Record::Newline | Record::Condition(_) => return Ok(None),
            other => bail!("the runner does not know the directive {other:?}"),
        };
        Ok(Some(Self { place: loc.to_string(), sql, expected, conditions }))
    }

    fn applies(&self, way: Way) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::OnlyIf { label } => label == way.name(),
            Condition::SkipIf { label } => label != way.name(),
        })
    }

    async fn run(&self, ways: &Ways, sessions: &mut Sessions, verbose: bool, report: &mut Report) {
        let mut answers: Vec<(Way, Answer)> = Vec::new();
        let mut problems = Vec::new();
        for way in Way::ALL.into_iter().filter(|way| self.applies(*way)) {
            let start = Instant::now();
            let answer = ways.answer(way, sessions, &self.sql).await;
            *report.times.entry(way.name()).or_default() += start.elapsed();
            match answer {
                Ok(None) => {}
                Ok(Some(answer)) => answers.push((way, answer)),
                Err(error) if ways.is_alive(way) => {
                    problems.push(format!("{}: {error:#}", way.name()));
                }
                Err(_) => problems.push(format!("{}: its process has ended", way.name())),
            }
        }
        for (way, answer) in &answers {
            match (way, answer) {
                (Way::ThreeWorkers, Answer::Rows(table)) => report.tasks += table.tasks,
                (Way::Retried, Answer::Rows(table)) => {
                    report.retries += table.retries;
                    problems.extend(without_retry(table));
                }
                _ => {}
            }
            if let Err(problem) = self.judge(answer, verbose) {
                problems.push(format!("{}: {problem}", way.name()));
            }
        }
        problems.extend(self.disagreement(&answers));
        if !problems.is_empty() {
            // At once, so that one need not wait for the end to see it.
            println!("{}\n{}\n{}\n", self.place, self.sql, problems.join("\n"));
            report.wrong += 1;
        }
    }

    fn judge(&self, answer: &Answer, verbose: bool) -> Result<(), String> {
        match (&self.expected, answer) {
            (Expected::Ok, Answer::Rows(_)) => Ok(()),
            (Expected::Error(expected), Answer::Error { name, message }) => {
                let text = format!("{name}: {message}");
                if expected.is_match(&text, None) {
                    return Ok(());
                }
                Err(format!("failed with {text}\n  expected {expected}"))
            }
            (Expected::Error(expected), Answer::Rows(table)) => {
                Err(format!("{} rows, expected the error {expected}", table.rows.len()))
            }
            (_, Answer::Error { name, message }) => Err(format!("{name}: {message}")),
            (Expected::Rows { lines, ordered }, Answer::Rows(table)) => {
                if are_lines(&table.rows, &table.types, lines, *ordered) {
                    return Ok(());
                }
                let most = if verbose { usize::MAX } else { SHOWN };
                let rows: Vec<String> = table.rows.iter().map(|row| line(row)).collect();
                let show = |lines: &[String]| {
                    lines.iter().take(most).map(|line| format!("    {line}\n")).collect::<String>()
                };
                Err(format!(
                    "{} rows of {:?}\n{}  expected {}\n{}",
                    rows.len(),
                    table.types,
                    show(&rows),
                    lines.len(),
                    show(lines)
                ))
            }
        }
    }

    /// Where ways differ from each other: within the tolerance of an expectation they must agree.
    fn disagreement(&self, answers: &[(Way, Answer)]) -> Option<String> {
        let ordered = matches!(self.expected, Expected::Rows { ordered: true, .. });
        let (first, Answer::Rows(one)) = answers.first()? else { return None };
        answers.iter().skip(1).find_map(|(way, answer)| match answer {
            Answer::Rows(other) if matches!(self.expected, Expected::Rows { .. }) => {
                let what = if one.types != other.types {
                    format!("types {:?} and {:?}", one.types, other.types)
                } else if !same_rows(&one.rows, &other.rows, ordered) {
                    "rows".to_owned()
                } else {
                    return None;
                };
                Some(format!("{} and {} differ: {what}", first.name(), way.name()))
            }
            _ => None,
        })
    }
}
