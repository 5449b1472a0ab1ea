//! What the files and `-D` say, held against the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::expand::expand;
use crate::problems::{Origin, Problem};
use crate::properties::{self, Line, LineError, looks_like_a_name};
use crate::registry::{self, File, Process, Property, Treatment, nearest};

/// What standalone chooses by itself, for each role in it.
const STANDALONE_CHOOSES: [&str; 5] =
    ["coordinator", "discovery.uri", "http-server.https.port", "node.id", "node.internal-address"];

/// Where values come from, and what was found wrong so far.
pub(crate) struct Reader<'a> {
    pub(crate) process: Process,
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) problems: Vec<Problem>,
    /// Files that are there and cannot be read, which is a problem already.
    pub(crate) unread: Vec<PathBuf>,
    warnings: Vec<(String, Vec<String>)>,
}

/// A property as it was written.
pub(crate) struct Entry {
    pub(crate) origin: Origin,
    /// What relative paths in `${FILE:}` start at.
    base: PathBuf,
    pub(crate) name: String,
    pub(crate) written: Zeroizing<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(process: Process, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { process, env, problems: Vec::new(), unread: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a warning; properties with the same text share a line.
    pub(crate) fn warn(&mut self, subject: String, text: &str) {
        match self.warnings.iter_mut().find(|(known, _)| known == text) {
            Some((_, subjects)) => subjects.push(subject),
            None => self.warnings.push((text.to_owned(), vec![subject])),
        }
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        let warnings = std::mem::take(&mut self.warnings);
        warnings.into_iter().map(|(text, names)| format!("{}: {text}", names.join(", "))).collect()
    }

    /// The properties of a file; none where it does not exist or cannot be read.
    pub(crate) fn file(&mut self, path: &Path) -> Option<Vec<Entry>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                let origin = Origin::File(path.to_owned());
                self.problems.push(Problem::of_file(origin, format!("cannot be read: {error}")));
                self.unread.push(path.to_owned());
                return None;
            }
        };
        let (lines, errors) = properties::parse(&text);
        for (number, error) in errors {
            let origin = Origin::Line(path.to_owned(), number);
            self.problems.push(Problem::of_file(origin, error.to_string()));
        }
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let entry = |line: Line| Entry {
            origin: Origin::Line(path.to_owned(), line.number),
            base: base.clone(),
            name: line.name,
            written: line.value,
        };
        Some(lines.into_iter().map(entry).collect())
    }

    /// The properties after `-D`; of several with one name the last.
    fn overrides(&mut self, overrides: &[(String, String)]) -> Vec<Entry> {
        let mut entries = Vec::<Entry>::new();
        for (name, value) in overrides {
            let name = name.trim();
            if !looks_like_a_name(name) {
                let text = LineError::NotAProperty.to_string();
                self.problems.push(Problem::of_file(Origin::Override, text));
                continue;
            }
            entries.retain(|entry| canonical(&entry.name) != canonical(name));
            entries.push(Entry {
                origin: Origin::Override,
                base: PathBuf::new(),
                name: name.to_owned(),
                written: Zeroizing::new(value.trim().to_owned()),
            });
        }
        entries
    }

    /// Everything but catalogs.
    pub(crate) fn settings(
        &mut self,
        etc_dir: Option<&Path>,
        overrides: &[(String, String)],
    ) -> Settings {
        let mut settings = Settings::default();
        let overrides = self.overrides(overrides);
        for entry in &overrides {
            self.add(&mut settings, None, entry);
        }
        for file in [File::Config, File::Node, File::ExchangeManager] {
            let Some(path) = etc_dir.map(|folder| folder.join(file.name())) else { continue };
            let Some(entries) = self.file(&path) else { continue };
            settings.exchange_manager |= file == File::ExchangeManager;
            for entry in &entries {
                self.add(&mut settings, Some(file), entry);
            }
        }
        settings
    }

    fn add(&mut self, settings: &mut Settings, file: Option<File>, entry: &Entry) {
        let name = canonical(&entry.name);
        let (origin, shown) = (entry.origin.clone(), &entry.name);
        let Some((belongs, property)) = registry::find(name) else {
            self.unknown(entry, registry::names());
            return;
        };
        if let Some(file) = file.filter(|file| !file.takes(belongs)) {
            let text = format!("belongs in {}, not in {}", belongs.name(), file.name());
            self.problems.push(Problem::new(origin, shown, text));
            return;
        }
        match settings.values.get(name).map(|setting| &setting.origin) {
            Some(Origin::Override) => return,
            Some(other) => {
                let text = format!("is already set in {other}: keep one of the two");
                self.problems.push(Problem::new(origin, shown, text));
                return;
            }
            None => {}
        }
        if self.process == Process::Standalone && STANDALONE_CHOOSES.contains(&name) {
            if name != "coordinator" {
                let subject = format!("{origin}: {shown}");
                self.warn(subject, "standalone chooses it for each role");
            }
            return;
        }
        if property.roles.include(self.process) {
            let value = self.value(entry, property);
            settings.exchange_manager |= belongs == File::ExchangeManager;
            settings.values.insert(name.to_owned(), Setting { origin, value });
        }
    }

    pub(crate) fn unknown<'n>(&mut self, entry: &Entry, names: impl IntoIterator<Item = &'n str>) {
        let hint = match nearest(&entry.name, names) {
            Some(name) => format!("did you mean '{name}'?"),
            None => "see docs/configuration.md for all that exist".to_owned(),
        };
        let text = format!("is not a known property: {hint}");
        self.problems.push(Problem::new(entry.origin.clone(), &entry.name, text));
    }

    /// The value of a property that this process uses, expanded and checked; none where it is wrong
    /// or refused.
    pub(crate) fn value(
        &mut self,
        entry: &Entry,
        property: &'static Property,
    ) -> Option<Zeroizing<String>> {
        if let Treatment::Refused { reason, unless: None } = property.treatment {
            self.problems.push(Problem::new(entry.origin.clone(), &entry.name, reason));
            return None;
        }
        let checked = self.expanded(entry).and_then(|value| match property.kind.check(&value) {
            Ok(()) => Ok(value),
            Err(text) => Err(format!("{} {text}", quoted(entry, property))),
        });
        let value = match checked {
            Ok(value) => value,
            Err(text) => {
                self.problems.push(Problem::new(entry.origin.clone(), &entry.name, text));
                return None;
            }
        };
        let always = |unless: Option<&str>| unless.is_some_and(|u| u.eq_ignore_ascii_case(&value));
        match property.treatment {
            Treatment::Ignored { warning, unless } if !always(unless) => {
                self.warn(format!("{}: {}", entry.origin, entry.name), warning);
            }
            Treatment::Refused { reason, unless } if !always(unless) => {
                self.problems.push(Problem::new(entry.origin.clone(), &entry.name, reason));
                return None;
            }
            _ => {}
        }
        Some(value)
    }

    pub(crate) fn expanded(&self, entry: &Entry) -> Result<Zeroizing<String>, String> {
        expand(&entry.written, &entry.base, self.env).map_err(|error| error.to_string())
    }
}

