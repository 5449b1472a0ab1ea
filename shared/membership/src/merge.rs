//! One view of what several discoveries say. Pure: events in, a view out.

use std::collections::BTreeMap;

use waterbear_ids::NodeId;
use waterbear_protocol::membership::{ClusterView, NodeInfo, NodeState, Role};

/// Who is in the cluster, as far as this node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The nodes, by node id. Those of another build have [`NodeState::Invalid`].
    pub nodes: Vec<NodeInfo>,
    /// True once any discovery has answered: before that an empty view means nothing.
    pub known: bool,
}

impl View {
    /// The workers that take tasks.
    pub fn active_workers(&self) -> impl Iterator<Item = &NodeInfo> {
        let takes_tasks =
            |node: &&NodeInfo| node.role == Role::Worker && node.state == NodeState::Active;
        self.nodes.iter().filter(takes_tasks)
    }

    /// The node with this id.
    pub fn node(&self, id: &NodeId) -> Option<&NodeInfo> {
        self.nodes.iter().find(|node| node.node_id == *id)
    }
}

/// Merges the views of a fixed number of discoveries.
///
/// A node is in the view when any discovery lists it, and leaves when a discovery answers that is
/// not warming and none lists it. While all are warming or away, nobody leaves.
#[derive(Debug)]
pub struct Merge {
    build: String,
    /// The last answer of each discovery; none while it is away.
    answers: Vec<Option<ClusterView>>,
    nodes: BTreeMap<NodeId, NodeInfo>,
    known: bool,
}

impl Merge {
    /// Merges `discoveries` views for a node of `build`.
    pub fn new(discoveries: usize, build: impl Into<String>) -> Self {
        Self {
            build: build.into(),
            answers: vec![None; discoveries],
            nodes: BTreeMap::new(),
            known: false,
        }
    }

    /// The discovery with this number answered.
    pub fn answered(&mut self, discovery: usize, view: ClusterView) {
        self.known = true;
        self.answers[discovery] = Some(view);
        self.merge();
    }

    /// The discovery with this number does not answer.
    pub fn lost(&mut self, discovery: usize) {
        self.answers[discovery] = None;
        self.merge();
    }

    /// The view now.
    pub fn view(&self) -> View {
        View { nodes: self.nodes.values().cloned().collect(), known: self.known }
    }

    fn merge(&mut self) {
        let somebody_is_sure = self.answers.iter().flatten().any(|view| !view.warming);
        let mut merged = BTreeMap::new();
        for node in self.answers.iter().flatten().flat_map(|view| &view.nodes) {
            let mut node = node.clone();
            if node.build != self.build {
                node.state = NodeState::Invalid;
            }
            insert_later(&mut merged, node);
        }
        if !somebody_is_sure {
            for node in std::mem::take(&mut self.nodes).into_values() {
                insert_unlisted(&mut merged, node);
            }
        }
        self.nodes = merged;
    }
}

/// Of two incarnations of a node the later one stays.
fn insert_later(nodes: &mut BTreeMap<NodeId, NodeInfo>, node: NodeInfo) {
    match nodes.get_mut(&node.node_id) {
        None => {
            nodes.insert(node.node_id.clone(), node);
        }
        Some(listed) if listed.incarnation == node.incarnation => {
            // Two discoveries, of which one has not heard the newest state: the cautious one.
            if listed.state == NodeState::Active {
                *listed = node;
            }
        }
        Some(listed) if is_later(&node, listed) => *listed = node,
        Some(_) => {}
    }
}

/// Keeps what was known of a node, unless something newer was said of it.
fn insert_unlisted(nodes: &mut BTreeMap<NodeId, NodeInfo>, node: NodeInfo) {
    let newer = nodes.get(&node.node_id);
    let superseded = newer.is_some_and(|n| n.incarnation == node.incarnation || is_later(n, &node));
    if !superseded {
        nodes.insert(node.node_id.clone(), node);
    }
}

