//! Plans for `dot`.

use super::{Part, PlanNode};

/// Writes a plan as a graph: a cluster for each fragment, an edge from each operator to what it
/// reads, and from a fragment to its readers.
pub(super) fn write(parts: &[Part]) -> String {
    let mut graph = "digraph logical_plan {\n".to_owned();
    let mut id = 0;
    let mut reads = Vec::new();
    let mut roots = Vec::new();
    for part in parts {
        let number = part.fragment.unwrap_or_default();
        graph.push_str(&format!("subgraph cluster_{number} {{\n"));
        if part.fragment.is_some() {
            let label = format!("Fragment {number} [{}]", part.partitioning);
            graph.push_str(&format!("label = \"{}\"\n", escaped(&label)));
        }
        roots.push((number, id));
        node(&part.root, &mut id, &mut graph, &mut reads);
        graph.push_str("}\n");
    }
    for (reader, fragment) in reads {
        if let Some((_, root)) = roots.iter().find(|(number, _)| *number == fragment) {
            graph.push_str(&format!("plannode_{reader} -> plannode_{root};\n"));
        }
    }
    graph.push_str("}\n");
    graph
}

fn node(node: &PlanNode, id: &mut u64, graph: &mut String, reads: &mut Vec<(u64, u32)>) -> u64 {
    let own = *id;
    *id += 1;
    let descriptor: Vec<String> =
        node.descriptor.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let label = format!("{{{}|{}}}", record(&node.name), record(&descriptor.join(", ")));
    graph.push_str(&format!(
        "plannode_{own}[label=\"{label}\", style=\"rounded, filled\", shape=record];\n"
    ));
    for (name, value) in &node.descriptor {
        let number = value.trim_matches(['[', ']']).parse();
        if let (true, Ok(number)) = (name == super::fragments::SOURCES, number) {
            reads.push((own, number));
        }
    }
    for child in &node.children {
        let child = self::node(child, id, graph, reads);
        graph.push_str(&format!("plannode_{own} -> plannode_{child};\n"));
    }
    own
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A text inside a record's label.
fn record(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in escaped(text).chars() {
        if matches!(c, '{' | '}' | '|' | '<' | '>') {
            label.push('\\');
        }
        label.push(c);
    }
    label
}
