//! Leases and the view. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use waterbear_ids::{Incarnation, NodeId};
use waterbear_protocol::membership::{AnnounceAnswer, ClusterView, NodeInfo};

/// How often [`Registry::tick`] is to be called.
pub const TICK: Duration = Duration::from_millis(100);

/// A tick that comes later than this after its time: the process was frozen or starved, and
/// announcements wait unread.
const LATE: Duration = Duration::from_secs(1);

/// The nodes that announced themselves, each until its lease ends.
#[derive(Debug)]
pub struct Registry {
    incarnation: Incarnation,
    lease: Duration,
    version: u64,
    warming_until: Option<Instant>,
    last_tick: Instant,
    entries: BTreeMap<NodeId, Entry>,
}

#[derive(Debug)]
struct Entry {
    node: NodeInfo,
    lease_ends: Instant,
}

/// What happened to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is listed from now on, or another incarnation of it.
    NodeJoined(NodeInfo),
    /// It said another state or address.
    NodeChanged(NodeInfo),
    /// Its lease ended.
    NodeExpired(NodeInfo),
    /// It said that it goes.
    NodeWithdrew(NodeInfo),
}

impl Registry {
    /// An empty registry that is warming for one lease.
    pub fn new(incarnation: Incarnation, lease: Duration, now: Instant) -> Self {
        Self {
            incarnation,
            lease,
            version: 1,
            warming_until: Some(now + lease),
            last_tick: now,
            entries: BTreeMap::new(),
        }
    }

    /// A node says that it lives. Of two incarnations the one that started later is listed, and
    /// the other told that it was superseded.
    pub fn announce(&mut self, now: Instant, node: NodeInfo) -> (AnnounceAnswer, Option<Event>) {
        let accepted =
            AnnounceAnswer::Accepted { lease_ms: self.lease.as_millis().try_into().unwrap_or(0) };
        let lease_ends = now + self.lease;
        let event = match self.entries.get_mut(&node.node_id) {
            Some(listed) if listed.node == node => {
                listed.lease_ends = lease_ends;
                return (accepted, None);
            }
            Some(listed) if listed.node.incarnation == node.incarnation => {
                Event::NodeChanged(node.clone())
            }
            Some(listed) if started_after(&listed.node, &node) => {
                let by = listed.node.incarnation;
                return (AnnounceAnswer::Superseded { by }, None);
            }
            _ => Event::NodeJoined(node.clone()),
        };
        self.entries.insert(node.node_id.clone(), Entry { node, lease_ends });
        self.version += 1;
        (accepted, Some(event))
    }

    /// A node goes. Another incarnation of it stays.
    pub fn withdraw(&mut self, node: &NodeId, incarnation: Incarnation) -> Option<Event> {
        let listed = self.entries.get(node)?;
        if listed.node.incarnation != incarnation {
            return None;
        }
        let entry = self.entries.remove(node)?;
        self.version += 1;
        Some(Event::NodeWithdrew(entry.node))
    }

    /// Time passes: leases end. When this call itself is late by over a second all leases start
    /// anew, since the silence was ours.
    pub fn tick(&mut self, now: Instant) -> Vec<Event> {
        let since = now.saturating_duration_since(self.last_tick);
        self.last_tick = now;
        if since > TICK + LATE {
            self.start_leases_anew(now);
            return Vec::new();
        }
        if self.warming_until.is_some_and(|end| end <= now) {
            self.warming_until = None;
            self.version += 1;
        }
        let expired: Vec<_> =
            self.entries.extract_if(.., |_, entry| entry.lease_ends <= now).collect();
        if !expired.is_empty() {
            self.version += 1;
        }
        expired.into_iter().map(|(_, entry)| Event::NodeExpired(entry.node)).collect()
    }

    fn start_leases_anew(&mut self, now: Instant) {
        for entry in self.entries.values_mut() {
            entry.lease_ends = now + self.lease;
        }
        if let Some(end) = &mut self.warming_until {
            *end = now + self.lease;
        }
    }

    /// Who is in the cluster.
    pub fn view(&self) -> ClusterView {
        ClusterView {
            discovery: self.incarnation,
            version: self.version,
            warming: self.warming_until.is_some(),
            nodes: self.entries.values().map(|entry| entry.node.clone()).collect(),
        }
    }

    /// Grows with each change of the view.
    pub fn version(&self) -> u64 {
        self.version
    }
}

