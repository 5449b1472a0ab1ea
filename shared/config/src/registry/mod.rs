//! The table of all properties: what each is, which roles use it, and how it is treated.
//!
//! One module for each part; the text here is the text of `docs/configuration.md`.

mod catalog;
mod discovery;
mod exchange;
mod fault_tolerance;
pub(crate) mod kind;
mod node;
mod query;
mod server;
mod spool;

use std::fmt;

use waterbear_protocol::membership::Role;

pub use catalog::{CONNECTORS, Connector, OTHER_CONNECTORS};
pub use kind::Kind;

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// A process of one role.
    One(Role),
    /// All roles in one process, which chooses what is left open.
    Standalone,
}

impl From<Role> for Process {
    fn from(role: Role) -> Self {
        Process::One(role)
    }
}

/// A set of roles: those that use a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

pub(crate) const COORDINATOR: Roles = Roles(2);
pub(crate) const WORKER: Roles = Roles(4);
/// Coordinator and worker.
pub(crate) const QUERYING: Roles = Roles(2 | 4);
/// Those that connect to discovery.
pub(crate) const CONNECTING: Roles = Roles(2 | 4 | 8);
/// Those with an internal listener: discovery and worker.
pub(crate) const LISTENING: Roles = Roles(1 | 4);
/// Those that run as services.
pub(crate) const SERVICES: Roles = Roles(1 | 2 | 4);
/// Services, and the operator's tool.
pub(crate) const ALL: Roles = Roles(1 | 2 | 4 | 8);

impl Roles {
    /// Whether a process uses what these roles use. Standalone is all services.
    pub const fn include(self, process: Process) -> bool {
        let bits = match process {
            Process::One(Role::Discovery) => 1,
            Process::One(Role::Coordinator) => 2,
            Process::One(Role::Worker) => 4,
            Process::One(Role::Operator) => 8,
            Process::Standalone => 1 | 2 | 4,
        };
        self.0 & bits != 0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if SERVICES.0 & self.0 == SERVICES.0 {
            return f.write_str("all");
        }
        let names = [(1, "discovery"), (2, "coordinator"), (4, "worker")];
        let of_set = names.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name);
        f.write_str(&of_set.collect::<Vec<_>>().join(", "))
    }
}

/// How a property is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It does what it says.
    Honoured,
    /// It is checked and accepted, and a warning says what replaces it.
    Ignored {
        /// What replaces it.
        warning: &'static str,
        /// The value with which it is accepted silently, since that always holds.
        unless: Option<&'static str>,
    },
    /// It stops the start.
    Refused {
        /// Why, and what to do.
        reason: &'static str,
        /// The value with which it is accepted, since that always holds.
        unless: Option<&'static str>,
    },
}

/// One property of a file.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name; ends with `.*` where it stands for all names with that start.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its default; empty where there is none, a text in parentheses where it is no constant.
    pub default: &'static str,
    /// Who uses it. Others accept it silently.
    pub roles: Roles,
    /// What it is, on one line.
    pub about: &'static str,
    /// How it is treated.
    pub treatment: Treatment,
}

pub(crate) const fn honoured(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    roles: Roles,
    about: &'static str,
) -> Property {
    Property { name, kind, default, roles, about, treatment: Treatment::Honoured }
}

pub(crate) const fn ignored(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    roles: Roles,
    about: &'static str,
    warning: &'static str,
) -> Property {
    let treatment = Treatment::Ignored { warning, unless: None };
    Property { name, kind, default, roles, about, treatment }
}

pub(crate) const fn refused(
    name: &'static str,
    roles: Roles,
    about: &'static str,
    reason: &'static str,
) -> Property {
    let treatment = Treatment::Refused { reason, unless: None };
    Property { name, kind: Kind::Text, default: "", roles, about, treatment }
}

impl Property {
    /// Its value is never printed.
    pub(crate) const fn hidden(mut self) -> Self {
        self.kind = Kind::Hidden;
        self
    }

    /// Accepted silently with that value.
    pub(crate) const fn unless(mut self, value: &'static str) -> Self {
        self.treatment = match self.treatment {
            Treatment::Honoured => Treatment::Honoured,
            Treatment::Ignored { warning, .. } => {
                Treatment::Ignored { warning, unless: Some(value) }
            }
            Treatment::Refused { reason, .. } => Treatment::Refused { reason, unless: Some(value) },
        };
        self
    }

    /// The default as a value, where it is a constant.
    pub fn default_value(&self) -> Option<&'static str> {
        (!self.default.is_empty() && !self.default.starts_with('(')).then_some(self.default)
    }

    fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => self.name == name,
        }
    }
}

/// The file that a property belongs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// `node.properties`; `config.properties` will do.
    Node,
    /// `config.properties`; `node.properties` will do.
    Config,
    /// `exchange-manager.properties`.
    ExchangeManager,
}

impl File {
    /// The file's name in the etc folder.
    pub const fn name(self) -> &'static str {
        match self {
            File::Node => "node.properties",
            File::Config => "config.properties",
            File::ExchangeManager => "exchange-manager.properties",
        }
    }

    /// Whether what belongs in `other` may stand here.
    pub(crate) fn takes(self, other: File) -> bool {
        (self == File::ExchangeManager) == (other == File::ExchangeManager)
    }
}

