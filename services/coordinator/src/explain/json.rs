//! Plans for programs.

use serde_json::{Map, Value, json};

use super::{Estimate, Part, PlanNode};

/// Writes a plan: an object with its fragments by number, or the root of a whole plan.
pub(super) fn write(parts: &[Part]) -> String {
    let mut id = 0;
    let mut fragments = Map::new();
    for part in parts {
        let root = node(&part.root, &mut id);
        match part.fragment {
            None => return pretty(&root),
            Some(number) => fragments.insert(number.to_string(), root),
        };
    }
    pretty(&Value::Object(fragments))
}

/// JSON over several lines.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn node(node: &PlanNode, id: &mut u64) -> Value {
    let own = *id;
    *id += 1;
    let descriptor: Map<String, Value> = node
        .descriptor
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(value.clone())))
        .collect();
    let outputs: Vec<Value> = node
        .outputs
        .iter()
        .map(|(symbol, kind)| json!({ "symbol": symbol, "type": kind }))
        .collect();
    let children: Vec<Value> = node.children.iter().map(|child| self::node(child, id)).collect();
    json!({
        "id": own.to_string(),
        "name": node.name,
        "descriptor": descriptor,
        "outputs": outputs,
        "details": node.details,
        "estimates": [estimate(node.estimate)],
        "children": children,
    })
}

/// An estimate; what nobody knows is NaN, for which JSON has only a string.
pub(super) fn estimate(estimate: Estimate) -> Value {
    let number = |value: Option<u64>| value.map_or(json!("NaN"), |value| json!(value as f64));
    json!({
        "outputRowCount": number(estimate.rows),
        "outputSizeInBytes": number(estimate.bytes),
        "cpuCost": "NaN",
        "memoryCost": "NaN",
        "networkCost": "NaN",
    })
}