fn started_after(node: &NodeInfo, other: &NodeInfo) -> bool {
    (node.started_ms, node.incarnation) > (other.started_ms, other.incarnation)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_protocol::membership::{NodeState, Role};

    use super::*;

    const LEASE: Duration = Duration::from_secs(3);

    struct Clock {
        start: Instant,
        registry: Registry,
        passed: Duration,
    }

    impl Clock {
        fn new() -> Self {
            let start = Instant::now();
            let registry = Registry::new(Incarnation::random(), LEASE, start);
            Self { start, registry, passed: Duration::ZERO }
        }

        fn now(&self) -> Instant {
            self.start + self.passed
        }

        /// Lets time pass with all ticks in time; gives what happened.
        fn pass(&mut self, millis: u64) -> Vec<Event> {
            let end = self.passed + Duration::from_millis(millis);
            let mut events = Vec::new();
            while self.passed < end {
                self.passed += TICK;
                events.extend(self.registry.tick(self.now()));
            }
            events
        }

        fn announce(&mut self, node: &NodeInfo) -> (AnnounceAnswer, Option<Event>) {
            self.registry.announce(self.now(), node.clone())
        }

        #[track_caller]
        fn assert_nodes(&self, nodes: &[&NodeInfo]) {
            assert_eq!(self.registry.view().nodes.iter().collect::<Vec<_>>(), nodes);
        }
    }

    fn node(id: &str, started_ms: u64) -> NodeInfo {
        NodeInfo {
            node_id: id.parse().unwrap(),
            incarnation: format!("{started_ms:016x}").parse().unwrap(),
            build: "1".to_owned(),
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

    const ACCEPTED: AnnounceAnswer = AnnounceAnswer::Accepted { lease_ms: 3000 };

    #[test]
    fn node_is_listed_while_it_announces_and_leaves_when_its_lease_ends() {
        let mut clock = Clock::new();
        let a = node("a", 1);
        assert_eq!(clock.announce(&a), (ACCEPTED, Some(Event::NodeJoined(a.clone()))));
        for _ in 0..10 {
            assert_eq!(clock.pass(1000), []);
            let before = clock.registry.version();
            assert_eq!(clock.announce(&a), (ACCEPTED, None));
            assert_eq!(clock.registry.version(), before, "nothing changed for watchers");
        }
        assert_eq!(clock.pass(2900), []);
        clock.assert_nodes(&[&a]);
        assert_eq!(clock.pass(100), [Event::NodeExpired(a)]);
        clock.assert_nodes(&[]);
    }

    #[test]
    fn warming_lasts_one_lease_and_its_end_is_a_change() {
        let mut clock = Clock::new();
        assert!(clock.registry.view().warming);
        clock.pass(2900);
        let before = clock.registry.version();
        assert!(clock.registry.view().warming);
        clock.pass(100);
        assert!(!clock.registry.view().warming);
        assert!(clock.registry.version() > before);
    }

    #[test]
    fn later_incarnation_wins_and_the_earlier_is_told() {
        let mut clock = Clock::new();
        let (early, late) = (node("a", 1), node("a", 2));
        clock.announce(&early);
        assert_eq!(clock.announce(&late).0, ACCEPTED);
        let superseded = AnnounceAnswer::Superseded { by: late.incarnation };
        assert_eq!(clock.announce(&early), (superseded, None));
        clock.assert_nodes(&[&late]);
    }

    #[test]
    fn withdrawn_node_leaves_at_once_but_not_its_later_self() {
        let mut clock = Clock::new();
        let (early, late) = (node("a", 1), node("a", 2));
        clock.announce(&late);
        assert_eq!(clock.registry.withdraw(&early.node_id, early.incarnation), None);
        clock.assert_nodes(&[&late]);
        let event = clock.registry.withdraw(&late.node_id, late.incarnation);
        assert_eq!(event, Some(Event::NodeWithdrew(late)));
        clock.assert_nodes(&[]);
    }

    #[test]
    fn changed_state_is_seen_at_once() {
        let mut clock = Clock::new();
        let a = node("a", 1);
        clock.announce(&a);
        let before = clock.registry.version();
        let draining = NodeInfo { state: NodeState::Draining, ..a };
        clock.announce(&draining);
        assert!(clock.registry.version() > before);
        clock.assert_nodes(&[&draining]);
    }

    #[test]
    fn late_tick_starts_all_leases_and_warming_anew() {
        let mut clock = Clock::new();
        let a = node("a", 1);
        clock.announce(&a);
        // Frozen for ten seconds.
        clock.passed += Duration::from_secs(10);
        assert_eq!(clock.pass(100), []);
        clock.assert_nodes(&[&a]);
        assert_eq!(clock.pass(2900), []);
        assert!(clock.registry.view().warming);
        assert_eq!(clock.pass(100), [Event::NodeExpired(a)]);
        assert!(!clock.registry.view().warming);
    }
}
