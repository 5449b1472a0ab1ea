//! What we may depend on: one rustls, no OpenSSL, known licences.

use super::{Graph, licence};

/// One TLS stack with one version: these must be in the graph exactly once.
const EXACTLY_ONE: [&str; 2] = ["rustls", "aws-lc-rs"];
/// Other TLS stacks and cryptography, refused on every platform.
const REFUSED: [&str; 6] =
    ["openssl", "openssl-sys", "native-tls", "tokio-native-tls", "boring", "schannel"];

/// One sentence for each package that may not be there, or is there too often.
pub fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for name in EXACTLY_ONE {
        let of_name = graph.packages.values().filter(|package| package.name == name);
        let versions: Vec<&str> = of_name.map(|package| package.version.as_str()).collect();
        if versions.len() != 1 {
            found.push(format!("{name} must be there once, is there as {versions:?}"));
        }
    }
    for package in graph.packages.values() {
        let (name, version, text) = (&package.name, &package.version, &package.licence);
        if REFUSED.contains(&name.as_str()) {
            found.push(format!("{name} {version}: TLS is rustls with aws-lc-rs"));
        }
        if !licence::is_allowed(text) {
            found.push(format!("{name} {version}: licence '{text}' is not in the list"));
        }
    }
    found
}

/// Refused packages in a Cargo.lock, which has those of all platforms.
pub fn refused_in_lock(lock: &str) -> Vec<&'static str> {
    let has = |name: &&str| lock.lines().any(|line| line.trim() == format!("name = \"{name}\""));
    REFUSED.into_iter().filter(has).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{graph, ours};
    use super::*;

    #[test]
    fn the_workspace_keeps_its_supply_chain() {
        assert_eq!(violations(&ours()), Vec::<String>::new());
    }

    #[test]
    fn the_lock_file_has_no_refused_package_on_any_platform() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
        let lock = std::fs::read_to_string(path).unwrap();
        assert_eq!(refused_in_lock(&lock), Vec::<&str>::new());
        assert_eq!(refused_in_lock("[[package]]\nname = \"openssl-sys\"\n"), ["openssl-sys"]);
    }

    #[test]
    fn each_broken_rule_is_found() {
        let mut graph = graph(&[("", "rustls", &[], &[]), ("", "aws-lc-rs", &[], &[])]);
        assert_eq!(violations(&graph), Vec::<String>::new());

        let mut second = graph.packages["rustls"].clone();
        second.version = "0.21.0".to_owned();
        graph.packages.insert("rustls 0.21".to_owned(), second);
        assert!(violations(&graph)[0].contains("rustls must be there once"));
        graph.packages.remove("rustls 0.21");

        let mut other = graph.packages["rustls"].clone();
        other.name = "native-tls".to_owned();
        graph.packages.insert("native-tls".to_owned(), other.clone());
        assert!(violations(&graph)[0].contains("native-tls"));
        graph.packages.remove("native-tls");

        other.name = "viral".to_owned();
        other.licence = "AGPL-3.0-only".to_owned();
        graph.packages.insert("viral".to_owned(), other);
        assert!(violations(&graph)[0].contains("AGPL-3.0-only"));
    }
}
