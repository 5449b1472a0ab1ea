//! `docs/configuration.md`, from the registry.

use std::fmt::Write;

use crate::registry::{ALIASES, CONNECTORS, Property, TABLES, Treatment};

const HEAD: &str = "\
# Configuration

<!-- Made from shared/config/src/registry: do not edit. `UPDATE_DOCS=1 cargo test --release -p waterbear-config` writes it anew. -->

A node reads the files of `--etc-dir`, which are Trino's: `config.properties`, `node.properties`, `exchange-manager.properties` and `catalog/NAME.properties`.
`-D property=value` on the command line wins over the files, but for catalogs. What belongs in `config.properties` may stand in `node.properties`, and the other way round.

- A line is `property=value`; only the first `=` splits it; white space around both is dropped; `#` and `!` start comments. There are no escapes and no continuation lines.
- `${ENV:NAME}` stands for an environment variable, `${FILE:path}` for a file's text without white space around it. A relative path starts at the folder of the file that names it, after `-D` at the working directory.
- A size is a number with B, kB, MB, GB, TB or PB (each 1024 of the one before); a duration a number with ns, us, ms, s, m, h or d.
- The same files may serve all nodes: what only other roles use is accepted without a look at its value. What no role knows stops the start, with the nearest known name.
- All problems are reported at once, one line each, before a port is opened. No message shows a secret, nor what `${ENV:}` or `${FILE:}` stand for.

Each property is *honoured*; or *ignored*: accepted with a warning that says what replaces it; or *refused*: the start ends with the reason.

## What each role needs

| role | properties |
|---|---|
| all | `node.environment`, `node.data-dir`, `internal-communication.shared-secret`, `http-server.http.port` |
| discovery | `http-server.https.port` |
| coordinator | `discovery.uri` |
| worker | `http-server.https.port`, `discovery.uri` |

`standalone` needs none. With `internal-communication.https.required=false` no role needs `http-server.https.port`.
Make a secret with `waterbear secret generate` (or `openssl rand 512 | base64`), keep it in a file that only the node's user can read, and write `internal-communication.shared-secret=${FILE:/path/of/the/file}` on all nodes.
";

/// The whole page.
pub fn render_docs() -> String {
    let mut page = HEAD.to_owned();
    for table in TABLES {
        let _ = write!(page, "\n## {}\n\nIn `{}`.\n\n", table.title, table.file.name());
        write_table(&mut page, table.properties);
    }
    page.push_str("\n## Catalogs\n\nIn `catalog/NAME.properties`; the name has only `a-z`, `0-9`, `_` and `-`. `connector.name` is one of these. The catalog `system` is always there.\n");
    for connector in CONNECTORS {
        let _ = write!(page, "\n### {}\n\n{}.\n\n", connector.name, connector.about);
        write_table(&mut page, connector.properties);
    }
    page.push_str(
        "\n## Older names\n\nThey are taken for today's.\n\n| older | today |\n|---|---|\n",
    );
    for (older, today) in ALIASES {
        let _ = writeln!(page, "| `{older}` | `{today}` |");
    }
    page
}

fn write_table(page: &mut String, properties: &[Property]) {
    page.push_str("| property | type | default | used by | what it is | treatment |\n|---|---|---|---|---|---|\n");
    for property in properties {
        let default = match property.default_value() {
            Some(value) => format!("`{value}`"),
            None => property.default.trim_matches(['(', ')']).to_owned(),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} | {} | {} |",
            property.name,
            property.kind.name(),
            property.roles,
            property.about,
            treatment(property.treatment),
        );
    }
}

fn treatment(treatment: Treatment) -> String {
    let but = |unless: Option<&str>| match unless {
        Some(value) => format!(" (but for `{value}`)"),
        None => String::new(),
    };
    match treatment {
        Treatment::Honoured => "honoured".to_owned(),
        Treatment::Ignored { warning, unless } => format!("ignored{}: {warning}", but(unless)),
        Treatment::Refused { reason, unless } => format!("refused{}: {reason}", but(unless)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_registry_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = render_docs();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "docs/configuration.md is not what the code says: run UPDATE_DOCS=1 cargo test --release -p waterbear-config"
        );
    }

    #[test]
    fn no_cell_breaks_its_table() {
        for line in render_docs().lines().filter(|line| line.starts_with("| `")) {
            assert!(matches!(line.matches(" | ").count(), 1 | 5), "{line}");
            assert_eq!(line.matches('|').count(), line.matches(" | ").count() + 2, "{line}");
        }
    }
}
