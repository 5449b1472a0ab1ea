//! What is wrong with a configuration: everything at once, one line each.

use std::fmt;
use std::path::PathBuf;

/// Where a property was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of a file, counted from one.
    Line(PathBuf, usize),
    /// A file or folder as a whole.
    File(PathBuf),
    /// After `-D`.
    Override,
    /// Nowhere, and it is needed: where it could be set.
    Absent(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Override => f.write_str("-D"),
            Origin::Absent(text) => f.write_str(text),
        }
    }
}

/// One thing that is wrong: `file:line: property: what is wrong: what to do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(crate) origin: Origin,
    pub(crate) property: Option<String>,
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(origin: Origin, property: &str, text: impl Into<String>) -> Self {
        Self { origin, property: Some(property.to_owned()), text: text.into() }
    }

    pub(crate) fn of_file(origin: Origin, text: impl Into<String>) -> Self {
        Self { origin, property: None, text: text.into() }
    }

    /// The property that the problem is about, unless it is about a line or a file.
    pub fn property(&self) -> Option<&str> {
        self.property.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.property {
            Some(property) => write!(f, "{}: {property}: {}", self.origin, self.text),
            None => write!(f, "{}: {}", self.origin, self.text),
        }
    }
}

/// All that is wrong with a configuration; never empty. Displays one line for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Each problem, in the order of the files.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many problems there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
