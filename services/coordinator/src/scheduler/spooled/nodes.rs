//! The workers, as the scheduler knows them: who joins, drains, is lost, and is there again.
//!
//! Discovery finds nodes; it does not kill them. A node that it does not list (any more) gets
//! nothing new. It is lost when its port refuses, another process answers there, or it has been
//! silent to the coordinator for the lease; one that was lost by silence and answers again with
//! the same incarnation takes tasks again.

use std::collections::{BTreeMap, HashMap};

use waterbear_ids::NodeId;
use waterbear_membership::View;
use waterbear_protocol::membership::{NodeInfo, NodeState, Role};
use waterbear_scheduler::{Event, NodeKey};

/// What is known of one life of a worker.
#[derive(Debug)]
struct Known {
    info: NodeInfo,
    listed: Listed,
    lost: bool,
}

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
    known: BTreeMap<NodeKey, Known>,
}

impl Nodes {
    /// Takes in a view of the cluster; returns what the scheduler is to know.
    pub(super) fn listed(&mut self, view: &View) -> Vec<Event> {
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
            if let Some((_, info)) = now.get(key) {
                known.info = (*info).clone();
            }
            if !known.lost {
                events.push(known.event(*key));
            }
        }
        for (key, (listed, info)) in now {
            if !self.known.contains_key(&key) {
                let known = Known { info: info.clone(), listed, lost: false };
                // An earlier life of the node is over: the scheduler sees that for itself.
                self.known.retain(|other, _| other.node != key.node);
                events.push(known.event(key));
                self.known.insert(key, known);
            }
        }
        events
    }

    fn key(&mut self, info: &NodeInfo) -> NodeKey {
        let next = self.numbers.len() as u32;
        let node = *self.numbers.entry(info.node_id.clone()).or_insert(next);
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
