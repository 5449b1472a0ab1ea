//! What values a property takes.

use std::net::IpAddr;
use std::time::Duration;

use waterbear_ids::NodeId;

use crate::location::{BaseDirectories, DiscoveryUri, is_host, parse_port};
use crate::units::{DataSize, MemorySize, parse_duration};
use crate::{Secret, units::UnitError};

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number, at least that.
    Int(u64),
    /// A number, at least that.
    Number(f64),
    /// A size such as `64MB`.
    Size,
    /// A size, or percent of the machine's memory.
    Memory,
    /// A duration, at least that.
    Time(Duration),
    /// A number of threads, or `2C`: so many for each core.
    Threads,
    /// A TCP port; 0 is any that is free.
    Port,
    /// `node.environment`: lower-case letters, digits, `_` and `-`.
    Environment,
    /// `node.id`.
    NodeId,
    /// A host name or IP address.
    Host,
    /// An IP address of this machine.
    Ip,
    /// A path in the file system.
    Path,
    /// An absolute path or `file://` URI.
    Location,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// A comma list of these words, in any case.
    SetOf(&'static [&'static str]),
    /// A comma list of `https://host:port`.
    DiscoveryUris,
    /// A comma list of base directories.
    BaseDirectories,
    /// The cluster's secret: never printed.
    Secret,
    /// Another secret: any text, never printed.
    Hidden,
}

/// Any duration.
pub(crate) const TIME: Kind = Kind::Time(Duration::ZERO);
/// Any whole number.
pub(crate) const COUNT: Kind = Kind::Int(0);

impl Kind {
    /// Whether values must never be printed.
    pub const fn is_sensitive(self) -> bool {
        matches!(self, Kind::Secret | Kind::Hidden)
    }

    /// What the documentation calls it.
    pub fn name(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Bool => "boolean".to_owned(),
            Kind::Int(0) => "integer".to_owned(),
            Kind::Int(least) => format!("integer ≥ {least}"),
            Kind::Number(least) => format!("number ≥ {least}"),
            Kind::Size => "size".to_owned(),
            Kind::Memory => "size or percent".to_owned(),
            Kind::Time(least) if least.is_zero() => "duration".to_owned(),
            Kind::Time(least) => format!("duration ≥ {least:?}"),
            Kind::Threads => "integer, or `2C` for two a core".to_owned(),
            Kind::Port => "port".to_owned(),
            Kind::Environment | Kind::NodeId => "name".to_owned(),
            Kind::Host => "host".to_owned(),
            Kind::Ip => "IP address".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Location => "absolute path or `file://` URI".to_owned(),
            Kind::OneOf(words) => words.join(", "),
            Kind::SetOf(words) => format!("list of {}", words.join(", ")),
            Kind::DiscoveryUris => "list of URIs".to_owned(),
            Kind::BaseDirectories => "list of absolute paths, `file://` or `s3://` URIs".to_owned(),
            Kind::Secret | Kind::Hidden => "secret".to_owned(),
        }
    }

    /// Whether a text is such a value; the error completes "the value …" and never quotes it.
    pub fn check(self, text: &str) -> Result<(), String> {
        let expected = |valid: bool, what: &str| match valid {
            true => Ok(()),
            false => Err(format!("is not {what}")),
        };
        if text.is_empty() {
            return Err("is empty: give a value, or remove the line".to_owned());
        }
        match self {
            Kind::Text | Kind::Hidden => Ok(()),
            Kind::Bool => expected(boolean(text).is_some(), "true or false"),
            Kind::Int(least) => expected(
                integer(text).is_some_and(|number| number >= least),
                &format!("a whole number of at least {least}"),
            ),
            Kind::Number(least) => expected(
                number(text).is_some_and(|number| number >= least),
                &format!("a number of at least {least}"),
            ),
            Kind::Size => text.parse::<DataSize>().map(drop).map_err(|e| e.to_string()),
            Kind::Memory => text.parse::<MemorySize>().map(drop).map_err(|e| e.to_string()),
            Kind::Time(least) => check_time(text, least),
            Kind::Threads => {
                expected(threads(text).is_some(), "a whole number of at least 1, or 2C for two a core")
            }
            Kind::Port => expected(parse_port(text).is_some(), "a port from 0 (any) to 65535"),
            Kind::Environment => expected(
                is_environment(text),
                "1 to 64 lower-case letters, digits, '_' and '-', a letter or digit first",
            ),
            Kind::NodeId => expected(
                text.parse::<NodeId>().is_ok(),
                "1 to 64 characters of letters, digits, '-', '_' and '.'",
            ),
            Kind::Host => expected(
                is_host(text) && !is_unspecified(text),
                "a host name or IP address, without a port, by which other nodes reach this one",
            ),
            Kind::Ip => expected(text.parse::<IpAddr>().is_ok(), "an IP address"),
            Kind::Path => expected(!text.contains('\0'), "a path"),
            Kind::Location => check_location(text),
            Kind::OneOf(words) => {
                expected(word(text, words).is_some(), &format!("one of {}", words.join(", ")))
            }
            Kind::SetOf(words) => expected(
                set(text, words).is_some(),
                &format!("a comma list of some of {}", words.join(", ")),
            ),
            Kind::DiscoveryUris => expected(
                discovery_uris(text).is_some(),
                "a comma list of https://host:port, without user, path or query",
            ),
            Kind::BaseDirectories => BaseDirectories::parse(text).map(drop),
            Kind::Secret => Secret::parse(text).map(drop).map_err(|error| {
                format!("{error}: make one with 'waterbear secret generate' or 'openssl rand 512 | base64'")
            }),
        }
    }
}

