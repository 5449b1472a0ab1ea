//! Which of our crates may import which.
//!
//! services → middleware, shared; shared → shared, middleware; middleware → nothing of ours. A crate
//! in the folder of another one belongs to that one.
//! Services never import services: only the binary composes them. What has no I/O stays so.

use super::{Graph, Package};

/// The binary: it picks a role, so it alone may import services and the configuration.
const BINARY: &str = "services/waterbear";
/// Fault proxies and real processes for tests: never part of a product.
const TESTKIT: &str = "shared/testkit";
/// Only the binary reads properties; services take options of their own.
const CONFIG: &str = "shared/config";
/// Crates with types and no I/O.
const PURE: [&str; 4] = ["shared/ids", "shared/protocol", ATTEMPTS, SCHEDULER];
/// The pure machines: they can be simulated, since they have neither clock nor chance.
const ATTEMPTS: &str = "middleware/exchange-retry/core";
const SCHEDULER: &str = "services/coordinator/scheduler";
/// What does I/O, so is never below a crate of [`PURE`].
const DOES_IO: [&str; 6] = ["tokio", "hyper", "axum", "rustls", "mio", "socket2"];

/// One sentence for each arrow that points the wrong way.
pub fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for package in graph.packages.values() {
        let Some(from) = &package.folder else { continue };
        for (needs, in_tests) in [(&package.needs, false), (&package.test_needs, true)] {
            for to in needs.iter().filter_map(|id| graph.packages[id].folder.as_deref()) {
                if let Some(reason) = forbidden(from, to, in_tests) {
                    found.push(format!("{from} imports {to}: {reason}"));
                }
            }
        }
        if [ATTEMPTS, SCHEDULER].contains(&from.as_str()) && !package.needs.is_empty() {
            found.push(format!("{from} has dependencies: it is simulated, and needs none"));
        }
        if PURE.contains(&from.as_str()) {
            found.extend(
                io_below(graph, package)
                    .map(|name| format!("{from} reaches {name}: it has no I/O")),
            );
        }
    }
    found
}

/// Why a crate in folder `from` may not import the one in folder `to`.
fn forbidden(from: &str, to: &str, in_tests: bool) -> Option<&'static str> {
    let top = |folder: &str| folder.split('/').next().unwrap_or_default().to_owned();
    // A crate in the folder of another one is a part of that one.
    if to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
        return None;
    }
    match (top(from).as_str(), top(to).as_str()) {
        (_, "xtask" | "loadtest" | "bench" | "corpus" | "sim") => Some("tools are not imported"),
        ("loadtest" | "corpus", _) if to == TESTKIT => None,
        _ if to == TESTKIT && !in_tests => Some("the testkit is for tests"),
        ("middleware", _) => Some("a layer crate imports nothing of ours"),
        ("shared", "services") => Some("shared crates know no service"),
        ("services", "services") if from != BINARY => Some("services never import services"),
        ("services", _) if to == CONFIG && from != BINARY => {
            Some("only the binary reads properties")
        }
        _ => None,
    }
}

fn io_below<'a>(graph: &'a Graph, package: &'a Package) -> impl Iterator<Item = &'a str> {
    let mut seen = std::collections::BTreeSet::new();
    let mut waiting: Vec<&String> = package.needs.iter().collect();
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(&graph.packages[id].needs);
        }
    }
    let names = seen.into_iter().map(|id| graph.packages[id].name.as_str());
    names.filter(|name| DOES_IO.contains(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{graph, ours};
    use super::*;

    #[test]
    fn the_workspace_keeps_its_import_directions() {
        assert_eq!(violations(&ours()), Vec::<String>::new());
    }

    #[test]
    fn a_graph_in_order_has_no_violation() {
        let graph = graph(&[
            ("services/waterbear", "waterbear", &["worker", "config"], &[]),
            ("services/worker", "worker", &["tls", "ids"], &["testkit"]),
            ("services/coordinator", "coordinator", &["scheduler", "retry"], &[]),
            (SCHEDULER, "scheduler", &[], &[]),
            ("middleware/exchange-retry", "retry", &["attempts", "tokio"], &[]),
            (ATTEMPTS, "attempts", &[], &[]),
            ("middleware/internal-tls", "tls", &["tokio"], &["tokio"]),
            ("shared/config", "config", &[], &[]),
            ("shared/testkit", "testkit", &["tls"], &[]),
            ("shared/ids", "ids", &["serde"], &["tokio"]),
            ("loadtest", "loadtest", &["ids"], &[]),
            ("", "tokio", &[], &[]),
            ("", "serde", &[], &[]),
        ]);
        assert_eq!(violations(&graph), Vec::<String>::new());
    }

    /// Each wrong arrow alone is found, and named.
    #[test]
    fn every_forbidden_arrow_is_found() {
        let cases = [
            ("services/worker", "services/coordinator", false, "services never import services"),
            ("services/worker", "services/coordinator", true, "services never import services"),
            ("middleware/internal-tls", "shared/ids", false, "imports nothing of ours"),
            ("middleware/internal-tls", "shared/ids", true, "imports nothing of ours"),
            (
                "middleware/internal-auth",
                "middleware/internal-tls",
                true,
                "imports nothing of ours",
            ),
            ("shared/engine", "services/worker", false, "know no service"),
            ("services/worker", "shared/config", false, "only the binary"),
            ("services/worker", "shared/testkit", false, "for tests"),
            ("services/waterbear", "xtask", false, "tools are not imported"),
            ("services/worker", SCHEDULER, false, "services never import services"),
            ("middleware/internal-tls", ATTEMPTS, false, "imports nothing of ours"),
            ("shared/engine", "loadtest", true, "tools are not imported"),
        ];
        for (from, to, in_tests, reason) in cases {
            let (needs, test_needs): (&[&str], &[&str]) =
                if in_tests { (&[], &["to"]) } else { (&["to"], &[]) };
            let graph = graph(&[(from, "from", needs, test_needs), (to, "to", &[], &[])]);
            let found = violations(&graph);
            assert_eq!(found.len(), 1, "{from} → {to}: {found:?}");
            assert!(found[0].contains(reason) && found[0].contains(from), "{found:?}");
        }
    }

    #[test]
    fn a_machine_that_is_simulated_has_no_dependency() {
        for machine in [ATTEMPTS, SCHEDULER] {
            let graph = graph(&[(machine, "machine", &["rand"], &[]), ("", "rand", &[], &[])]);
            let found = violations(&graph);
            assert_eq!(
                found,
                [format!("{machine} has dependencies: it is simulated, and needs none")]
            );
        }
    }

    #[test]
    fn io_below_a_crate_of_types_is_found_at_any_depth() {
        let graph = graph(&[
            ("shared/protocol", "protocol", &["client"], &[]),
            ("", "client", &["hyper"], &[]),
            ("", "hyper", &[], &[]),
        ]);
        assert_eq!(violations(&graph), ["shared/protocol reaches hyper: it has no I/O"]);
    }
}
