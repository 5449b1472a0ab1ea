//! The log of a process.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged when the environment says nothing. Libraries say at `info` what only their
/// authors need.
const SERVICE: &str = "info,datafusion=warn,h2=warn,hyper=warn,rustls=warn";

/// Starts logging to stderr: level and targets by `WATERBEAR_LOG`, else `RUST_LOG`, else `info`.
/// A filter that is not valid is reported and the default used. Later calls change nothing.
pub fn init_logging() {
    init(SERVICE);
}

/// The same for a command whose output is for a person: without the environment, only warnings.
pub fn init_quiet_logging() {
    init("warn");
}

fn init(default: &'static str) {
    let (text, variable) = filter_text(default, |name| std::env::var(name).ok());
    let parsed = EnvFilter::try_new(&text);
    let problem = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new(default));

    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let (Ok(()), Some(problem)) = (started, problem) {
        tracing::warn!(variable, value = text, problem, "log filter is not valid; default used");
    }
}

/// The filter and the variable that it came from.
fn filter_text(
    default: &'static str,
    variable: impl Fn(&str) -> Option<String>,
) -> (String, &'static str) {
    let set = |name: &'static str| {
        let value = variable(name).filter(|value| !value.trim().is_empty());
        value.map(|value| (value, name))
    };
    set("WATERBEAR_LOG")
        .or_else(|| set("RUST_LOG"))
        .unwrap_or_else(|| (default.to_owned(), "default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variable_comes_before_the_general_one() {
        let both = |name: &str| Some(format!("{name}=debug"));
        assert_eq!(filter_text(SERVICE, both).1, "WATERBEAR_LOG");
        let general = |name: &str| (name == "RUST_LOG").then(|| "debug".to_owned());
        assert_eq!(filter_text(SERVICE, general), ("debug".to_owned(), "RUST_LOG"));
        assert_eq!(filter_text(SERVICE, |_| Some(" ".to_owned())).1, "default");
    }

    #[test]
    fn default_filter_is_valid() {
        assert!(EnvFilter::try_new(SERVICE).is_ok());
    }
}