/// True when `node` started after `other`; of two that started together one is the later for all.
fn is_later(node: &NodeInfo, other: &NodeInfo) -> bool {
    (node.started_ms, node.incarnation) > (other.started_ms, other.incarnation)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_ids::Incarnation;

    use super::*;

    const BUILD: &str = "1";

    fn node(id: &str, started_ms: u64) -> NodeInfo {
        NodeInfo {
            node_id: id.parse().unwrap(),
            incarnation: format!("{started_ms:016x}").parse().unwrap(),
            build: BUILD.to_owned(),
            environment: "test".to_owned(),
            role: Role::Worker,
            host: "127.0.0.1".to_owned(),
            internal_port: 1,
            http_port: 2,
            started_ms,
            state: NodeState::Active,
            memory_bytes: 0,
            task_slots: 0,
        }
    }

    fn says(nodes: &[NodeInfo]) -> ClusterView {
        let discovery = Incarnation::random();
        ClusterView { discovery, version: 1, warming: false, nodes: nodes.to_vec() }
    }

    fn says_warming(nodes: &[NodeInfo]) -> ClusterView {
        ClusterView { warming: true, ..says(nodes) }
    }

    #[track_caller]
    fn assert_nodes(merge: &Merge, ids: &[&str]) {
        let view = merge.view();
        let listed: Vec<_> = view.nodes.iter().map(|node| node.node_id.as_str()).collect();
        assert_eq!(listed, ids);
    }

    #[test]
    fn node_listed_by_any_discovery_is_in_the_view() {
        let mut merge = Merge::new(2, BUILD);
        assert!(!merge.view().known);
        merge.answered(0, says(&[node("a", 1)]));
        merge.answered(1, says(&[node("b", 1)]));
        assert_nodes(&merge, &["a", "b"]);
        assert!(merge.view().known);
    }

    #[test]
    fn node_leaves_when_a_discovery_answers_and_none_lists_it() {
        let mut merge = Merge::new(2, BUILD);
        merge.answered(0, says(&[node("a", 1), node("b", 1)]));
        merge.answered(1, says(&[node("b", 1)]));
        merge.answered(0, says(&[]));
        assert_nodes(&merge, &["b"]);
    }

    #[test]
    fn what_a_dead_discovery_listed_leaves_when_the_other_is_sure() {
        let mut merge = Merge::new(2, BUILD);
        merge.answered(0, says(&[node("a", 1)]));
        merge.answered(1, says_warming(&[]));
        merge.lost(0);
        assert_nodes(&merge, &["a"]);
        merge.answered(1, says(&[]));
        assert_nodes(&merge, &[]);
    }

    #[test]
    fn last_view_stays_while_all_discoveries_are_away() {
        let mut merge = Merge::new(1, BUILD);
        merge.answered(0, says(&[node("a", 1)]));
        merge.lost(0);
        merge.lost(0);
        assert_nodes(&merge, &["a"]);
    }

    #[test]
    fn warming_discovery_adds_but_does_not_remove() {
        let mut merge = Merge::new(1, BUILD);
        merge.answered(0, says(&[node("a", 1), node("b", 1)]));
        merge.lost(0);
        merge.answered(0, says_warming(&[node("c", 1)]));
        assert_nodes(&merge, &["a", "b", "c"]);
        merge.answered(0, says(&[node("c", 1), node("a", 1)]));
        assert_nodes(&merge, &["a", "c"]);
    }

    #[test]
    fn later_incarnation_wins_whoever_lists_it() {
        let mut merge = Merge::new(2, BUILD);
        merge.answered(0, says(&[node("a", 2)]));
        merge.answered(1, says(&[node("a", 1)]));
        assert_eq!(merge.view().nodes, [node("a", 2)]);
        merge.answered(1, says(&[node("a", 3)]));
        assert_eq!(merge.view().nodes, [node("a", 3)]);
    }

    #[test]
    fn restarted_node_replaces_its_earlier_self_under_a_warming_discovery() {
        let mut merge = Merge::new(1, BUILD);
        merge.answered(0, says(&[node("a", 1)]));
        merge.answered(0, says_warming(&[node("a", 2)]));
        assert_eq!(merge.view().nodes, [node("a", 2)]);
        merge.answered(0, says_warming(&[]));
        assert_eq!(merge.view().nodes, [node("a", 2)]);
    }

    #[test]
    fn node_of_another_build_is_invalid_and_takes_no_tasks() {
        let mut merge = Merge::new(1, BUILD);
        let stranger = NodeInfo { build: "2".to_owned(), ..node("a", 1) };
        merge.answered(0, says(&[stranger, node("b", 1)]));
        let view = merge.view();
        assert_eq!(view.node(&"a".parse().unwrap()).unwrap().state, NodeState::Invalid);
        let active: Vec<_> = view.active_workers().map(|n| n.node_id.as_str()).collect();
        assert_eq!(active, ["b"]);
    }

    #[test]
    fn draining_is_believed_before_active() {
        let draining = NodeInfo { state: NodeState::Draining, ..node("a", 1) };
        for (first, second) in [(&draining, &node("a", 1)), (&node("a", 1), &draining)] {
            let mut merge = Merge::new(2, BUILD);
            merge.answered(0, says(std::slice::from_ref(first)));
            merge.answered(1, says(std::slice::from_ref(second)));
            assert_eq!(merge.view().nodes, std::slice::from_ref(&draining));
        }
    }
}
