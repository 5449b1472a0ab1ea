//! The workers, as the scheduler knows them: who joins, drains, is lost, and is there again.
//!
//! Discovery finds nodes; it does not kill them. A node that it does not list (any more) gets
//! nothing new. It is lost when its port refuses, another process answers there, or it has been
//! silent to the coordinator for the lease; one that was lost by silence and answers again with
//! the same incarnation takes tasks again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use waterbear_ids::NodeId;
use waterbear_membership::View;
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};
use waterbear_scheduler::{Event, NodeKey};

/// What is known of one life of a worker.
#[derive(Debug)]
struct Known {
    info: NodeInfo,
    listed: Listed,
    /// When discovery ceased to list it.
    unlisted: Option<Instant>,
    lost: bool,
}

/// A node that discovery has not listed for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1800);

/// What discovery says of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Active,
    Draining,
    No,
}

/// The workers by the scheduler's keys.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    numbers: HashMap<NodeId, u32>,
    next: u32,
    known: BTreeMap<NodeKey, Known>,
}

impl Nodes {
    /// Takes in a view of the cluster; returns what the scheduler is to know.
    pub(super) fn listed(&mut self, view: &View, time: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let mut now = BTreeMap::new();
        for info in view.nodes.iter().filter(|info| info.role == Role::Worker) {
            let listed = match info.state {
                NodeState::Active => Listed::Active,
                NodeState::Invalid => continue,
                _ => Listed::Draining,
            };
            now.insert(self.key(info), (listed, info));
        }
        for (key, known) in &mut self.known {
            let listed = now.get(key).map_or(Listed::No, |(listed, _)| *listed);
            if listed == known.listed {
                continue;
            }
            known.listed = listed;
            known.unlisted = (listed == Listed::No).then_some(time);
            if let Some((_, info)) = now.get(key) {
                known.info = (*info).clone();
            }
            if !known.lost {
                events.push(known.event(*key));
            }
        }
        for (key, (listed, info)) in now {
            if !self.known.contains_key(&key) {
                let info = info.clone();
                let known = Known { info, listed, unlisted: None, lost: false };
                // An earlier life of the node is over: the scheduler sees that for itself.
                self.known.retain(|other, _| other.node != key.node);
                events.push(known.event(key));
                self.known.insert(key, known);
            }
        }
        self.forget(time, &mut events);
        events
    }

    /// Forgets those that are away for long.
    fn forget(&mut self, time: Instant, events: &mut Vec<Event>) {
        let is_over =
            |known: &Known| known.unlisted.is_some_and(|since| time - since >= FORGOTTEN_AFTER);
        let over: Vec<_> =
            self.known.iter().filter(|(_, known)| is_over(known)).map(|(key, _)| *key).collect();
        for node in over {
            if let Some(known) = self.known.remove(&node) {
                self.numbers.remove(&known.info.node_id);
                events.push(Event::NodeLost { node });
            }
        }
    }

    fn key(&mut self, info: &NodeInfo) -> NodeKey {
        let next = &mut self.next;
        let node = *self.numbers.entry(info.node_id.clone()).or_insert_with(|| {
            *next += 1;
            *next
        });
        NodeKey { node, incarnation: info.incarnation.as_u64() }
    }

    pub(super) fn info(&self, key: NodeKey) -> Option<&NodeInfo> {
        self.known.get(&key).map(|known| &known.info)
    }

    /// The node is lost; `None` when that is known, or the node is not.
    pub(super) fn lost(&mut self, key: NodeKey) -> Option<Event> {
        let known = self.known.get_mut(&key).filter(|known| !known.lost)?;
        known.lost = true;
        Some(Event::NodeLost { node: key })
    }

    /// A node that was lost has answered.
    pub(super) fn back(&mut self, key: NodeKey) -> Option<Event> {
        let known = self.known.get_mut(&key).filter(|known| known.lost)?;
        known.lost = false;
        Some(known.event(key))
    }
}

impl Known {
    fn event(&self, node: NodeKey) -> Event {
        match self.listed {
            Listed::Draining => Event::NodeDraining { node },
            listed => {
                let places = if listed == Listed::Active { self.info.task_slots } else { 0 };
                Event::NodeJoined { node, places, memory: self.info.memory_bytes }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::testing::worker;

    fn view(nodes: &[&NodeInfo]) -> View {
        View { nodes: nodes.iter().map(|node| (*node).clone()).collect(), known: true }
    }

    fn joined(node: NodeKey, places: u32) -> Event {
        Event::NodeJoined { node, places, memory: 4 << 20 }
    }

    #[test]
    fn absence_from_discovery_takes_the_places_and_nothing_else() {
        let (mut nodes, time) = (Nodes::default(), Instant::now());
        let a = worker("a", 7);
        let key = NodeKey { node: 1, incarnation: 7 };
        assert_eq!(nodes.listed(&view(&[&a]), time), [joined(key, 4)]);
        assert_eq!(nodes.listed(&view(&[&a]), time), []);
        assert_eq!(nodes.listed(&view(&[]), time), [joined(key, 0)]);
        assert_eq!(nodes.listed(&view(&[&a]), time), [joined(key, 4)]);
        let draining = NodeInfo { state: NodeState::Draining, ..a };
        assert_eq!(nodes.listed(&view(&[&draining]), time), [Event::NodeDraining { node: key }]);
    }

    #[test]
    fn one_that_is_lost_takes_tasks_only_once_it_has_answered() {
        let (mut nodes, time) = (Nodes::default(), Instant::now());
        let a = worker("a", 7);
        let key = NodeKey { node: 1, incarnation: 7 };
        nodes.listed(&view(&[&a]), time);
        assert_eq!(nodes.lost(key), Some(Event::NodeLost { node: key }));
        assert_eq!(nodes.lost(key), None);
        assert_eq!(nodes.listed(&view(&[]), time), []);
        assert_eq!(nodes.listed(&view(&[&a]), time), [], "listed is not answering");
        assert_eq!(nodes.back(key), Some(joined(key, 4)));
        assert_eq!(nodes.back(key), None);
    }

    #[test]
    fn another_life_of_a_node_ends_the_one_before() {
        let (mut nodes, time) = (Nodes::default(), Instant::now());
        nodes.listed(&view(&[&worker("a", 7)]), time);
        let key = NodeKey { node: 1, incarnation: 8 };
        let events = nodes.listed(&view(&[&worker("a", 8)]), time);
        assert!(events.contains(&joined(key, 4)), "{events:?}");
        assert!(nodes.info(NodeKey { node: 1, incarnation: 7 }).is_none());
    }

    #[test]
    fn those_that_are_away_for_long_are_forgotten_and_may_come_anew() {
        let (mut nodes, time) = (Nodes::default(), Instant::now());
        let (a, b) = (worker("a", 7), worker("b", 9));
        let key = NodeKey { node: 1, incarnation: 7 };
        nodes.listed(&view(&[&a, &b]), time);
        nodes.listed(&view(&[&b]), time);
        let later = time + FORGOTTEN_AFTER;
        assert_eq!(nodes.listed(&view(&[&b]), later), [Event::NodeLost { node: key }]);
        assert!(nodes.info(key).is_none());
        let again = NodeKey { node: 3, incarnation: 7 };
        assert_eq!(nodes.listed(&view(&[&a, &b]), later), [joined(again, 4)]);
    }
}
