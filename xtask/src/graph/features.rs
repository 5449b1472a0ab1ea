//! The binary alone and the whole workspace with its tests must be one build.
//!
//! Cargo unites features over the packages that a command selects. One package that switches on a
//! feature of, say, serde_json only in a test would make `cargo test --workspace` build DataFusion a
//! second time: many minutes and gigabytes, unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// What `cargo tree` says of each package: name and version → the sets of features it is built with.
pub type Features = BTreeMap<String, BTreeSet<String>>;

/// The features of what the binary is built of.
pub fn of_the_binary(root: &Path) -> anyhow::Result<Features> {
    tree(root, &["-e", "normal,build"])
}

/// The features of what the whole workspace and its tests are built of.
pub fn of_everything(root: &Path) -> anyhow::Result<Features> {
    tree(root, &["--workspace", "-e", "normal,build,dev"])
}

/// Has a feature that the tests switch on and no release has: it is built twice, and what needs it.
const FAULTS: &str = "waterbear-faults ";

/// The features of fault points in a build: none may be in that of the binary alone.
pub fn fault_points(build: &Features) -> Vec<String> {
    let sets = build.iter().filter(|(package, _)| package.starts_with(FAULTS));
    sets.flat_map(|(_, sets)| sets).filter(|set| !set.is_empty()).cloned().collect()
}

/// The packages of the binary that the tests build with other features.
pub fn built_twice(binary: &Features, everything: &Features) -> Vec<String> {
    let mut found = Vec::new();
    for (package, features) in binary.iter().filter(|(package, _)| !package.starts_with(FAULTS)) {
        let others = everything.get(package).into_iter().flatten();
        found.extend(
            others.filter(|set| !features.contains(*set)).map(|set| format!("{package} [{set}]")),
        );
    }
    found
}

fn tree(root: &Path, selection: &[&str]) -> anyhow::Result<Features> {
    let output = Command::new(crate::steps::cargo())
        .args(["tree", "--locked", "--prefix", "none", "-f", "{p}\t{f}"])
        .args(selection)
        .current_dir(root)
        .output()
        .context("cargo tree does not start")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree failed: {complaint}");
    Ok(read(&String::from_utf8(output.stdout)?))
}

/// Reads lines of `name version<tab>features`, where a repeated package is marked with `(*)`.
fn read(text: &str) -> Features {
    let mut features = Features::new();
    for line in text.lines() {
        if let Some((package, set)) = line.trim_end_matches(" (*)").split_once('\t') {
            features.entry(package.to_owned()).or_default().insert(set.to_owned());
        }
    }
    features
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_and_the_tests_are_one_build() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (binary, everything) = (of_the_binary(root).unwrap(), of_everything(root).unwrap());
        assert!(binary.len() > 100, "cargo tree was not understood: {binary:?}");
        assert_eq!(built_twice(&binary, &everything), Vec::<String>::new());
    }

    #[test]
    fn no_release_has_fault_points_and_the_tests_have() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (binary, everything) = (of_the_binary(root).unwrap(), of_everything(root).unwrap());
        assert!(binary.keys().any(|package| package.starts_with(FAULTS)), "they are elsewhere");
        assert_eq!(fault_points(&binary), Vec::<String>::new());
        assert_eq!(fault_points(&everything), ["faults"]);
    }

    #[test]
    fn a_feature_that_only_tests_switch_on_is_found() {
        let binary = read("serde v1.0.0\tstd\nbytes v1.0.0\t\nserde v1.0.0\tstd (*)\n");
        let same = read("serde v1.0.0\tstd\nbytes v1.0.0\t\nproptest v1.0.0\tstd\n");
        assert_eq!(built_twice(&binary, &same), Vec::<String>::new());
        let other = read("serde v1.0.0\tstd\nserde v1.0.0\tderive,std\n");
        assert_eq!(built_twice(&binary, &other), ["serde v1.0.0 [derive,std]"]);
    }
}
