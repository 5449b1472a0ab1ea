//! Results at the prompt go through a pager, so that wide and long ones can be read.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

/// Shows what fits on a screen and ends; does not wrap; leaves what it showed.
const LESS: [&str; 5] = ["less", "-F", "-S", "-R", "-X"];

/// Where rows are printed: to a pager that starts with the first byte, else to stdout.
#[derive(Debug)]
pub struct Pager {
    command: Vec<String>,
    running: Option<Child>,
    /// It could not be started: rows go to stdout from now on.
    broken: bool,
}

impl Pager {
    /// The pager that a flag or `$TRINO_PAGER` names; empty for none.
    pub fn new(flag: Option<String>) -> Self {
        let named = flag.or_else(|| std::env::var("TRINO_PAGER").ok());
        let command: Vec<String> = match named {
            Some(named) => named.split_whitespace().map(str::to_owned).collect(),
            None => LESS.map(str::to_owned).to_vec(),
        };
        let broken = command.is_empty() || !io::stdout().is_terminal();
        Self { command, running: None, broken }
    }

    /// The statement's rows are all there: waits until they have been read.
    pub fn end(&mut self) {
        if let Some(mut pager) = self.running.take() {
            drop(pager.stdin.take());
            // Its exit code says nothing about the query.
            let _ = pager.wait();
        }
    }

    fn start(&mut self) {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::piped());
        match command.spawn() {
            Ok(pager) => self.running = Some(pager),
            Err(error) => {
                let missing_default = error.kind() == io::ErrorKind::NotFound
                    && self.command.first().is_some_and(|name| name == LESS[0]);
                if !missing_default {
                    eprintln!("cannot start the pager '{}': {error}", self.command.join(" "));
                }
                self.broken = true;
            }
        }
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.running.is_none() && !self.broken {
            self.start();
        }
        match self.running.as_mut().and_then(|pager| pager.stdin.as_mut()) {
            Some(pager) => pager.write(bytes),
            None => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.running.as_mut().and_then(|pager| pager.stdin.as_mut()) {
            Some(pager) => pager.flush(),
            None => io::stdout().flush(),
        }
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.end();
    }
}
