//! What must never be seen.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;
use waterbear_protocol::membership::Role;

use super::{BASE, Etc};
use crate::Secret;

#[test]
fn the_secret_that_openssl_prints_is_accepted_through_a_file() {
    let mut bytes = [0_u8; 512];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).unwrap();
    let one_line = STANDARD.encode(bytes);
    let wrapped: Vec<_> = one_line.as_bytes().chunks(76).collect();
    let wrapped = String::from_utf8(wrapped.join(&b'\n')).unwrap() + "\n";
    let etc = Etc::with("").and("secret", &wrapped);
    let overrides = [(
        "internal-communication.shared-secret",
        format!("${{FILE:{}}}", etc.0.path().join("secret").display()),
    )];
    let overrides: Vec<_> = overrides.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let config = etc.load_over(Role::Worker, &overrides).unwrap();
    assert_eq!(config.internal.shared_secret.as_ref().unwrap().expose(), one_line);
    assert!(!format!("{config:?}").contains(&one_line[..20]));
    // The same, pasted into the file: its further lines are refused, and not printed.
    let pasted = format!("{}internal-communication.shared-secret={wrapped}", &BASE[77..]);
    let etc = etc.and("config.properties", &pasted);
    let problems = etc.problems(Role::Worker);
    assert_eq!(problems.len(), wrapped.lines().count() - 1, "{problems:?}");
    for line in wrapped.lines() {
        assert!(!problems.iter().any(|problem| problem.contains(&line[..8])));
    }
}

#[test]
fn secrets_are_never_printed() {
    let etc = Etc::with("node.id=w1\nexchange.base-directory=hunter2\n")
        .and(
            "exchange-manager.properties",
            "exchange-manager.name=filesystem\nexchange.base-directories=s3://b\n\
             exchange.s3.aws-secret-key=hunter2\nexchange.azure.connection-string=hunter2\n",
        )
        .and("catalog/t.properties", "connector.name=tpch\n");
    let overrides = [
        ("internal-communication.shared-secret", "hunter2"),
        ("internal-communication.https.keystore.key", "hunter2"),
        ("internal-communication.shared-secrets", "hunter2"),
        ("discovery.uri", "https://me:hunter2@host:1"),
        ("http-server.https.port", "${ENV:BAD_PORT}"),
    ];
    let problems = etc.load_over(Role::Worker, &overrides).unwrap_err();
    let printed = format!("{problems} {problems:?}");
    assert!(problems.count() >= 7, "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("what '${ENV:BAD_PORT}' stands for is not a port"), "{printed}");
    assert!(printed.contains("is too short: 7 bytes"), "{printed}");
    let config = Etc::with("").load(Role::Worker).unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("battery"));
}

#[test]
fn secrets_in_the_documentation_are_refused_as_secrets() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut folders = vec![docs];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).into_iter().flatten() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for part in
                text.split("shared-secret=").skip(1).chain(text.split("\nsecret = ").skip(1))
            {
                let value = part.split([' ', '\n', '`', '"', '\'']).next().unwrap();
                let place = value.starts_with(['$', '<', '…']) || value.is_empty();
                assert!(place || Secret::parse(value).is_err(), "{}: {value}", path.display());
            }
        }
    }
}
