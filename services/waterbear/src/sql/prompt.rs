//! The prompt: lines with history and completion, statements of several lines.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, EditMode, Editor, Helper};

use super::args::{EditingMode, SqlArgs};
use super::statements::{Splitter, Statement};

/// Words that statements are made of.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "ALTER", "ANALYZE", "AND", "AS", "ASC", "BETWEEN", "BY", "CALL", "CASE", "CAST", "CATALOGS",
    "COLUMNS", "COMMIT", "CREATE", "CROSS JOIN", "DEALLOCATE", "DELETE", "DESC", "DESCRIBE",
    "DISTINCT", "DROP", "ELSE", "END", "EXCEPT", "EXECUTE", "EXISTS", "EXPLAIN", "FETCH", "FROM",
    "FULL JOIN", "FUNCTIONS", "GROUP BY", "HAVING", "IN", "INNER JOIN", "INSERT INTO", "INTERSECT",
    "IS NULL", "JOIN", "LEFT JOIN", "LIKE", "LIMIT", "NOT", "NULL", "OFFSET", "ON", "OR",
    "ORDER BY", "OVER", "PARTITION BY", "PREPARE", "RESET SESSION", "RIGHT JOIN", "ROLLBACK",
    "SCHEMAS", "SELECT", "SESSION", "SET SESSION", "SHOW", "START TRANSACTION", "STATS", "TABLE",
    "TABLES", "THEN", "UNION", "UNNEST", "UPDATE", "USE", "USING", "VALUES", "VIEW", "WHEN",
    "WHERE", "WITH",
];

/// What a line at the prompt says besides SQL.
const HELP: &str = "\
Statements end with ; (or with \\G, which shows each value on a line of its own) and may have
several lines. Besides them:
  help            this text
  history         the statements typed so far
  clear           clear the screen
  quit, exit      leave (so does Ctrl-D)
Ctrl-C cancels a running query, Tab completes names, Ctrl-R searches the history.";

/// Names of tables and columns to complete with, filled while the user types.
pub type Names = Arc<Mutex<Vec<String>>>;

/// What was typed.
pub enum Typed {
    /// Whole statements, in order.
    Statements(Vec<Statement>),
    /// The end.
    Quit,
}

/// The prompt of a terminal.
pub struct Prompt {
    editor: Editor<Assistant, DefaultHistory>,
    history_file: Option<PathBuf>,
}

impl Prompt {
    /// A prompt that completes with `names` as they come.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub fn new(args: &SqlArgs, names: Names) -> Result<Self, String> {
        let mode = match args.editing_mode {
            EditingMode::Emacs => EditMode::Emacs,
            EditingMode::Vi => EditMode::Vi,
        };
        let config = Config::builder()
            .edit_mode(mode)
            .completion_type(CompletionType::List)
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config).map_err(|error| error.to_string())?;
        let hinter = (!args.disable_auto_suggestion).then(HistoryHinter::new);
        editor.set_helper(Some(Assistant { names, hinter }));
        let history_file = args
            .history_file
            .clone()
            .or_else(|| std::env::var_os("TRINO_HISTORY_FILE").map(PathBuf::from))
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".waterbear_history")));
        if let Some(file) = &history_file {
            // The first time there is none.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history_file })
    }

    /// Reads lines until they make a statement. Blocks.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Typed, String> {
        let mut splitter = Splitter::at_prompt();
        let continued =
            format!("{:>width$}-> ", "", width = name.chars().count().saturating_sub(3));
        let mut typed = String::new();
        loop {
            let prompt = if typed.trim().is_empty() { name } else { &continued };
            let line = match self.editor.readline(prompt) {
                Ok(line) => line,
                // Ctrl-C forgets what was typed.
                Err(ReadlineError::Interrupted) => {
                    (splitter, typed) = (Splitter::at_prompt(), String::new());
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(Typed::Quit),
                Err(error) => return Err(format!("cannot read the terminal: {error}")),
            };
            if typed.trim().is_empty() {
                match line.trim().trim_end_matches(';').trim().to_lowercase().as_str() {
                    "quit" | "exit" => return Ok(Typed::Quit),
                    "help" => {
                        println!("{HELP}");
                        continue;
                    }
                    "history" => {
                        for (number, entry) in self.editor.history().iter().enumerate() {
                            println!("{:5}  {entry}", number + 1);
                        }
                        continue;
                    }
                    "clear" => {
                        let _ = self.editor.clear_screen();
                        continue;
                    }
                    _ => {}
                }
            }
            typed.push_str(&line);
            typed.push('\n');
            let statements = splitter.push(&format!("{line}\n"));
            if !statements.is_empty() {
                self.remember(typed.trim());
                return Ok(Typed::Statements(statements));
            }
        }
    }

    fn remember(&mut self, statement: &str) {
        let added = self.editor.add_history_entry(statement).unwrap_or(false);
        if let (true, Some(file)) = (added, &self.history_file) {
            // A history that cannot be kept must not disturb the work.
            let _ = self.editor.append_history(file);
        }
    }
}

/// Completes and suggests.
struct Assistant {
    names: Names,
    hinter: Option<HistoryHinter>,
}

impl Helper for Assistant {}
impl Validator for Assistant {}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        self.hinter.as_ref()?.hint(line, position, context)
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(complete(line, position, &names))
    }
}

/// Where the word at `position` starts, and what it may become.
fn complete(line: &str, position: usize, names: &[String]) -> (usize, Vec<String>) {
    let before = &line[..position];
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    if word.is_empty() {
        return (start, Vec::new());
    }
    let lower = word.to_lowercase();
    let is_lower = word.chars().next().is_some_and(char::is_lowercase);
    let keywords = KEYWORDS
        .iter()
        .filter(|keyword| keyword.to_lowercase().starts_with(&lower))
        .map(|keyword| if is_lower { keyword.to_lowercase() } else { (*keyword).to_owned() });
    let names = names.iter().filter(|name| name.starts_with(&lower)).cloned();
    let mut found: Vec<String> = names.chain(keywords).collect();
    found.sort();
    found.dedup();
    (start, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_keywords_in_their_case_and_names() {
        let names = ["nation".to_owned(), "n_name".to_owned()];
        let found = |line: &str| complete(line, line.len(), &names);
        assert_eq!(found("sel"), (0, vec!["select".to_owned()]));
        assert_eq!(found("SEL"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(found("select * from tpch.tiny.nat"), (24, vec!["nation".to_owned()]));
        assert_eq!(found("select (N_"), (8, vec!["n_name".to_owned()]));
        assert_eq!(found("select "), (7, vec![]));
        assert_eq!(found("select 'ä"), (8, vec![]));
    }
}
