//! The properties of one catalog file, taken one by one; what is left over is a mistake.

use std::collections::BTreeMap;

/// Properties of a catalog that are still to be read, and the problems found so far.
pub(crate) struct Properties<'a> {
    catalog: &'a str,
    values: BTreeMap<&'a str, &'a str>,
    problems: Vec<String>,
}

impl<'a> Properties<'a> {
    /// Takes the properties of `catalog`; `connector.name` is the caller's own.
    pub(crate) fn new(catalog: &'a str, properties: &'a BTreeMap<String, String>) -> Self {
        let values = properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.trim()))
            .filter(|(name, _)| *name != "connector.name")
            .collect();
        Self { catalog, values, problems: Vec::new() }
    }

    /// Takes a property's value.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a str> {
        self.values.remove(name)
    }

    /// Takes a property whose value is one of a few words, in either case as Trino reads them.
    pub(crate) fn take_choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(value) = self.take(name) else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(value))
        {
            return *choice;
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.problem(format!("{name}={value} must be one of {}", words.join(", ")));
        default
    }

    /// Takes a size such as `64MB`, in bytes; as Trino's, units are powers of 1024.
    pub(crate) fn take_size(&mut self, name: &str, default: u64) -> u64 {
        let Some(value) = self.take(name) else { return default };
        size(value).unwrap_or_else(|| {
            self.problem(format!("{name}={value} must be a size such as 64MB"));
            default
        })
    }

    /// Takes a property of Trino's that has no meaning here, and says so in the log.
    pub(crate) fn ignore(&mut self, name: &str, reason: &str) {
        if self.take(name).is_some() {
            tracing::warn!(catalog = self.catalog, property = name, reason, "property ignored");
        }
    }

    /// Notes a problem.
    pub(crate) fn problem(&mut self, text: String) {
        self.problems.push(format!("catalog {}: {text}", self.catalog));
    }

    /// Returns all problems, with one for each property that nobody took.
    ///
    /// # Errors
    /// The problems, if there are any.
    pub(crate) fn finish(mut self, known: &[&str]) -> Result<(), Vec<String>> {
        let unknown: Vec<&str> = self.values.keys().copied().collect();
        for name in unknown {
            let hint = nearest(name, known);
            self.problem(format!("unknown property {name}{hint}"));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let power = ["B", "kB", "MB", "GB", "TB", "PB"].iter().position(|name| *name == unit)?;
    let bytes = number.trim().parse::<f64>().ok()? * (1_u64 << (10 * power)) as f64;
    (bytes >= 0.0 && bytes < i64::MAX as f64).then_some(bytes as u64)
}

/// Returns `; did you mean X?` for the known name nearest to `name`, or nothing if none is near.
pub(crate) fn nearest(name: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(4) / 2)
        .map(|(_, candidate)| format!("; did you mean {candidate}?"))
        .unwrap_or_default()
}

/// Counts the characters to insert, remove or replace to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
