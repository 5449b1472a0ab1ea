//! Whole configurations: files in, a typed configuration or all problems out.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use waterbear_protocol::RetryPolicy;
use waterbear_protocol::membership::Role;

use crate::{BaseDirectories, Config, MemorySize, Problems, Process, ProcessForwarded};

mod catalogs;
mod secrets;

const WORD: &str = "correct-horse-battery-staple-0123456789";

const BASE: &str = "\
internal-communication.shared-secret=correct-horse-battery-staple-0123456789
http-server.http.port=8080
http-server.https.port=8443
discovery.uri=https://disco:8443
";
const NODE: &str = "node.environment=test\nnode.data-dir=/var/lib/waterbear\n";

/// An etc folder with these files.
struct Etc(tempfile::TempDir);

impl Etc {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    /// The least that each role needs, and more lines of `config.properties`.
    fn with(lines: &str) -> Self {
        Self::new(&[("config.properties", &format!("{BASE}{lines}")), ("node.properties", NODE)])
    }

    fn and(self, name: &str, text: &str) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn load(&self, process: impl Into<Process>) -> Result<Config, Problems> {
        self.load_over(process, &[])
    }

    fn load_over(
        &self,
        process: impl Into<Process>,
        overrides: &[(&str, &str)],
    ) -> Result<Config, Problems> {
        load(process, Some(self.0.path()), overrides)
    }

    /// The lines of the problems, without the folder's name.
    fn problems(&self, process: impl Into<Process>) -> Vec<String> {
        lines(self.0.path(), self.load(process))
    }
}

fn load(
    process: impl Into<Process>,
    etc: Option<&Path>,
    overrides: &[(&str, &str)],
) -> Result<Config, Problems> {
    let overrides: Vec<_> =
        overrides.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let env = |name: &str| match name {
        "PORT" => Some("9090".to_owned()),
        "BAD_PORT" => Some("hunter2".to_owned()),
        _ => None,
    };
    Config::load(process, etc, &overrides, &env)
}

fn lines(folder: &Path, result: Result<Config, Problems>) -> Vec<String> {
    let folder = format!("{}/", folder.display());
    result.unwrap_err().to_string().lines().map(|line| line.replace(&folder, "")).collect()
}

#[test]
fn one_file_serves_all_roles() {
    let etc = Etc::with(
        "coordinator=true\nquery.max-memory-per-node=4GB\ntask.client.timeout=7s\n\
         query.client.timeout=1.5m\nretry-policy.allowed=task,none,TASK\ntask.concurrency=4\n\
         task.max-worker-threads=3\nhttp-server.process-forwarded=accept\n\
         internal-communication.http2.enabled=false\n",
    );
    for role in [Role::Discovery, Role::Coordinator, Role::Worker, Role::Operator] {
        let config = etc.load(role).unwrap();
        assert_eq!(config.process, Process::One(role));
        assert_eq!(config.node.environment, "test");
        assert_eq!(config.internal.shared_secret.unwrap().expose(), WORD);
        assert!(config.internal.https_required && !config.internal.http2);
        assert_eq!(config.warnings, [""; 0], "{role}");
    }
    let worker = etc.load(Role::Worker).unwrap();
    assert_eq!((worker.http.http_port, worker.http.https_port), (Some(8080), Some(8443)));
    assert_eq!(worker.discovery[0].to_string(), "https://disco:8443");
    assert_eq!(worker.query.max_memory_per_node.map(|m| m.of(1)), Some(4 << 30));
    assert_eq!(worker.task.client_timeout, Duration::from_secs(7));
    assert_eq!((worker.task.concurrency, worker.task.max_worker_threads), (Some(4), Some(3)));
    assert_eq!(worker.node.data_dir.as_deref(), Some(Path::new("/var/lib/waterbear")));
    let coordinator = etc.load(Role::Coordinator).unwrap();
    assert_eq!(coordinator.query.client_timeout, Duration::from_secs(90));
    assert_eq!(coordinator.http.process_forwarded, ProcessForwarded::Accept);
    assert_eq!(coordinator.retry.allowed, [RetryPolicy::None, RetryPolicy::Task]);
}

