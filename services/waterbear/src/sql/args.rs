//! The flags of `waterbear sql`: those of Trino's CLI.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::OutputFormat;
use super::session::Session;

/// Flags of `waterbear sql`.
#[derive(Debug, Clone, Default, Args)]
pub struct SqlArgs {
    /// The coordinator, with a default catalog and schema if they are in its path.
    #[arg(value_name = "URL", conflicts_with = "server")]
    pub url: Option<String>,
    /// The coordinator; by default http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Default catalog.
    #[arg(long)]
    pub catalog: Option<String>,
    /// Default schema.
    #[arg(long)]
    pub schema: Option<String>,
    /// Who asks; by default the user of this process.
    #[arg(long)]
    pub user: Option<String>,
    /// The user in whose name statements run.
    #[arg(long, value_name = "USER")]
    pub session_user: Option<String>,
    /// What asks, as lists of queries show it.
    #[arg(long, default_value = "waterbear-cli")]
    pub source: String,
    /// A session property; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub session: Vec<(String, String)>,
    /// The session's time zone; by default the server's.
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// The SQL path.
    #[arg(long)]
    pub path: Option<String>,
    /// A role; may be repeated.
    #[arg(long = "role", value_name = "CATALOG=ROLE", value_parser = name_and_value)]
    pub roles: Vec<(String, String)>,
    /// Information about the client, for the list of queries.
    #[arg(long, value_name = "TEXT")]
    pub client_info: Option<String>,
    /// Tags, separated by commas.
    #[arg(long, value_name = "TAGS")]
    pub client_tags: Option<String>,
    /// A token for traces.
    #[arg(long, value_name = "TOKEN")]
    pub trace_token: Option<String>,
    /// An estimate such as `CPU_TIME=10m`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub resource_estimate: Vec<(String, String)>,
    /// A credential for connectors; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub extra_credential: Vec<(String, String)>,
    /// How long a server that does not answer is asked again, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub client_request_timeout: Duration,
    /// Run these statements, separated by `;`, and exit.
    #[arg(long, value_name = "SQL", conflicts_with = "file")]
    pub execute: Option<String>,
    /// Run the statements of this file and exit.
    #[arg(long, short = 'f')]
    pub file: Option<PathBuf>,
    /// Go on with the next statement after one that failed.
    #[arg(long)]
    pub ignore_errors: bool,
    /// How rows are printed without a prompt; by default CSV.
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true)]
    pub output_format: Option<OutputFormat>,
    /// How rows are printed at the prompt; by default ALIGNED.
    #[arg(long, value_name = "FORMAT", value_enum, ignore_case = true)]
    pub output_format_interactive: Option<OutputFormat>,
    /// Show progress on stderr without a prompt, too.
    #[arg(long, overrides_with = "no_progress")]
    pub progress: bool,
    /// Show no progress at the prompt, either.
    #[arg(long)]
    pub no_progress: bool,
    /// The program that shows results at the prompt; empty for none. By default $TRINO_PAGER, then
    /// `less`.
    #[arg(long, value_name = "COMMAND")]
    pub pager: Option<String>,
    /// Which keys the prompt knows.
    #[arg(long, value_enum, ignore_case = true, default_value = "EMACS")]
    pub editing_mode: EditingMode,
    /// Where the prompt's history is kept; by default $TRINO_HISTORY_FILE, then
    /// ~/.waterbear_history.
    #[arg(long, value_name = "FILE")]
    pub history_file: Option<PathBuf>,
    /// Do not suggest statements of the history.
    #[arg(long)]
    pub disable_auto_suggestion: bool,
    /// Print the causes of failures.
    #[arg(long)]
    pub debug: bool,
}

/// The keys that a prompt knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum EditingMode {
    /// Those of Emacs.
    #[default]
    #[value(name = "EMACS")]
    Emacs,
    /// Those of vi.
    #[value(name = "VI")]
    Vi,
}

impl SqlArgs {
    /// Runs `sql` at `server` in the session that the flags' defaults make.
    pub fn for_statements(server: impl Into<String>, sql: impl Into<String>) -> Self {
        Self {
            server: Some(server.into()),
            source: "waterbear-cli".to_owned(),
            execute: Some(sql.into()),
            client_request_timeout: Duration::from_secs(30),
            ..Self::default()
        }
    }

    /// The coordinator's URL without a path, and the session that the flags make.
    ///
    /// # Errors
    /// When the URL has more than a catalog and a schema in its path.
    pub fn server_and_session(&self) -> Result<(String, Session), String> {
        let url = self.url.as_ref().or(self.server.as_ref());
        let url = url.map_or("http://127.0.0.1:8080", String::as_str);
        let after_scheme = url.find("://").map_or(0, |index| index + 3);
        let (host, path) = match url[after_scheme..].split_once('/') {
            Some((host, path)) => (&url[..after_scheme + host.len()], path),
            None => (url, ""),
        };
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (catalog, schema) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return Err(format!("'{url}': a URL has at most a catalog and a schema in its path"));
        }
        let own = |flag: &Option<String>, part: Option<&str>| {
            flag.clone().or_else(|| part.map(str::to_owned))
        };
        let mut session = Session::new(
            self.user.clone(),
            own(&self.catalog, catalog),
            own(&self.schema, schema),
            self.session.clone(),
        );
        session.about(self);
        Ok((host.to_owned(), session))
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

/// `30`, `30s`, `2m`: Trino's CLI takes durations.
fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: f64 = number.trim().parse().map_err(|_| "expected a duration such as 2m")?;
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected one of the units ms, s, m, h".to_owned()),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}
