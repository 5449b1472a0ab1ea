//! What happens to nodes, outputs and clients.

use std::time::Duration;

use waterbear_scheduler::{AttemptKey, Event, NodeKey, QueryKey, TaskKey};

use super::{Attempt, Model, Node, Source};

impl Model {
    /// One thing happens: mostly a step forward, sometimes a mishap.
    pub fn happen(&mut self) {
        match self.rng.below(100) {
            0..3 => self.add_query(),
            3..6 => self.join_node(),
            6..8 => self.lose_node(),
            8..9 => self.drain_node(),
            9..10 => self.join_again(),
            10..13 => self.damage(),
            13..16 => self.hedge(),
            16..20 => self.give_rows(),
            20..22 => self.find_damage(),
            22..23 => self.repeat_something(),
            23..24 => self.wait_long(),
            24..25 => {
                self.finish_a_query();
            }
            _ => {
                self.step();
            }
        }
    }

    pub fn limit(&self) -> Duration {
        waterbear_scheduler::Options::default().no_nodes_after
    }

    /// A node joins: a new one, or a new life of one that was or is here.
    pub fn join_node(&mut self) {
        self.next_incarnation += 1;
        let node = NodeKey {
            node: self.rng.below(5) as u32,
            // No order in time.
            incarnation: crate::rng::mix(self.next_incarnation),
        };
        self.join(node);
    }

    fn join(&mut self, node: NodeKey) {
        let (places, memory) = (self.rng.between(1, 4) as u32, self.rng.between(40, 150));
        self.on(Event::NodeJoined { node, places, memory });
    }

    /// A node joins as itself: thawed, refreshed, or of a life that is over.
    fn join_again(&mut self) {
        let mut known: Vec<NodeKey> = self.nodes.keys().copied().collect();
        known.extend(self.replaced.iter().copied());
        known.extend(self.held.values().map(|held| held.node));
        let Some(node) = self.rng.pick(&known).copied() else { return };
        // Not smaller than what it has to do.
        match self.nodes.get(&node) {
            Some(here) => {
                let (places, memory) = (here.places + 1, here.memory + 5);
                self.on(Event::NodeJoined { node, places, memory });
            }
            None => self.join(node),
        }
    }

    fn lose_node(&mut self) {
        let nodes: Vec<NodeKey> = self.nodes.keys().copied().collect();
        let Some(node) = self.rng.pick(&nodes).copied() else { return };
        self.on(Event::NodeLost { node });
        if self.rng.chance(40) {
            // It was only frozen.
            let (places, memory) = (self.rng.between(1, 4) as u32, 80);
            self.say(Source::Node(node.node), Event::NodeJoined { node, places, memory });
        }
    }

    fn drain_node(&mut self) {
        let nodes: Vec<NodeKey> = self.nodes.keys().copied().collect();
        if let Some(node) = self.rng.pick(&nodes).copied() {
            self.on(Event::NodeDraining { node });
        }
    }

    /// An output goes bad; whoever reads it will find out.
    fn damage(&mut self) {
        let outputs: Vec<AttemptKey> = self.spool.outputs.keys().copied().collect();
        if let Some(output) = self.rng.pick(&outputs) {
            self.spool.damaged.insert(*output);
        }
    }

    fn hedge(&mut self) {
        let slow: Vec<TaskKey> = (self.calls.iter())
            .filter(|(_, call)| call.attempts.len() == 1)
            .filter(|(_, call)| call.attempts.values().all(|state| *state != Attempt::Waits))
            .map(|(task, _)| *task)
            .collect();
        if let Some(task) = self.rng.pick(&slow).copied() {
            self.seen.hedges += 1;
            self.want_place(task, true);
        }
    }

    /// The client gets rows of the first root tasks that it has none of.
    fn give_rows(&mut self) {
        let Some((key, task)) = self.root_task_to_give() else { return };
        let Some(winner) = self.scheduler.winner(task) else { return };
        if let Some(query) = self.queries.get_mut(&key) {
            query.given.insert(task, winner);
        }
        self.on(Event::RowsGiven { task });
    }

