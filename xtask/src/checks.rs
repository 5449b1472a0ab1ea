//! What CI checks beside the tests.

use std::process::Command;

use crate::links;
use crate::steps::{Steps, cargo};

/// Crates of Tower layers: each must stand alone, with an example for a stranger's service.
const LAYERS: [&str; 4] = ["internal-tls", "internal-auth", "request-metrics", "exchange-retry"];

/// Formatting, lints, documents.
pub fn run(steps: &mut Steps) -> anyhow::Result<()> {
    steps.cargo("format", &["fmt", "--all", "--check"])?;
    let root = steps.root().to_owned();
    steps.step("links between documents", || links::check(&root))?;
    steps.cargo(
        "lints",
        &[
            "clippy",
            "--release",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    for layer in LAYERS {
        let name = format!("{layer} alone, with its examples");
        steps.cargo(
            &name,
            &["check", "--release", "--locked", "-p", layer, "--lib", "--examples"],
        )?;
    }
    let mut doc = Command::new(cargo());
    doc.args(["doc", "--release", "--locked", "--workspace", "--no-deps"]);
    steps.command("documents of the code", doc.env("RUSTDOCFLAGS", "-D warnings"))
}