fn check_time(text: &str, least: Duration) -> Result<(), String> {
    match parse_duration(text) {
        Ok(time) if time < least => Err(format!("is less than {least:?}")),
        Ok(_) => Ok(()),
        Err(
            error @ (UnitError::NotANumber(_) | UnitError::UnknownUnit(_) | UnitError::TooLarge),
        ) => Err(error.to_string()),
    }
}

fn check_location(text: &str) -> Result<(), String> {
    if text.starts_with("s3://") {
        return Err("is on S3, which is not supported yet: use a local folder".to_owned());
    }
    let path = text.strip_prefix("file://").unwrap_or(text);
    match path.starts_with('/') {
        true => Ok(()),
        false => Err("is not an absolute path or a file:// URI".to_owned()),
    }
}

fn is_environment(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 64
        && text.starts_with(allowed)
        && text.chars().all(|c| allowed(c) || matches!(c, '_' | '-'))
}

fn is_unspecified(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn integer(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

pub(crate) fn threads(text: &str) -> Option<usize> {
    let threads = match text.strip_suffix(['C', 'c']) {
        Some(factor) => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (number(factor)? * cores as f64).ceil() as usize
        }
        None => usize::try_from(integer(text)?).ok()?,
    };
    (1..=65_536).contains(&threads).then_some(threads)
}

pub(crate) fn word(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied()
}

pub(crate) fn set(text: &str, words: &[&'static str]) -> Option<Vec<&'static str>> {
    text.split(',').map(|item| word(item.trim(), words)).collect()
}

pub(crate) fn discovery_uris(text: &str) -> Option<Vec<DiscoveryUri>> {
    text.split(',').map(|item| DiscoveryUri::parse(item.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_kind() {
        let words = Kind::OneOf(&["NONE", "TASK"]);
        for (kind, good, bad) in [
            (Kind::Bool, "True", "yes"),
            (Kind::Int(1), "12", "0"),
            (Kind::Int(0), "0", "-1"),
            (Kind::Int(0), "7", "99999999999999999999"),
            (Kind::Number(1.0), "1.5", "0.9"),
            (Kind::Number(0.0), "2", "NaN"),
            (Kind::Size, "64MB", "64mb"),
            (Kind::Memory, "30%", "30"),
            (Kind::Time(Duration::from_secs(1)), "1s", "999ms"),
            (Kind::Threads, "2C", "0"),
            (Kind::Threads, "8", "8D"),
            (Kind::Port, "65535", "65536"),
            (Kind::Port, "0", "+1"),
            (Kind::Environment, "prod_1", "Prod"),
            (Kind::NodeId, "worker-1", "worker 1"),
            (Kind::Host, "::1", "0.0.0.0"),
            (Kind::Host, "w1.example", "w1:8443"),
            (Kind::Ip, "0.0.0.0", "localhost"),
            (Kind::Location, "file:///a", "a"),
            (Kind::Location, "/a", "s3://a"),
            (words, "task", "QUERY"),
            (Kind::SetOf(&["A", "B"]), "a, B", "A,"),
            (Kind::DiscoveryUris, "https://a:1, https://b:2", "https://a:1,"),
        ] {
            assert_eq!(kind.check(good), Ok(()), "{kind:?} {good}");
            assert!(kind.check(bad).is_err(), "{kind:?} {bad}");
            assert!(kind.check("").is_err(), "{kind:?}");
        }
    }
}