#[test]
fn defaults_are_those_of_the_table() {
    let config = Etc::with("").load(Role::Worker).unwrap();
    assert!(config.internal.https_required && config.internal.http2);
    assert_eq!(config.task.client_timeout, Duration::from_secs(9));
    assert_eq!(config.query.client_timeout, Duration::from_secs(300));
    assert_eq!(config.http.process_forwarded, ProcessForwarded::Reject);
    assert_eq!(config.shutdown_grace_period, Duration::from_secs(120));
    assert_eq!(config.retry.policy, RetryPolicy::None);
    assert_eq!(config.retry.allowed.len(), 3);
    assert!(config.query.max_memory_per_node.is_none() && config.task.concurrency.is_none());
    assert!(config.exchange_manager.is_none() && config.catalogs.is_empty());
}

#[test]
fn standalone_needs_nothing() {
    let config = load(Process::Standalone, None, &[]).unwrap();
    assert_eq!(config.node.environment, "standalone");
    assert!(config.internal.shared_secret.is_none() && config.http.http_port.is_none());
    let etc = Etc::with("node.id=w1\n");
    let config = etc.load_over(Process::Standalone, &[("query.max-memory-per-node", "30%")]);
    let config = config.unwrap();
    assert_eq!(config.query.max_memory_per_node, Some(MemorySize::Percent(30.0)));
    assert!(config.discovery.is_empty() && config.node.id.is_none());
    let warning = config.warnings.join("\n");
    for name in ["discovery.uri", "http-server.https.port", "node.id"] {
        assert!(warning.contains(name), "{warning}");
    }
}

#[test]
fn each_role_is_told_what_it_misses() {
    let missing = |role: Role| {
        let problems = load(role, None, &[]).unwrap_err();
        problems.iter().map(|p| p.property().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let secret = "internal-communication.shared-secret";
    let all = ["node.environment", "node.data-dir", secret, "http-server.http.port"];
    assert_eq!(missing(Role::Discovery), [&all[..], &["http-server.https.port"]].concat());
    assert_eq!(missing(Role::Coordinator), [&all[..], &["discovery.uri"]].concat());
    let worker = [&all[..], &["discovery.uri", "http-server.https.port"]].concat();
    assert_eq!(missing(Role::Worker), worker);
    let text = Etc::new(&[]).problems(Role::Worker).join("\n");
    assert!(text.contains("node.properties: node.environment: is missing: give"), "{text}");
}

#[test]
fn all_problems_are_reported_at_once_one_line_each() {
    let etc = Etc::new(&[
        (
            "config.properties",
            "cordinator=true\nhttp-server.http.port=99999\nnonsense\ntask.client.timeout=10 sec\n\
             discovery.uri=disco\nquery.max-memory-per-node=4gb\nhttp-server.https.port=\n\
             internal-communication.https.required=yes\nhttp-server.https.port=8443\n",
        ),
        ("node.properties", "node.environment=My Cluster\nexchange-manager.name=filesystem\n"),
        ("catalog/a.properties", "connector.name=tpch\ntpch.column-nameing=STANDARD\n"),
    ]);
    let expected = [
        "config.properties:3: expected 'property=value': a value stands on one line, or in a file of its own, with ${FILE:path}",
        "config.properties:9: http-server.https.port: is already set in line 7: keep one of the two",
        "config.properties:1: cordinator: is not a known property: did you mean 'coordinator'?",
        "config.properties:2: http-server.http.port: '99999' is not a port from 0 (any) to 65535",
        "config.properties:4: task.client.timeout: '10 sec' has no known unit: use one of ns, us, ms, s, m, h, d",
        "config.properties:5: discovery.uri: 'disco' is not a comma list of https://host:port, without user, path or query",
        "config.properties:6: query.max-memory-per-node: '4gb' has no known unit: use one of B, kB, MB, GB, TB, PB",
        "config.properties:7: http-server.https.port: the value is empty: give a value, or remove the line",
        "config.properties:8: internal-communication.https.required: 'yes' is not true or false",
        "node.properties:1: node.environment: 'My Cluster' is not 1 to 64 lower-case letters, digits, '_' and '-', a letter or digit first",
        "node.properties:2: exchange-manager.name: belongs in exchange-manager.properties, not in node.properties",
        "node.properties: node.data-dir: is missing: name a folder for the node's own files",
        "config.properties: internal-communication.shared-secret: is missing: make one with 'waterbear secret generate', the same for all nodes; best in a file of its own, with ${FILE:path}",
        "catalog/a.properties:2: tpch.column-nameing: is not a known property: did you mean 'tpch.column-naming'?",
    ];
    let found = etc.problems(Role::Worker);
    let mut sorted = (found.clone(), expected.to_vec());
    sorted.0.sort();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1);
    assert_eq!(etc.load(Role::Worker).unwrap_err().count(), expected.len());
}

#[test]
fn overrides_beat_files() {
    let etc = Etc::with("task.concurrency=nonsense\n");
    let overrides = [
        ("task.concurrency", "2"),
        ("http-server.http.port", "1"),
        ("http-server.http.port", "${ENV:PORT}"),
    ];
    let config = etc.load_over(Role::Worker, &overrides).unwrap();
    assert_eq!((config.task.concurrency, config.http.http_port), (Some(2), Some(9090)));
    let wrong = [("task.concurrensy", "2"), ("not a name", "x"), ("task.concurrency", "0")];
    let problems = lines(etc.0.path(), etc.load_over(Role::Worker, &wrong));
    assert_eq!(problems.len(), 3);
    assert!(problems[0].starts_with("-D: expected 'property=value'"), "{}", problems[0]);
    assert!(problems[1].contains("did you mean 'task.concurrency'?"), "{}", problems[1]);
    assert_eq!(problems[2], "-D: task.concurrency: '0' is not a whole number of at least 1");
}

#[test]
fn everything_can_be_given_after_d() {
    let overrides = [
        ("node.environment", "test"),
        ("node.data-dir", "data"),
        ("internal-communication.shared-secret", WORD),
        ("http-server.http.port", "0"),
        ("discovery.uri", "https://[::1]:1,https://b:2"),
        ("exchange-manager.name", "filesystem"),
        ("exchange.base-directory", "/spool"),
    ];
    let config = load(Role::Coordinator, None, &overrides).unwrap();
    assert!(config.node.data_dir.unwrap().is_absolute());
    assert_eq!(config.discovery.len(), 2);
    let spool = config.exchange_manager.unwrap().base_directories;
    assert_eq!(spool, BaseDirectories::Local(vec!["/spool".into()]));
}

#[test]
fn another_roles_property_is_accepted_without_a_look() {
    let etc = Etc::with(
        "query.client.timeout=${ENV:NONE}\nhttp-server.authentication.type=PASSWORD\n\
         retry-policy=TASK\nquery.max-memory=20GB\n",
    );
    let config = etc.load(Role::Worker).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let problems = etc.problems(Role::Coordinator);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("environment variable NONE is not set"), "{problems:?}");
    assert!(problems[1].contains("authentication of clients is not supported yet"));
    assert!(problems[2].contains(
        "retry-policy: TASK needs a place for what tasks leave: write exchange-manager.properties"
    ));
}

