//! `waterbear sql`: sends SQL to a coordinator and prints the rows, with the flags of Trino's CLI.
//!
//! Layout: [`args`] has the flags; this file runs statement after statement; [`statements`] splits
//! a text into statements, [`request`] makes requests, [`protocol`] follows one statement through
//! Trino's client protocol, [`session`] is what statements change for those after them,
//! [`output`] prints rows. At a terminal, [`prompt`] reads lines, [`progress`] shows how far a
//! query is and [`pager`] its rows.

mod args;
mod output;
mod pager;
pub(crate) mod progress;
mod prompt;
pub(crate) mod protocol;
pub(crate) mod request;
pub(crate) mod session;
mod statements;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};

pub use self::args::SqlArgs;
use self::output::{OutputFormat, Printer};
use self::pager::Pager;
use self::progress::Progress;
use self::prompt::{Names, Prompt, Typed};
use self::protocol::{Client, Failed, Page};
use self::session::Session;
use self::statements::{Splitter, Statement};

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
        Err(Stop::OutputClosed | Stop::PassedOver) => ExitCode::FAILURE,
    }
}

/// Why no more statements are run.
enum Stop {
    Failed(String),
    Interrupted,
    OutputClosed,
    /// Nothing is left to run, but something failed and has been told.
    PassedOver,
}

async fn run_all(args: SqlArgs) -> Result<(), Stop> {
    let failed = |text: String| Stop::Failed(text);
    let (server, session) = args.server_and_session().map_err(failed)?;
    let client = Client::new(&server, args.client_request_timeout).map_err(failed)?;
    let mut runner = Runner {
        client,
        session,
        format: args.output_format.unwrap_or(OutputFormat::Csv),
        out: io::stdout(),
        shows: Shows { progress: args.progress, summary: false, causes: args.debug },
        ignore_errors: args.ignore_errors,
        passed_over: false,
    };
    if let Some(text) = &args.execute {
        runner.run_text(text).await?;
        return runner.end();
    }
    if let Some(path) = &args.file {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|e| failed(format!("cannot read {}: {e}", path.display())))?;
        runner.run_text(text.strip_prefix('\u{feff}').unwrap_or(&text)).await?;
        return runner.end();
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        runner.run_stdin().await?;
        return runner.end();
    }
    let Runner { client, session, .. } = runner;
    let mut runner = Runner {
        client,
        session,
        format: args.output_format_interactive.unwrap_or(OutputFormat::Aligned),
        out: Pager::new(args.pager.clone()),
        shows: Shows { progress: !args.no_progress, summary: true, causes: args.debug },
        ignore_errors: true,
        passed_over: false,
    };
    runner.run_prompt(&args).await
}

/// What is shown besides rows, on stderr.
#[derive(Debug, Clone, Copy, Default)]
struct Shows {
    progress: bool,
    summary: bool,
    causes: bool,
}

struct Runner<W> {
    client: Client,
    session: Session,
    format: OutputFormat,
    out: W,
    shows: Shows,
    ignore_errors: bool,
    /// Whether a statement failed and the next was run all the same.
    passed_over: bool,
}

impl<W: Write> Runner<W> {
    /// All statements were run: a failure that was passed over still shows in the exit code.
    fn end(self) -> Result<(), Stop> {
        if self.passed_over { Err(Stop::PassedOver) } else { Ok(()) }
    }

