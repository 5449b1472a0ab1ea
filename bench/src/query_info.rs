//! What a coordinator says of a query at `/v1/query/{id}`, and of its plan in EXPLAIN.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;

use crate::client::Client;

/// A query's tasks.
#[derive(Deserialize)]
pub struct QueryInfo {
    /// All attempts.
    pub tasks: Vec<Attempt>,
}

/// One attempt of a task.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The worker that it ran on.
    pub node_id: String,
    /// Its fragment.
    pub stage: u32,
    /// Where it stands.
    pub state: String,
    /// What it has cost.
    pub stats: AttemptStats,
}

/// As in the worker's own words.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct AttemptStats {
    /// Bytes written to the spool.
    pub spooled_bytes: u64,
    /// Requests that wrote to it.
    pub spool_writes: u64,
    /// Requests that read from it.
    pub spool_reads: u64,
    /// Reads that the memory of the producer's worker has answered.
    pub spool_memory_reads: u64,
}

impl Attempt {
    /// Whether it has committed.
    pub fn is_finished(&self) -> bool {
        self.state == "FINISHED"
    }
}

impl QueryInfo {
    /// Asks for a query that has ended.
    pub async fn of(client: &Client, id: &str) -> anyhow::Result<Self> {
        let text = client.text(&format!("/v1/query/{id}")).await?;
        serde_json::from_str(&text).with_context(|| format!("what is said of {id}"))
    }

    /// How many tasks have committed.
    pub fn finished(&self) -> usize {
        self.tasks.iter().filter(|task| task.is_finished()).count()
    }

    /// How many stages there are.
    pub fn stages(&self) -> usize {
        self.tasks.iter().map(|task| task.stage).collect::<BTreeSet<_>>().len()
    }
}

/// Which fragments each fragment reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Inputs(BTreeMap<u32, BTreeSet<u32>>);

impl Inputs {
    /// Asks for the plan of a statement.
    pub async fn of(client: &Client, sql: &str) -> anyhow::Result<Self> {
        let answer = client.run(&format!("EXPLAIN (TYPE DISTRIBUTED) {sql}")).await?;
        let rows = answer.values()?;
        let lines: Vec<String> = rows.into_iter().flatten().flatten().collect();
        Self::parse(&lines.join("\n")).context("the plan has no fragments")
    }

    pub fn parse(plan: &str) -> Option<Self> {
        let mut inputs = BTreeMap::<u32, BTreeSet<u32>>::new();
        let mut fragment = None;
        for line in plan.lines() {
            if let Some(rest) = line.strip_prefix("Fragment ") {
                fragment = Some(number(rest)?);
                inputs.entry(number(rest)?).or_default();
            } else if let Some((_, rest)) = line.split_once("sourceFragmentIds") {
                let listed = rest.split_once('[')?.1.split_once(']')?.0;
                let sources = listed.split(',').filter_map(|source| number(source.trim()));
                inputs.entry(fragment?).or_default().extend(sources);
            }
        }
        (!inputs.is_empty()).then_some(Self(inputs))
    }

    /// The fragments that a fragment reads.
    pub fn of_fragment(&self, fragment: u32) -> impl Iterator<Item = u32> {
        self.0.get(&fragment).into_iter().flatten().copied()
    }

    /// All fragments.
    pub fn fragments(&self) -> BTreeSet<u32> {
        self.0.keys().copied().collect()
    }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_read_from_the_document() {
        let text = r#"{"queryId":"q","tasks":[
            {"taskId":"q.1.0.0","nodeId":"worker-1","stage":1,"state":"FAILED","stats":{}},
            {"taskId":"q.1.0.1","nodeId":"worker-2","stage":1,"state":"FINISHED",
             "stats":{"created_ms":5,"spooled_bytes":70,"spool_writes":2,"spool_reads":1,
                      "spool_memory_reads":9}},
            {"taskId":"q.0.0.0","nodeId":"worker-2","stage":0,"state":"FINISHED","stats":{}}]}"#;
        let info: QueryInfo = serde_json::from_str(text).unwrap();
        assert_eq!((info.finished(), info.stages()), (2, 2));
        let AttemptStats { spooled_bytes, spool_writes, spool_reads, spool_memory_reads } =
            info.tasks[1].stats;
        assert_eq!((spooled_bytes, spool_writes), (70, 2));
        assert_eq!((spool_reads, spool_memory_reads), (1, 9));
    }

    #[test]
    fn inputs_are_read_from_the_plan() {
        let plan = "Fragment 0 [SINGLE]\n    Output layout: [a]\n    RemoteSource\
            [sourceFragmentIds = [1]]\n\nFragment 1 [HASH]\n  Join\n    RemoteSource\
            [sourceFragmentIds = [2]]\n    RemoteSource[sourceFragmentIds = [3, 12]]\n\
            Fragment 2 [SOURCE]\nFragment 3 [SOURCE]\nFragment 12 [SOURCE]\n";
        let inputs = Inputs::parse(plan).unwrap();
        let of = |fragment| inputs.of_fragment(fragment).collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2)), (vec![1], vec![2, 3, 12], vec![]));
        assert_eq!(inputs.fragments(), BTreeSet::from([0, 1, 2, 3, 12]));
        assert_eq!(Inputs::parse("TableScan"), None);
    }
}