#[test]
fn what_has_no_effect_is_said_once_for_all_such_properties() {
    let etc = Etc::with(
        "query-retry-attempts=5\nexchange.deduplication-buffer-size=1MB\nexchange.compression-codec=none\n",
    );
    let warnings = etc.load(Role::Coordinator).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("config.properties:5: query-retry-attempts, "));
    assert!(
        warnings[0].contains(
            "config.properties:6: exchange.deduplication-buffer-size: it has no effect yet"
        )
    );
    let clear = Etc::with("internal-communication.https.required=false\n");
    let clear = clear.load(Role::Coordinator).unwrap();
    assert!(clear.warnings[0].contains("keys of spooled data travel in clear"), "{clear:?}");
}

#[test]
fn contradictions_are_named_from_both_ends() {
    for (role, lines, expected) in [
        (Role::Worker, "http-server.https.enabled=false", "https.enabled: is false while"),
        (Role::Coordinator, "coordinator=false", "coordinator: is false, but this process"),
        (
            Role::Coordinator,
            "retry-policy.allowed=TASK",
            "retry-policy.allowed: does not hold NONE",
        ),
        (Role::Worker, "http-server.http.enabled=false", "cannot be switched off yet"),
        (Role::Coordinator, "http-server.https.keystore.path=/x", "put a proxy with TLS"),
        (Role::Worker, "internal-communication.https.keystore.path=/x", "own certificates"),
    ] {
        let problems = Etc::with(lines).problems(role);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    }
    let ports = BASE.replace("8443\n", "8080\n");
    let etc = Etc::new(&[("config.properties", &ports), ("node.properties", NODE)]);
    assert!(etc.problems(Role::Worker)[0].contains("as http-server.http.port: choose two ports"));
    let twice = Etc::with("").and("node.properties", &format!("{NODE}http-server.http.port=1"));
    let problems = twice.problems(Role::Worker);
    assert!(problems[0].contains("is already set in config.properties:2"), "{problems:?}");
}