/// A part of the table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its heading.
    pub title: &'static str,
    /// Where its properties are set.
    pub file: File,
    /// Its properties.
    pub properties: &'static [Property],
}

/// All properties but those of catalogs.
pub const TABLES: &[Table] = &[
    Table { title: "Node", file: File::Node, properties: node::PROPERTIES },
    Table {
        title: "Discovery and shutdown",
        file: File::Config,
        properties: discovery::PROPERTIES,
    },
    Table { title: "Internal communication", file: File::Config, properties: server::INTERNAL },
    Table { title: "HTTP server", file: File::Config, properties: server::HTTP },
    Table { title: "Queries and tasks", file: File::Config, properties: query::PROPERTIES },
    Table { title: "Retries", file: File::Config, properties: fault_tolerance::RETRIES },
    Table {
        title: "Fault-tolerant execution",
        file: File::Config,
        properties: fault_tolerance::EXECUTION,
    },
    Table { title: "Exchange between nodes", file: File::Config, properties: exchange::PROPERTIES },
    Table { title: "Exchange manager", file: File::ExchangeManager, properties: spool::PROPERTIES },
];

/// Trino's older names: (older, today's).
pub const ALIASES: &[(&str, &str)] = &[
    ("exchange.base-directory", "exchange.base-directories"),
    ("max-tasks-waiting-for-node-per-stage", "max-tasks-waiting-for-node-per-query"),
    ("fault-tolerant-execution-partition-count", "fault-tolerant-execution-max-partition-count"),
    (
        "fault-tolerant-execution.exchange-encryption-enabled",
        "external-exchange-encryption-enabled",
    ),
    (
        "fault-tolerant-execution-exchange-encryption-enabled",
        "external-exchange-encryption-enabled",
    ),
    ("task.shard.max-threads", "task.max-worker-threads"),
];

/// A property by name, and where it belongs.
pub fn find(name: &str) -> Option<(File, &'static Property)> {
    let name = ALIASES.iter().find(|(older, _)| *older == name).map_or(name, |(_, today)| today);
    let all = TABLES.iter().flat_map(|t| t.properties.iter().map(|p| (t.file, p)));
    // A name of its own comes before a `.*` that would match as well.
    let exact = all.clone().find(|(_, property)| property.name == name);
    exact.or_else(|| all.clone().find(|(_, property)| property.matches(name)))
}

/// All names of files other than catalogs, to compare typing errors with.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.properties).map(|property| property.name)
}

/// The name that is nearest to what was written, if any is near.
pub(crate) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = written.to_ascii_lowercase().replace('_', "-");
    let distance = |name: &str| strsim::osa_distance(&folded, &name.replace('_', "-"));
    let (nearest, distance) =
        names.into_iter().map(|name| (name, distance(name))).min_by_key(|(_, d)| *d)?;
    (distance <= (folded.len() / 3).max(2)).then_some(nearest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Property> {
        let catalogs = CONNECTORS.iter().flat_map(|connector| connector.properties);
        TABLES.iter().flat_map(|table| table.properties).chain(catalogs)
    }

    #[test]
    fn every_name_stands_once_and_has_a_text() {
        let mut seen = std::collections::BTreeSet::new();
        for property in all() {
            assert!(seen.insert(property.name), "{} stands twice", property.name);
            assert!(crate::properties::looks_like_a_name(property.name.trim_end_matches(".*")));
            let text = match property.treatment {
                Treatment::Honoured => property.about,
                Treatment::Ignored { warning, .. } => warning,
                Treatment::Refused { reason, .. } => reason,
            };
            assert!(!property.about.is_empty() && !text.is_empty(), "{}", property.name);
            assert!(!property.about.contains('\n') && !property.about.ends_with('.'), "{text}");
            assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
        }
        for (older, today) in ALIASES {
            assert!(!seen.contains(older), "{older} stands in the table, too");
            assert!(seen.contains(today), "{today}");
        }
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for property in all() {
            if let Some(default) = property.default_value() {
                assert_eq!(property.kind.check(default), Ok(()), "{}", property.name);
            }
            if let Treatment::Ignored { unless: Some(value), .. }
            | Treatment::Refused { unless: Some(value), .. } = property.treatment
            {
                assert_eq!(property.kind.check(value), Ok(()), "{}", property.name);
            }
        }
    }

    #[test]
    fn typing_errors_find_the_name_that_was_meant() {
        for (written, meant) in [
            ("retry_policy", "retry-policy"),
            ("internal-comunication.shared-secret", "internal-communication.shared-secret"),
            ("http-server.htpps.port", "http-server.https.port"),
            ("node.ID", "node.id"),
            ("cordinator", "coordinator"),
        ] {
            assert_eq!(nearest(written, names()), Some(meant));
        }
        assert_eq!(nearest("something.completely.different", names()), None);
    }

    #[test]
    fn older_names_and_prefixes_are_found() {
        assert_eq!(find("exchange.base-directory").unwrap().1.name, "exchange.base-directories");
        assert_eq!(
            find("exchange.http-client.idle-timeout").unwrap().1.name,
            "exchange.http-client.*"
        );
        assert!(find("exchange.http-clientele").is_none());
    }
}
