//! How plans are written.
#![allow(clippy::unwrap_used)]

use serde_json::Value;

use super::*;

fn leaf(name: &str) -> PlanNode {
    PlanNode {
        name: name.to_owned(),
        descriptor: vec![("table".to_owned(), "a.b".to_owned())],
        outputs: vec![("x".to_owned(), "bigint".to_owned())],
        estimate: Estimate { rows: Some(25), bytes: Some(1536) },
        ..PlanNode::default()
    }
}

fn plan() -> Part {
    let join = PlanNode {
        name: "InnerJoin".to_owned(),
        details: vec!["CPU: 1ms".to_owned()],
        children: vec![leaf("TableScan"), leaf("Values")],
        ..PlanNode::default()
    };
    Part { root: output_node(&["n".to_owned()], join), ..Part::default() }
}

#[test]
fn trees_are_drawn() {
    let text = write(&[plan()], ExplainFormat::Text);
    let (_, tree) = text.split_once('\n').unwrap();
    let expected = "\
Output[columnNames = [n]]
│   Layout: []
│   Estimates: {rows: ? (?)}
└─ InnerJoin[]
   │   Layout: []
   │   Estimates: {rows: ? (?)}
   │   CPU: 1ms
   ├─ TableScan[table = a.b]
   │      Layout: [x:bigint]
   │      Estimates: {rows: 25 (1.50kB)}
   └─ Values[table = a.b]
          Layout: [x:bigint]
          Estimates: {rows: 25 (1.50kB)}
";
    assert_eq!(tree, expected);
}

#[test]
fn programs_read_fragments_by_number() {
    let whole: Value = serde_json::from_str(&write(&[plan()], ExplainFormat::Json)).unwrap();
    assert_eq!(whole["name"], "Output");
    assert_eq!(whole["estimates"][0]["outputRowCount"], "NaN");
    let scan = &whole["children"][0]["children"][0];
    assert_eq!(scan["descriptor"]["table"], "a.b");
    assert_eq!(scan["outputs"][0]["symbol"], "x");
    assert_eq!(scan["estimates"][0]["outputRowCount"], 25.0);
    let parts = [Part { fragment: Some(0), ..plan() }, Part { fragment: Some(2), ..plan() }];
    let fragments: Value = serde_json::from_str(&write(&parts, ExplainFormat::Json)).unwrap();
    assert_eq!(fragments["2"]["name"], "Output");
}

#[test]
fn graphs_have_an_edge_from_reader_to_source() {
    let source = PlanNode {
        name: "RemoteSource".to_owned(),
        descriptor: vec![(fragments::SOURCES.to_owned(), "[1]".to_owned())],
        ..PlanNode::default()
    };
    let parts = [
        Part { fragment: Some(0), root: source, ..Part::default() },
        Part { fragment: Some(1), root: leaf("Table \"{x}\""), ..Part::default() },
    ];
    let graph = write(&parts, ExplainFormat::Graphviz);
    assert!(graph.starts_with("digraph logical_plan {"), "{graph}");
    assert!(graph.contains("plannode_0 -> plannode_1;"), "{graph}");
    assert!(graph.contains("{Table \\\"\\{x\\}\\\"|table = a.b}"), "{graph}");
}
