//! Plans for people.

use super::{Estimate, Part, PlanNode};

/// Writes a plan, its fragments one after the other.
pub(super) fn write(parts: &[Part]) -> String {
    let mut text = format!("Waterbear version: {}\n", env!("CARGO_PKG_VERSION"));
    for part in parts {
        let indent = match part.fragment {
            Some(number) => {
                text.push_str(&format!("Fragment {number} [{}]\n", part.partitioning));
                "    "
            }
            None => "",
        };
        for detail in &part.details {
            text.push_str(&format!("{indent}{detail}\n"));
        }
        node(&part.root, indent, "", "", &mut text);
        if part.fragment.is_some() {
            text.push('\n');
        }
    }
    text
}

/// Writes a node and what is below it: `head` stands before its name, `tail` before the rest.
fn node(node: &PlanNode, indent: &str, head: &str, tail: &str, text: &mut String) {
    let descriptor: Vec<String> =
        node.descriptor.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    text.push_str(&format!("{indent}{head}{}[{}]\n", node.name, descriptor.join(", ")));
    let rail = if node.children.is_empty() { "    " } else { "│   " };
    let layout: Vec<String> =
        node.outputs.iter().map(|(name, kind)| format!("{name}:{kind}")).collect();
    let mut details = vec![format!("Layout: [{}]", layout.join(", "))];
    details.push(format!("Estimates: {{{}}}", estimate(node.estimate)));
    details.extend(node.details.iter().cloned());
    for detail in details {
        text.push_str(&format!("{indent}{tail}{rail}{detail}\n"));
    }
    let last = node.children.len().saturating_sub(1);
    for (position, child) in node.children.iter().enumerate() {
        let (branch, below) =
            if position == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let (head, tail) = (format!("{tail}{branch}"), format!("{tail}{below}"));
        self::node(child, indent, &head, &tail, text);
    }
}

fn estimate(estimate: Estimate) -> String {
    let rows = estimate.rows.map_or("?".to_owned(), |rows| rows.to_string());
    format!("rows: {rows} ({})", estimate.bytes.map_or("?".to_owned(), bytes))
}

/// Bytes in a unit that leaves few digits: `12.50kB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1024.0 {
            return scaled(value, unit);
        }
        value /= 1024.0;
    }
    scaled(value, "TB")
}

/// A time in a unit that leaves few digits: `1.20ms`.
pub(super) fn nanos(nanos: u64) -> String {
    let mut value = nanos as f64;
    for unit in ["ns", "us", "ms"] {
        if value < 1000.0 {
            return scaled(value, unit);
        }
        value /= 1000.0;
    }
    if value < 60.0 { scaled(value, "s") } else { scaled(value / 60.0, "m") }
}

fn scaled(value: f64, unit: &str) -> String {
    if value.fract() == 0.0 { format!("{value:.0}{unit}") } else { format!("{value:.2}{unit}") }
}
