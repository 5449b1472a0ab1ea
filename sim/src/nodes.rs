//! The workers as the coordinator knows them, after spooled/nodes.rs and spooled/probe.rs; and
//! what discovery lists.

use std::collections::BTreeMap;

use waterbear_scheduler::{Event, NodeKey};

use crate::base::{MS, S, Time};
use crate::setup::Fault;
use crate::sim::{LEASE, Sim};
use crate::state::{Answer, Kind, Known, Listed, Message, Request, What};

impl Sim {
    /// Takes in the view of the cluster.
    pub(crate) fn view(&mut self) {
        let mut events = Vec::new();
        let mut now = BTreeMap::new();
        for (number, worker) in self.workers.iter().enumerate() {
            if let Some((incarnation, draining)) = worker.listed {
                let listed = if draining { Listed::Draining } else { Listed::Active };
                now.insert(NodeKey { node: number as u32, incarnation }, (listed, worker.size));
            }
        }
        let changed: Vec<(NodeKey, Known)> = (self.nodes.iter_mut())
            .filter_map(|(key, known)| {
                let (listed, size) = now.get(key).copied().unwrap_or((Listed::No, known.size));
                let changed = listed != known.listed;
                (known.listed, known.size) = (listed, size);
                (changed && !known.lost).then_some((*key, *known))
            })
            .collect();
        for (key, known) in changed {
            events.push(event_of(key, known));
        }
        for (key, (listed, size)) in now {
            if !self.nodes.contains_key(&key) {
                let known = Known { listed, size, lost: false, lost_at: None };
                self.nodes.retain(|other, _| other.node != key.node);
                events.push(event_of(key, known));
                self.nodes.insert(key, known);
            }
        }
        for event in events {
            self.happened(event);
        }
    }

    pub(crate) fn node_lost(&mut self, node: NodeKey) -> Option<Event> {
        let known = self.nodes.get_mut(&node).filter(|known| !known.lost)?;
        known.lost = true;
        self.tally.nodes_lost += 1;
        let worker = &self.workers[node.node as usize];
        let heard = worker.up && worker.incarnation == node.incarnation && worker.impaired == 0;
        let sound = !self.setup.breaks(Fault::LostAnswers) && !self.setup.breaks(Fault::BadNetwork);
        // It was the coordinator that stood still.
        self.tally.false_losses += u64::from(heard && sound);
        Some(Event::NodeLost { node })
    }

    pub(crate) fn node_back(&mut self, node: NodeKey) -> Option<Event> {
        let known = self.nodes.get_mut(&node).filter(|known| known.lost)?;
        (known.lost, known.lost_at) = (false, None);
        let known = *known;
        self.tally.nodes_back += 1;
        Some(event_of(node, known))
    }

    pub(crate) fn probe(&mut self, node: NodeKey, since: Time) {
        let attempt = waterbear_scheduler::TaskKey {
            query: waterbear_scheduler::QueryKey(u64::MAX),
            stage: 0,
            task: 0,
        };
        let (attempt, kind) = (attempt.attempt(0), Kind::Probe(since));
        self.next_request += 1;
        let number = self.next_request;
        self.probes.insert(node, number);
        self.send(Request { kind, attempt, call: 0, number, node });
        // An answer that comes in time makes this one stale.
        self.after(S, What::Probed { node, since, number, answer: Answer::Broken });
    }

    pub(crate) fn probed(&mut self, node: NodeKey, since: Time, number: u64, answer: Answer) {
        if self.probes.get(&node) != Some(&number) {
            return;
        }
        self.probes.remove(&node);
        match answer {
            Answer::Unknown => self.mail(Message::Back(node)),
            Answer::Refused | Answer::Conflict => {}
            _ if self.now > since + 1_800 * S => {}
            _ => self.after(250 * MS, What::Probe { node, since }),
        }
    }

    // === discovery

    /// A worker's state reaches discovery, or its silence does.
    pub(crate) fn announce(&mut self, number: usize) {
        let now = self.now;
        let worker = &mut self.workers[number];
        let heard = worker.up && now >= worker.frozen && now >= worker.forgotten;
        let listed = heard.then_some((worker.incarnation, worker.draining));
        if listed != worker.listed {
            worker.listed = listed;
            if listed.is_some() {
                worker.size = (worker.places, worker.memory);
            }
            let late = self.rng.spread(MS, 300 * MS);
            self.after(late, What::View);
        }
    }

    /// A worker's process starts.
    pub(crate) fn start(&mut self, number: usize) {
        self.next_incarnation += 1;
        // Random ones say nothing about which was first.
        let incarnation = crate::base::mix(self.seed ^ self.next_incarnation);
        let other = self.next_incarnation > self.workers.len() as u64 && self.rng.chance(200);
        let sizes = (self.rng.between(1, 4) as u32, 100 * self.rng.between(2, 8));
        let worker = &mut self.workers[number];
        if worker.up {
            return;
        }
        if other {
            (worker.places, worker.memory) = sizes;
        }
        worker.up = true;
        worker.incarnation = incarnation;
        (worker.frozen, worker.draining, worker.ticking) = (0, false, false);
        worker.jobs.clear();
        worker.late.clear();
        let late = self.rng.between(5 * MS, 100 * MS);
        self.after(late, What::Announce(number));
    }

    /// What does not answer is missed after the lease.
    pub(crate) fn missed(&mut self, number: usize) {
        self.after(LEASE, What::Announce(number));
    }
}

fn event_of(node: NodeKey, known: Known) -> Event {
    let (places, memory) = known.size;
    match known.listed {
        Listed::Draining => Event::NodeDraining { node },
        Listed::Active => Event::NodeJoined { node, places, memory },
        Listed::No => Event::NodeJoined { node, places: 0, memory },
    }
}
