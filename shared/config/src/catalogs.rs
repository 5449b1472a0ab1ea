//! `catalog/NAME.properties`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Catalog;
use crate::problems::{Origin, Problem};
use crate::registry::{self, CONNECTORS, Connector, OTHER_CONNECTORS, Treatment, nearest};
use crate::settings::{Entry, Reader};

impl Reader<'_> {
    /// The catalogs of an etc folder, by name. Problems are recorded, and their catalogs left out.
    pub(crate) fn catalogs(&mut self, etc_dir: &Path) -> Vec<Catalog> {
        let folder = etc_dir.join("catalog");
        let mut files = match catalog_files(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                let text = format!("cannot be read: {error}");
                self.problems.push(Problem::of_file(Origin::File(folder), text));
                return Vec::new();
            }
        };
        files.sort();
        files.into_iter().filter_map(|(name, path)| self.catalog(name, path)).collect()
    }

    fn catalog(&mut self, name: String, path: PathBuf) -> Option<Catalog> {
        let origin = Origin::File(path.clone());
        let valid =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        let refused = if name.is_empty() || !name.chars().all(valid) {
            Some(
                "the catalog's name may have only a-z, 0-9, '_' and '-': give the file another name",
            )
        } else if name == "system" {
            Some("the catalog 'system' is always there: give the file another name")
        } else {
            None
        };
        if let Some(text) = refused {
            self.problems.push(Problem::of_file(origin, text));
        }
        let entries = self.file(&path)?;
        let connector = self.connector(&path, &entries)?;
        let properties = self.catalog_properties(&path, &entries, connector);
        refused.is_none().then(|| Catalog {
            name,
            connector_name: connector.name.to_owned(),
            properties,
            file: path,
        })
    }

    fn connector(&mut self, path: &Path, entries: &[Entry]) -> Option<&'static Connector> {
        let names = || CONNECTORS.iter().map(|connector| connector.name);
        let all = names().collect::<Vec<_>>().join(", ");
        let Some(entry) = entries.iter().find(|entry| entry.name == "connector.name") else {
            let near = entries.iter().find(|e| nearest(&e.name, ["connector.name"]).is_some());
            let text = match near {
                Some(entry) => format!("is missing: '{}' is not it", entry.name),
                None => format!("is missing: name one of {all}"),
            };
            let origin = Origin::File(path.to_owned());
            self.problems.push(Problem::new(origin, "connector.name", text));
            return None;
        };
        let text = match self.expanded(entry) {
            Err(text) => text,
            Ok(name) => match CONNECTORS.iter().find(|connector| connector.name == *name) {
                Some(connector) => return Some(connector),
                None if OTHER_CONNECTORS.contains(&name.as_str()) => {
                    format!("connector '{}' is not supported yet: there are {all}", *name)
                }
                None => match nearest(&name, names()) {
                    Some(near) => {
                        format!("there is no connector '{}': did you mean '{near}'?", *name)
                    }
                    None => format!("there is no connector '{}': there are {all}", *name),
                },
            },
        };
        self.problems.push(Problem::new(entry.origin.clone(), "connector.name", text));
        None
    }

    fn catalog_properties(
        &mut self,
        path: &Path,
        entries: &[Entry],
        connector: &'static Connector,
    ) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.name != "connector.name") {
            let known = connector.properties.iter().find(|property| property.name == entry.name);
            let Some(property) = known else {
                self.unknown_in_catalog(entry, connector);
                continue;
            };
            let value = self.value(entry, property);
            if let (Some(value), Treatment::Honoured) = (value, property.treatment) {
                values.insert(entry.name.clone(), value.to_string());
            }
        }
        for required in connector.required {
            if !entries.iter().any(|entry| entry.name == *required) {
                let text =
                    format!("is missing: a catalog of connector '{}' needs it", connector.name);
                self.problems.push(Problem::new(Origin::File(path.to_owned()), required, text));
            }
        }
        values
    }

    fn unknown_in_catalog(&mut self, entry: &Entry, connector: &'static Connector) {
        let other = CONNECTORS
            .iter()
            .find(|other| other.properties.iter().any(|property| property.name == entry.name));
        let text = match (other, registry::find(&entry.name)) {
            (Some(other), _) => format!(
                "is a property of connector '{}', and this catalog's is '{}'",
                other.name, connector.name
            ),
            (None, Some((file, _))) => {
                format!("belongs in {}, not in a catalog's file", file.name())
            }
            (None, None) => {
                let names = connector.properties.iter().map(|property| property.name);
                self.unknown(entry, names.chain(["connector.name"]));
                return;
            }
        };
        self.problems.push(Problem::new(entry.origin.clone(), &entry.name, text));
    }
}

/// Names and paths of the `*.properties` files of a folder.
fn catalog_files(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(folder)? {
        let path = item?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = file_name.strip_suffix(".properties") {
            // Editors and packages leave hidden files behind.
            if !name.starts_with('.') {
                files.push((name.to_owned(), path));
            }
        }
    }
    Ok(files)
}
