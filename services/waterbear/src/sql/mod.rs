//! `waterbear sql`: sends SQL to a coordinator and prints the rows, with the flags of Trino's CLI.
//!
//! Layout: this file has the flags and runs statement after statement; [`statements`] splits a
//! text into statements, [`request`] makes requests, [`protocol`] follows one statement through
//! Trino's client protocol, [`session`] is what statements change for those after them,
//! [`output`] prints rows.

mod output;
mod protocol;
pub(crate) mod request;
mod session;
mod statements;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::output::{OutputFormat, Printer};
use self::protocol::{Client, Failed, Page};
use self::session::Session;
use self::statements::Splitter;

/// Flags of `waterbear sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The coordinator.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// Default catalog.
    #[arg(long)]
    pub catalog: Option<String>,
    /// Default schema.
    #[arg(long)]
    pub schema: Option<String>,
    /// Who asks; by default the user of this process.
    #[arg(long)]
    pub user: Option<String>,
    /// A session property; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub session: Vec<(String, String)>,
    /// Run these statements, separated by `;`, and exit.
    #[arg(long, value_name = "SQL", conflicts_with = "file")]
    pub execute: Option<String>,
    /// Run the statements of this file and exit.
    #[arg(long, short = 'f')]
    pub file: Option<PathBuf>,
    /// How rows are printed; by default CSV, and ALIGNED when statements are typed in a terminal.
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true)]
    pub output_format: Option<OutputFormat>,
}

impl SqlArgs {
    /// Runs `sql` at `server` in the session that the flags' defaults make.
    pub fn for_statements(server: impl Into<String>, sql: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            catalog: None,
            schema: None,
            user: None,
            session: Vec::new(),
            execute: Some(sql.into()),
            file: None,
            output_format: None,
        }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected name=value".to_owned()),
    }
}

/// The exit code of a process that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs the statements one after the other until one fails. Rows go to stdout, all else to stderr.
/// Exits with 0, with 1 when a statement failed, or with 130 after Ctrl-C.
pub async fn run(args: SqlArgs) -> ExitCode {
    match run_all(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Failed(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
        Err(Stop::Interrupted) => ExitCode::from(INTERRUPTED),
        // Whoever reads our output has enough.
        Err(Stop::OutputClosed) => ExitCode::FAILURE,
    }
}

/// Why no more statements are run.
enum Stop {
    Failed(String),
    Interrupted,
    OutputClosed,
}

async fn run_all(args: SqlArgs) -> Result<(), Stop> {
    let failed = |text: String| Stop::Failed(text);
    let session = Session::new(args.user, args.catalog, args.schema, args.session);
    let client = Client::new(&args.server).map_err(failed)?;
    let (source, default_format) = match (args.execute, args.file) {
        (Some(text), _) => (Source::Text(text), OutputFormat::Csv),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|e| failed(format!("cannot read {}: {e}", path.display())))?;
            (Source::Text(text), OutputFormat::Csv)
        }
        (None, None) if io::stdin().is_terminal() => (Source::Stdin, OutputFormat::Aligned),
        (None, None) => (Source::Stdin, OutputFormat::Csv),
    };
    let format = args.output_format.unwrap_or(default_format);
    let mut runner = Runner { client, session, format, out: io::stdout() };
    match source {
        Source::Text(text) => runner.run_text(&text).await,
        Source::Stdin => runner.run_stdin().await,
    }
}

enum Source {
    Text(String),
    Stdin,
}

struct Runner<W> {
    client: Client,
    session: Session,
    format: OutputFormat,
    out: W,
}

impl<W: Write> Runner<W> {
    async fn run_text(&mut self, text: &str) -> Result<(), Stop> {
        let mut splitter = Splitter::default();
        let mut statements = splitter.push(text);
        statements.extend(splitter.rest());
        for statement in statements {
            self.run_statement(&statement).await?;
        }
        Ok(())
    }

    /// Runs each statement as soon as its `;` is read.
    async fn run_stdin(&mut self) -> Result<(), Stop> {
        let mut splitter = Splitter::default();
        loop {
            let read = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                io::stdin().lock().read_line(&mut line).map(|_| line)
            });
            let line = tokio::select! {
                line = read => line.map_err(io::Error::other).and_then(|line| line),
                _ = tokio::signal::ctrl_c() => return Err(Stop::Interrupted),
            };
            let line = line.map_err(|e| Stop::Failed(format!("cannot read stdin: {e}")))?;
            let end = line.is_empty();
            let mut statements = splitter.push(&line);
            if end {
                statements.extend(splitter.rest());
            }
            for statement in statements {
                self.run_statement(&statement).await?;
            }
            if end {
                return Ok(());
            }
        }
    }

    async fn run_statement(&mut self, statement: &str) -> Result<(), Stop> {
        let mut next_uri = None;
        let answered = self.follow(statement, &mut next_uri);
        let stop = tokio::select! {
            result = answered => match result {
                Ok(()) => return Ok(()),
                Err(stop) => stop,
            },
            _ = tokio::signal::ctrl_c() => Stop::Interrupted,
        };
        // Nobody reads on: the cluster need not work on.
        if let Some(uri) = next_uri {
            self.client.cancel(&uri).await;
        }
        Err(stop)
    }

    /// Follows a statement to its end; `next_uri` is always where it could be cancelled.
    async fn follow(&mut self, statement: &str, next_uri: &mut Option<String>) -> Result<(), Stop> {
        let mut printer = Printer::new(self.format, &mut self.out);
        let mut page = self.client.post(statement, &self.session).await.map_err(not_answered)?;
        loop {
            next_uri.clone_from(&page.next_uri);
            self.session.apply(&page.changes);
            if let Some(error) = &page.error {
                *next_uri = None;
                print(printer.finish())?;
                return Err(Stop::Failed(failure_text(statement, &page, error)));
            }
            if let Some(columns) = &page.columns {
                print(printer.columns(columns))?;
            }
            print(printer.rows(page.data.as_deref().unwrap_or_default()))?;
            let Some(uri) = &page.next_uri else { break };
            page = self.client.get(uri).await.map_err(not_answered)?;
        }
        match &page.update_type {
            Some(update) => print(printer.update(update, page.update_count)),
            None => print(printer.finish()),
        }
    }
}

fn print(result: io::Result<()>) -> Result<(), Stop> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Stop::OutputClosed),
        Err(error) => Err(Stop::Failed(format!("cannot write: {error}"))),
    }
}

fn not_answered(failed: Failed) -> Stop {
    Stop::Failed(format!("Error running command: {failed}"))
}

/// The text of a failed query, as Trino's CLI prints it.
fn failure_text(
    statement: &str,
    page: &Page,
    error: &waterbear_protocol::client::QueryError,
) -> String {
    let mut text = format!("Query {} failed: {}", page.id, error.message);
    let place = error.error_location.and_then(|location| {
        let line = usize::try_from(location.line_number).ok()?.checked_sub(1)?;
        let column = usize::try_from(location.column_number).ok()?.checked_sub(1)?;
        Some((line, column, statement.lines().nth(line)?))
    });
    if let Some((line, column, source)) = place {
        let prefix = format!("LINE {}: ", line + 1);
        let mark = " ".repeat(prefix.len() + column);
        text.push_str(&format!("\n{prefix}{source}\n{mark}^"));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
