//! What must hold after each event, and at the end.

use std::collections::BTreeMap;

use waterbear_scheduler::{AttemptKey, Event, NodeKey, NodeUse, QueryKey, TaskKey};

use super::{Model, Query};

impl Model {
    pub fn check(&mut self, event: &Event) {
        self.check_places(event);
        self.check_nodes(event);
        self.check_nobody_waits_in_vain(event);
        self.check_rows(event);
    }

    /// No attempt waits that would fit on a node which is kept for nobody. Of queries where more
    /// wait than are tried in a turn, nothing is said.
    fn check_nobody_waits_in_vain(&self, event: &Event) {
        let waiting: Vec<AttemptKey> = self.scheduler.waiting().collect();
        let firsts_wait = waiting.iter().any(|attempt| !self.wants[attempt].hedge);
        for attempt in &waiting {
            let (query, want) = (attempt.task.query, &self.wants[attempt]);
            let of_query = match want.hedge {
                true if firsts_wait => continue,
                true => self.scheduler.waiting_hedges(query),
                false => self.scheduler.waiting_attempts(query),
            };
            if of_query > 8 {
                continue;
            }
            let candidates = |avoid: &[NodeKey]| {
                let nodes = self.scheduler.nodes().filter(|node| !node.draining);
                nodes.filter(|node| !avoid.contains(&node.node)).collect::<Vec<_>>()
            };
            let mut among = candidates(&want.avoid);
            if among.is_empty() {
                among = candidates(&[]);
            }
            let largest = among.iter().map(|node| node.memory).max().unwrap_or_default();
            let fits = |node: &NodeUse| {
                let free = node.memory.saturating_sub(node.memory_in_use);
                let alone = want.memory <= largest || node.places_in_use == 0;
                node.places_in_use < node.places && free >= want.memory.min(largest) && alone
            };
            let open = among.iter().find(|node| node.reserved_for.is_none() && fits(node));
            assert!(open.is_none(), "{attempt:?} fits on {open:?} after {event:?}");
        }
    }

    /// No place is given twice or kept by somebody who has given it back.
    fn check_places(&self, event: &Event) {
        let placed: BTreeMap<AttemptKey, NodeKey> = self.scheduler.placed().collect();
        let held: BTreeMap<AttemptKey, NodeKey> =
            self.held.iter().map(|(attempt, held)| (*attempt, held.node)).collect();
        assert_eq!(placed, held, "after {event:?}");
    }

    fn check_nodes(&mut self, event: &Event) {
        let mut count = 0;
        for shown in self.scheduler.nodes() {
            count += 1;
            let Some(node) = self.nodes.get(&shown.node) else {
                panic!("{:?} is here after {event:?}", shown.node);
            };
            let of_model = (node.places, node.memory, node.draining);
            assert_eq!((shown.places, shown.memory, shown.draining), of_model, "{event:?}");
            let held = self.held.values().filter(|held| held.node == shown.node);
            let (places, memory) =
                held.fold((0, 0), |(places, memory), held| (places + 1, memory + held.memory));
            assert_eq!((shown.places_in_use, shown.memory_in_use), (places, memory), "{event:?}");
            self.seen.kept += u64::from(shown.reserved_for.is_some());
        }
        assert_eq!(count, self.nodes.len(), "after {event:?}");
    }

    /// Whatever stands has been made from what stands.
    fn check_rows(&self, event: &Event) {
        for (key, query) in &self.queries {
            if self.scheduler.stages(*key).is_none() {
                continue;
            }
            for (task, winner) in self.winners(*key, query) {
                for (producer, rows) in &self.spool.outputs[&winner].read {
                    self.check_same_rows(*producer, *rows, &(task, event));
                }
            }
            for (task, given) in &query.given {
                let winner = self.scheduler.winner(*task);
                assert_eq!(winner, Some(*given), "rows of {task:?} are taken back by {event:?}");
            }
        }
        for (task, call) in &self.calls {
            for input in &call.inputs {
                let rows = self.spool.outputs[input].rows;
                self.check_same_rows(input.task, rows, &(task, event));
            }
        }
    }

    fn check_same_rows(&self, producer: TaskKey, rows: u64, reader: &dyn std::fmt::Debug) {
        if let Some(winner) = self.scheduler.winner(producer) {
            let now = self.spool.outputs[&producer.attempt(winner)].rows;
            assert_eq!(now, rows, "{producer:?} is not what was read of it: {reader:?}");
        }
    }

    fn winners(&self, key: QueryKey, query: &Query) -> Vec<(TaskKey, AttemptKey)> {
        let stages = query.stages.iter().enumerate();
        let tasks = stages.flat_map(|(stage, of_stage)| {
            (0..of_stage.tasks).map(move |task| TaskKey { query: key, stage: stage as u32, task })
        });
        tasks.filter_map(|task| Some((task, task.attempt(self.scheduler.winner(task)?)))).collect()
    }

    pub fn check_winners(&self, key: QueryKey, winners: &[AttemptKey]) {
        if self.scheduler.stages(key).is_none() {
            // The same event made it fail: something that was made again found no node.
            return;
        }
        let query = &self.queries[&key];
        let root = query.stages.len() as u32 - 1;
        let mut of_root = self.winners(key, query);
        of_root.retain(|(task, _)| task.stage == root);
        let of_root: Vec<AttemptKey> = of_root.into_iter().map(|(_, winner)| winner).collect();
        assert_eq!(winners, of_root);
        assert_eq!(Some(winners.len() as u32), query.stages.last().map(|stage| stage.tasks));
    }

    pub fn check_nothing_is_left(&self) {
        let left: Vec<_> =
            self.queries.keys().map(|key| (key, self.scheduler.stages(*key))).collect();
        assert!(left.is_empty(), "these never end: {left:?}");
        assert!(self.pending.is_empty() && self.calls.is_empty(), "it goes round in circles");
        assert!(self.held.is_empty());
        assert!(self.scheduler.is_idle(), "{:?}", self.scheduler);
    }
}