    fn root_task_to_give(&mut self) -> Option<(QueryKey, TaskKey)> {
        let keys: Vec<QueryKey> = self.queries.keys().copied().collect();
        let key = *self.rng.pick(&keys)?;
        let query = self.queries.get(&key)?;
        let stage = query.stages.len() as u32 - 1;
        let task = TaskKey { query: key, stage, task: query.given.len() as u32 };
        (task.task < query.stages.last()?.tasks).then_some((key, task))
    }

    /// The coordinator finds an output damaged.
    fn find_damage(&mut self) {
        let outputs: Vec<AttemptKey> = self.spool.outputs.keys().copied().collect();
        let Some(lost) = self.rng.pick(&outputs).copied() else { return };
        self.spool.damaged.insert(lost);
        self.on(Event::OutputLost { lost });
    }

    /// Something arrives that has been said before, or that nobody could have said.
    fn repeat_something(&mut self) {
        let (query, stage, task) = (QueryKey(self.rng.below(self.next_query + 1)), 0, 0);
        let attempt = TaskKey { query, stage, task }.attempt(self.rng.below(4) as u32);
        let live = |call: &super::Call| call.attempts.contains_key(&attempt.attempt);
        if !self.calls.get(&attempt.task).is_some_and(live) {
            self.on(Event::PlaceReleased { attempt });
            self.on(Event::PlaceWithdrawn { attempt });
        }
    }

    fn wait_long(&mut self) {
        // Where nobody is there for long, queries fail for it: not too often.
        if self.rng.chance(10) {
            let nodes: Vec<NodeKey> = self.nodes.keys().copied().collect();
            for node in nodes {
                self.on(Event::NodeLost { node });
            }
            for _ in 0..5 {
                self.step();
            }
        }
        let Some(wake_at) = self.wake_at.take() else { return };
        self.now = self.now.max(wake_at);
        self.on(Event::TimeCame);
    }

    /// Ends a query that is done. False if there is none.
    pub fn finish_a_query(&mut self) -> bool {
        let done = self.queries.iter().find(|(key, query)| {
            let root = query.stages.len() as u32 - 1;
            let tasks = query.stages.last().map_or(0, |stage| stage.tasks);
            let committed = |task| {
                let task = TaskKey { query: **key, stage: root, task };
                self.scheduler.winner(task).is_some()
            };
            query.done && (0..tasks).all(committed)
        });
        let Some(key) = done.map(|(key, _)| *key) else { return false };
        self.end_query(key);
        true
    }

    /// Follows what an event says of nodes and places, as the scheduler should.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::NodeJoined { node, places, memory } => self.note_join(*node, *places, *memory),
            Event::NodeLost { node } => {
                self.nodes.remove(node);
            }
            Event::NodeDraining { node } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.draining = true;
                }
            }
            Event::PlaceReleased { attempt } | Event::PlaceWithdrawn { attempt } => {
                self.held.remove(attempt);
            }
            _ => {}
        }
        let any = self.nodes.values().any(|node| !node.draining);
        match (any, self.no_nodes_since) {
            (true, _) => self.no_nodes_since = None,
            (false, None) => self.no_nodes_since = Some(self.now),
            (false, Some(_)) => {}
        }
    }

    fn note_join(&mut self, node: NodeKey, places: u32, memory: u64) {
        if self.replaced.contains(&node) {
            return;
        }
        let before = |other: &&NodeKey| other.node == node.node && **other != node;
        let before: Vec<NodeKey> = self.lives.iter().filter(before).copied().collect();
        for other in before {
            self.nodes.remove(&other);
            self.replaced.insert(other);
        }
        self.lives.insert(node);
        self.nodes.insert(node, Node { places, memory, draining: false });
    }
}