#[test]
fn plain_http_to_discovery_needs_https_not_required() {
    let plain = BASE.replace("https://disco", "http://disco");
    let etc = Etc::new(&[("config.properties", &plain), ("node.properties", NODE)]);
    let problems = etc.problems(Role::Worker);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains(
        "discovery.uri: has an http:// URI while internal-communication.https.required=true: write https://"
    ));
    let overrides = [("internal-communication.https.required", "false")];
    let config = etc.load_over(Role::Worker, &overrides).unwrap();
    assert!(!config.discovery[0].https && !config.internal.https_required);
}

#[test]
fn no_role_needs_an_https_port_without_tls() {
    let overrides = [
        ("node.environment", "test"),
        ("node.data-dir", "/data"),
        ("internal-communication.shared-secret", WORD),
        ("http-server.http.port", "8080"),
        ("discovery.uri", "http://d:1"),
        ("internal-communication.https.required", "false"),
    ];
    for role in [Role::Discovery, Role::Worker, Role::Coordinator] {
        assert!(load(role, None, &overrides).unwrap().http.https_port.is_none());
    }
}

#[test]
fn variables_and_files_that_are_missing_are_named() {
    let etc = Etc::with("task.concurrency=${ENV:NONE}\ntask.max-worker-threads=${FILE:none}\n");
    let problems = etc.problems(Role::Worker);
    assert_eq!(
        problems[0],
        "config.properties:5: task.concurrency: environment variable NONE is not set"
    );
    assert!(problems[1].starts_with(
        "config.properties:6: task.max-worker-threads: cannot read file none: No such file"
    ));
}

#[test]
fn files_of_trino_that_are_not_read_are_named() {
    let etc = Etc::with("").and("log.properties", "io.trino=INFO").and("jvm.config", "-Xmx1G");
    let warnings = etc.load(Role::Worker).unwrap().warnings.join("\n");
    assert!(warnings.contains("log.properties: is not read"), "{warnings}");
    assert!(warnings.contains("jvm.config: is not read"), "{warnings}");
    let etc = etc.and("access-control.properties", "access-control.name=file");
    assert!(etc.load(Role::Worker).is_ok());
    assert!(etc.problems(Role::Coordinator)[0].contains("access control is not supported yet"));
}

#[test]
fn an_etc_folder_that_is_not_there_is_named() {
    let problems = lines(Path::new("/x"), load(Role::Worker, Some(Path::new("/x/etc")), &[]));
    assert_eq!(problems, ["etc: is not a folder: --etc-dir must name one"]);
}

#[test]
fn an_unreadable_file_is_the_only_problem_of_its_properties() {
    let etc = Etc::with("").and("catalog/c.properties", "");
    for name in ["config.properties", "catalog/c.properties"] {
        std::fs::write(etc.0.path().join(name), b"a.b=\xff\n").unwrap();
    }
    let problems = etc.problems(Role::Coordinator);
    let text = "cannot be read: stream did not contain valid UTF-8";
    assert_eq!(
        problems,
        [format!("config.properties: {text}"), format!("catalog/c.properties: {text}")]
    );
}

#[test]
fn limits_that_leave_nothing_are_refused() {
    for (line, expected) in [
        ("memory.pool-size-per-node=0B", "is 0, and no query could run: give more"),
        ("query.max-memory-per-node=0GB", "is 0, and no query could run: give more"),
        ("query.max-run-time=0s", "is less than 1ms"),
        ("node.internal-address=bad..host", "is not a host name or IP address"),
        (
            "memory.pool-size-per-node=1GB\nquery.max-memory-per-node=2GB",
            "is more than memory.pool-size-per-node: no query can have more than the pool",
        ),
    ] {
        let problems = Etc::with(&format!("{line}\n")).problems(Role::Coordinator);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    }
}
