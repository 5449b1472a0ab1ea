//! DataFusion in a process of its own, with nothing of the cluster in it.
//!
//! The parent writes requests to its stdin and reads answers from its stdout, one JSON document a
//! line. A query's rows are kept in memory until they are asked for, so that making text of them
//! is not measured.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::answers::Row;
use crate::data;
use crate::place::Place;

/// What the child is told at its start.
#[derive(Args)]
pub struct InProcessArgs {
    /// The folder with the schema's folder.
    #[arg(long)]
    data: PathBuf,
    /// Threads and partitions.
    #[arg(long)]
    threads: usize,
}

#[derive(Serialize, Deserialize)]
enum Request {
    /// Runs a query.
    Run(String),
    /// Asks for the rows of the last query.
    Values,
}

#[derive(Serialize, Deserialize)]
enum Response {
    Ran(Ran),
    Values(Vec<Row>),
    Failed(String),
}

/// What a query took.
#[derive(Serialize, Deserialize)]
pub struct Ran {
    /// Its rows.
    pub rows: usize,
    /// From its text to its last batch.
    pub wall: Duration,
}

/// The child: answers until its stdin ends.
pub fn serve(args: &InProcessArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads)
        .enable_all()
        .build()?;
    let context = runtime.block_on(open(args))?;
    let mut batches = Vec::new();
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let response = match serde_json::from_str(&line?)? {
            Request::Values => values(&batches).map(Response::Values),
            Request::Run(sql) => {
                batches.clear();
                let context = context.clone();
                // On the threads that are counted, not on this one.
                let query = runtime.spawn(async move { run(&context, &sql).await });
                runtime.block_on(query)?.map(|(ran, collected)| {
                    batches = collected;
                    Response::Ran(ran)
                })
            }
        };
        let response = response.unwrap_or_else(|error| Response::Failed(format!("{error:#}")));
        serde_json::to_writer(&mut output, &response)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

async fn open(args: &InProcessArgs) -> anyhow::Result<SessionContext> {
    let mut config =
        SessionConfig::new().with_target_partitions(args.threads).with_collect_statistics(true);
    // As the cluster has it: Trino's decimal literals.
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    let context = SessionContext::new_with_config(config);
    for table in data::TABLES {
        // A folder's path ends with a slash.
        let folder = args.data.join(data::SCHEMA).join(table).join("");
        let folder = folder.to_str().context("the data's path is not UTF-8")?;
        context.register_parquet(table, folder, ParquetReadOptions::default()).await?;
    }
    Ok(context)
}

async fn run(context: &SessionContext, sql: &str) -> anyhow::Result<(Ran, Vec<RecordBatch>)> {
    let start = Instant::now();
    let batches = context.sql(sql).await?.collect().await?;
    let wall = start.elapsed();
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    Ok((Ran { rows, wall }, batches))
}

fn values(batches: &[RecordBatch]) -> anyhow::Result<Vec<Row>> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        // A column of type Null has NULLs without a bitmap of them.
        let nulls: Vec<_> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().zip(&nulls).map(|(formatter, nulls)| {
                let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                valid.then(|| formatter.value(row).to_string())
            });
            rows.push(cells.collect());
        }
    }
    Ok(rows)
}

/// The parent's handle to the child, which ends with it.
pub struct InProcess {
    child: Child,
    requests: ChildStdin,
    responses: Lines<BufReader<ChildStdout>>,
}

impl InProcess {
    /// Starts the child over the tables in `data`.
    pub fn start(place: &Place, data: PathBuf, threads: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(&place.bench)
            .args(["in-process", "--threads", &threads.to_string(), "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("DataFusion in process does not start")?;
        let (Some(requests), Some(responses)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("DataFusion in process has no pipes");
        };
        Ok(Self { child, requests, responses: BufReader::new(responses).lines() })
    }

    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("DataFusion in process has ended")
    }

    /// Runs a query and keeps its rows.
    pub async fn run(&mut self, sql: &str) -> anyhow::Result<Ran> {
        match self.ask(Request::Run(sql.to_owned())).await? {
            Response::Ran(ran) => Ok(ran),
            Response::Failed(reason) => bail!(reason),
            Response::Values(_) => bail!("rows instead of a time"),
        }
    }

    /// The rows of the last query.
    pub async fn values(&mut self) -> anyhow::Result<Vec<Row>> {
        match self.ask(Request::Values).await? {
            Response::Values(rows) => Ok(rows),
            Response::Failed(reason) => bail!(reason),
            Response::Ran(_) => bail!("a time instead of rows"),
        }
    }

    async fn ask(&mut self, request: Request) -> anyhow::Result<Response> {
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.requests.write_all(&line).await?;
        let line = self.responses.next_line().await?;
        Ok(serde_json::from_str(&line.context("DataFusion in process has ended")?)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_are_text_with_nulls() {
        let context = SessionContext::new();
        let sql = "SELECT 1.50 AS a, 'x' AS b, NULL AS c, DATE '1998-09-02' AS d";
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let decimals = SessionContext::new_with_config(config);
        let (ran, batches) = run(&decimals, sql).await.unwrap();
        assert_eq!(ran.rows, 1);
        let cell = |text: &str| Some(text.to_owned());
        let expected = [vec![cell("1.50"), cell("x"), None, cell("1998-09-02")]];
        assert_eq!(values(&batches).unwrap(), expected);
        assert!(run(&context, "SELECT nothing").await.is_err());
    }

    #[test]
    fn requests_and_responses_are_one_line_each() {
        let request = serde_json::to_string(&Request::Run("select\n1".to_owned())).unwrap();
        assert!(!request.contains('\n'), "{request}");
        let response = Response::Values(vec![vec![Some("a\nb".to_owned()), None]]);
        let line = serde_json::to_string(&response).unwrap();
        assert!(!line.contains('\n'), "{line}");
        assert!(matches!(serde_json::from_str(&line).unwrap(), Response::Values(_)));
    }
}
