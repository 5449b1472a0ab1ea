//! The graph of packages, read from `cargo metadata`, and the rules that it must obey.
//!
//! Layout: [`directions`] has the arrows between our own crates, [`supply`] what we may depend on,
//! [`features`] holds the binary and the tests to one build,
//! [`licence`] reads licence expressions.

pub mod directions;
pub mod features;
pub mod licence;
pub mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// One package of the graph.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its name in Cargo.toml.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX expression; empty where it has none.
    pub licence: String,
    /// Where its Cargo.toml lies, from the workspace's root; `None` for a dependency from a registry.
    pub folder: Option<String>,
    /// Ids of what its library, binaries and build script need.
    pub needs: BTreeSet<String>,
    /// Ids of what only its tests and examples need.
    pub test_needs: BTreeSet<String>,
}

/// All packages that this machine would build, by their id.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// By cargo's package id.
    pub packages: BTreeMap<String, Package>,
}

impl Graph {
    /// Asks cargo for the graph of the workspace at `root`, for the platform that it runs on.
    pub fn of_workspace(root: &Path) -> anyhow::Result<Self> {
        let host = host_platform()?;
        let arguments = ["metadata", "--format-version=1", "--locked", "--filter-platform", &host];
        let output = Command::new(crate::steps::cargo())
            .args(arguments)
            .current_dir(root)
            .output()
            .context("cargo metadata does not start")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata failed: {complaint}");
        Self::from_metadata(&serde_json::from_slice(&output.stdout)?)
    }

    /// Reads the document that `cargo metadata --format-version=1` prints.
    pub fn from_metadata(document: &Value) -> anyhow::Result<Self> {
        let root = text(document, "workspace_root")?;
        let members: BTreeSet<&str> =
            list(document, "workspace_members")?.iter().filter_map(Value::as_str).collect();
        let mut graph = Self::default();
        for package in list(document, "packages")? {
            let id = text(package, "id")?;
            let folder = members.contains(id).then(|| folder_of(package, root)).transpose()?;
            let read = Package {
                name: text(package, "name")?.to_owned(),
                version: text(package, "version")?.to_owned(),
                licence: package["license"].as_str().unwrap_or_default().to_owned(),
                folder,
                ..Package::default()
            };
            graph.packages.insert(id.to_owned(), read);
        }
        for node in list(&document["resolve"], "nodes")? {
            graph.add_edges(node)?;
        }
        graph.packages.retain(|id, _| resolved(document, id));
        Ok(graph)
    }

    fn add_edges(&mut self, node: &Value) -> anyhow::Result<()> {
        let package = self.packages.get_mut(text(node, "id")?).context("a node without package")?;
        for dependency in list(node, "deps")? {
            let id = text(dependency, "pkg")?.to_owned();
            for kind in list(dependency, "dep_kinds")? {
                match kind["kind"].as_str() {
                    Some("dev") => package.test_needs.insert(id.clone()),
                    _ => package.needs.insert(id.clone()),
                };
            }
        }
        Ok(())
    }
}

fn host_platform() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV names no host")?.to_owned())
}

fn folder_of(package: &Value, root: &str) -> anyhow::Result<String> {
    let manifest = text(package, "manifest_path")?;
    let inside = manifest.strip_prefix(root).context("a member outside of the workspace")?;
    Ok(inside.trim_start_matches('/').trim_end_matches("/Cargo.toml").to_owned())
}

fn resolved(document: &Value, id: &str) -> bool {
    let nodes = document["resolve"]["nodes"].as_array();
    nodes.is_some_and(|nodes| nodes.iter().any(|node| node["id"].as_str() == Some(id)))
}

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value[key].as_str().with_context(|| format!("cargo metadata: no text '{key}'"))
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("cargo metadata: no list '{key}'"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;

    /// A graph of `(folder or "", name, needs, test needs)`; ids are names.
    pub fn graph(packages: &[(&str, &str, &[&str], &[&str])]) -> Graph {
        let mut graph = Graph::default();
        for (folder, name, needs, test_needs) in packages {
            let package = Package {
                name: (*name).to_owned(),
                version: "1.0.0".to_owned(),
                licence: "MIT".to_owned(),
                folder: (!folder.is_empty()).then(|| (*folder).to_owned()),
                needs: needs.iter().map(|id| (*id).to_owned()).collect(),
                test_needs: test_needs.iter().map(|id| (*id).to_owned()).collect(),
            };
            graph.packages.insert((*name).to_owned(), package);
        }
        graph
    }

    /// The graph of this very workspace.
    pub fn ours() -> Graph {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Graph::of_workspace(root).unwrap()
    }

    #[test]
    fn metadata_is_read_with_kinds_of_dependencies() {
        let document = serde_json::json!({
            "workspace_root": "/w",
            "workspace_members": ["a"],
            "packages": [
                {"id": "a", "name": "a", "version": "0.1.0", "license": "MIT",
                 "manifest_path": "/w/shared/a/Cargo.toml"},
                {"id": "b", "name": "b", "version": "2.0.0", "license": null,
                 "manifest_path": "/r/b/Cargo.toml"},
                {"id": "windows", "name": "windows", "version": "1.0.0", "license": "MIT",
                 "manifest_path": "/r/windows/Cargo.toml"},
            ],
            "resolve": {"nodes": [
                {"id": "a", "deps": [{"pkg": "b", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "b", "deps": []},
            ]},
        });
        let graph = Graph::from_metadata(&document).unwrap();
        assert_eq!(graph.packages["a"].folder.as_deref(), Some("shared/a"));
        assert!(graph.packages["a"].test_needs.contains("b"));
        assert!(graph.packages["a"].needs.is_empty());
        assert_eq!(graph.packages["b"].folder, None);
        assert!(!graph.packages.contains_key("windows"), "not resolved for this platform");
    }

    #[test]
    fn a_document_of_another_shape_is_an_error() {
        let error = Graph::from_metadata(&serde_json::json!({})).unwrap_err().to_string();
        assert!(error.contains("workspace_root"), "{error}");
    }
}