    async fn run_text(&mut self, text: &str) -> Result<(), Stop> {
        let mut splitter = Splitter::default();
        let mut statements = splitter.push(text);
        statements.extend(splitter.rest());
        self.run_statements(&statements).await
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
            self.run_statements(&statements).await?;
            if end {
                return Ok(());
            }
        }
    }

    async fn run_statements(&mut self, statements: &[Statement]) -> Result<(), Stop> {
        for statement in statements {
            match self.run_statement(statement).await {
                Err(Stop::Failed(text)) if self.ignore_errors => {
                    eprintln!("{text}");
                    self.passed_over = true;
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn run_statement(&mut self, statement: &Statement) -> Result<(), Stop> {
        let mut next_uri = None;
        let mut progress = Progress::new(self.shows.progress);
        let answered = self.follow(statement, &mut next_uri, &mut progress);
        let stop = tokio::select! {
            result = answered => match result {
                Ok(()) => return Ok(()),
                Err(stop) => stop,
            },
            _ = tokio::signal::ctrl_c() => Stop::Interrupted,
        };
        progress.clear();
        // Nobody reads on: the cluster need not work on.
        if let Some(uri) = next_uri {
            self.client.cancel(&uri).await;
        }
        Err(stop)
    }

    /// Follows a statement to its end; `next_uri` is always where it could be cancelled.
    async fn follow(
        &mut self,
        statement: &Statement,
        next_uri: &mut Option<String>,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let format = if statement.vertical { OutputFormat::Vertical } else { self.format };
        let statement = statement.text.as_str();
        let mut printer = Printer::new(format, &mut self.out);
        let mut page = self.client.post(statement, &self.session).await.map_err(not_answered)?;
        let mut silent = true;
        loop {
            next_uri.clone_from(&page.next_uri);
            self.session.apply(&page.changes);
            if let Some(error) = &page.error {
                *next_uri = None;
                progress.clear();
                print(printer.finish())?;
                return Err(Stop::Failed(failure_text(statement, &page, error, self.shows.causes)));
            }
            let rows = page.data.as_deref().unwrap_or_default();
            silent &= rows.is_empty();
            if silent && page.next_uri.is_some() {
                progress.show(&page.stats);
            } else {
                // Rows and a line that is written over do not go together.
                progress.clear();
            }
            if let Some(columns) = &page.columns {
                print(printer.columns(columns))?;
            }
            print(printer.rows(rows))?;
            let Some(uri) = &page.next_uri else { break };
            page = self.client.get(uri).await.map_err(not_answered)?;
        }
        match &page.update_type {
            Some(update) => print(printer.update(update, page.update_count))?,
            None => print(printer.finish())?,
        }
        if self.shows.summary && page.update_type.is_none() {
            print(writeln!(self.out, "{}", progress::summary(&page.id, &page.stats)))?;
        }
        Ok(())
    }
}

impl Runner<Pager> {
    /// Reads and runs statements until the user leaves.
    async fn run_prompt(&mut self, args: &SqlArgs) -> Result<(), Stop> {
        let names = Names::default();
        let mut prompt = Prompt::new(args, Arc::clone(&names)).map_err(Stop::Failed)?;
        let mut named = None;
        loop {
            let (catalog, schema) = self.session.place();
            let place = (catalog.map(str::to_owned), schema.map(str::to_owned));
            let name = match (&place.0, &place.1) {
                (Some(catalog), Some(schema)) => format!("waterbear:{catalog}.{schema}> "),
                (Some(catalog), None) => format!("waterbear:{catalog}> "),
                _ => "waterbear> ".to_owned(),
            };
            if named.as_ref() != Some(&place) {
                self.learn_names(&names);
                named = Some(place);
            }
            let read = tokio::task::spawn_blocking(move || {
                let typed = prompt.read(&name);
                (prompt, typed)
            });
            let (back, typed) =
                read.await.map_err(|error| Stop::Failed(format!("the prompt ended: {error}")))?;
            prompt = back;
            let statements = match typed.map_err(Stop::Failed)? {
                Typed::Statements(statements) => statements,
                Typed::Quit => return Ok(()),
            };
            let stopped = self.run_statements(&statements).await;
            self.out.end();
            match stopped {
                Err(Stop::Interrupted) => eprintln!("Query aborted by user"),
                // The user left the pager before the last row.
                Ok(()) | Err(Stop::OutputClosed) => {}
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Asks in the background for the names of the session's schema, to complete with.
    fn learn_names(&self, names: &Names) {
        let (Some(catalog), Some(schema)) = self.session.place() else { return };
        let text = schema.replace('\'', "''");
        let catalog = catalog.replace('"', "\"\"");
        let statement = format!(
            "SELECT table_name FROM \"{catalog}\".information_schema.tables WHERE table_schema = '{text}' \
             UNION SELECT column_name FROM \"{catalog}\".information_schema.columns WHERE table_schema = '{text}'"
        );
        let (client, names) = (self.client.clone(), Arc::clone(names));
        let Ok(headers) = self.session.headers() else { return };
        tokio::spawn(async move {
            // Completion is a convenience: without names it knows keywords.
            if let Ok(found) = client.first_column(&statement, headers).await {
                *names.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
        });
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
    causes: bool,
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
    if causes && let Some(info) = &error.failure_info {
        text.push_str(&format!("\n{} ({:?}): {}", error.error_name, error.error_type, info.kind));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