/// Today's name of a property.
fn canonical(name: &str) -> &str {
    registry::ALIASES.iter().find(|(older, _)| *older == name).map_or(name, |(_, today)| today)
}

/// What a value is called in an error: as written, before expansion, and nothing of a secret.
fn quoted(entry: &Entry, property: &Property) -> String {
    // A URI with a user may have a password.
    if property.kind.is_sensitive() || entry.written.contains('@') || entry.written.is_empty() {
        return "the value".to_owned();
    }
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = entry.written.chars().take(100).map(one_line).collect();
    match text.contains("${") {
        true => format!("what '{text}' stands for"),
        false => format!("'{text}'"),
    }
}

/// One value; none where a problem was reported.
struct Setting {
    origin: Origin,
    value: Option<Zeroizing<String>>,
}

/// The values by today's names.
#[derive(Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, Setting>,
    /// Whether there is anything of an exchange manager.
    pub(crate) exchange_manager: bool,
}

impl Settings {
    /// Whether a property was set, rightly or wrongly.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Where a property was set.
    pub(crate) fn origin(&self, name: &str) -> Option<Origin> {
        self.values.get(name).map(|setting| setting.origin.clone())
    }

    /// What a property says: its value, or its default.
    fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(setting) => setting.value.as_deref().map(String::as_str),
            None => registry::find(name)?.1.default_value(),
        }
    }

    /// A value that its kind has checked. None where there is none, or a problem was reported.
    pub(crate) fn get<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        debug_assert!(registry::find(name).is_some(), "{name} is not in the registry");
        self.text(name).and_then(parse)
    }
}
