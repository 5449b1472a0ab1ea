//! `waterbear drain` and `waterbear shutdown`: an operator changes the states of nodes.
//!
//! He finds the nodes through discovery and proves who he is by a certificate of his own, made of
//! the cluster's secret.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;
use futures::future::join_all;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use waterbear_config::Config;
use waterbear_ids::NodeId;
use waterbear_membership::View;
use waterbear_outbound::{Channel, InternalClient, NodeSecurity, Peer, SecurityOptions};
use waterbear_protocol::membership::{ClusterView, NodeInfo, NodeState, Role};

use crate::RoleArgs;
use crate::roles::{Source, discovery_peers, environment, warn};
use crate::sql::request::HttpClient;

/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often the cluster is looked at while it is waited for.
const PAUSE: Duration = Duration::from_millis(200);
/// An operator's command does not take so long, but for one that waits; then it makes a new one.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Which nodes, and where the cluster is.
#[derive(Args)]
struct Nodes {
    /// node.id of a node; several may follow.
    #[arg(long = "node", value_name = "ID", required = true, num_args = 1..)]
    ids: Vec<NodeId>,
    #[command(flatten)]
    config: RoleArgs,
}

/// What `drain` can be told.
#[derive(Args)]
pub struct DrainArgs {
    #[command(flatten)]
    nodes: Nodes,
    /// Wait until they have no task left, however long that takes.
    #[arg(long, conflicts_with = "undo")]
    wait: bool,
    /// Take the nodes back: they are given tasks again.
    #[arg(long)]
    undo: bool,
}

/// What `shutdown` can be told.
#[derive(Args)]
pub struct ShutdownArgs {
    #[command(flatten)]
    nodes: Nodes,
    /// Wait until they are gone.
    #[arg(long)]
    wait: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Drained,
    Gone,
}

/// Drains workers, or takes them back; fails when one cannot be.
pub async fn drain(args: DrainArgs) -> ExitCode {
    let wanted = if args.undo { NodeState::Active } else { NodeState::Draining };
    finish("drain", change(args.nodes, wanted, args.wait.then_some(Until::Drained)).await)
}

/// Ends nodes; fails when one cannot be told to.
pub async fn shut_down(args: ShutdownArgs) -> ExitCode {
    let until = args.wait.then_some(Until::Gone);
    finish("shutdown", change(args.nodes, NodeState::ShuttingDown, until).await)
}

fn finish(command: &str, done: Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("waterbear {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Changes the state of each node, one line for each. False when one was not changed.
async fn change(args: Nodes, wanted: NodeState, until: Option<Until>) -> Result<bool> {
    waterbear_telemetry::init_quiet_logging();
    let source = Source::from(args.config);
    let etc_dir = source.etc_dir.as_deref();
    let config = Config::load(Role::Operator, etc_dir, &source.properties, &environment)?;
    warn(&config);
    let operator = Operator::new(&config)?;
    let nodes = named(&operator.cluster().await?, &args.ids)?;
    let mut changed = Vec::new();
    for node in &nodes {
        match operator.change(node, wanted).await {
            Ok(state) => {
                println!("{}: {state}", node.node_id);
                changed.push((node, state));
            }
            Err(error) => eprintln!("{}: {error:#}", node.node_id),
        }
    }
    let mut all = changed.len() == nodes.len();
    if let Some(until) = until {
        changed.retain(|(_, state)| until == Until::Gone || *state != NodeState::Drained);
        let waited = changed.iter().map(|(node, _)| operator.wait(node, until));
        for (waited, (node, _)) in join_all(waited).await.into_iter().zip(&changed) {
            if let Err(error) = waited {
                eprintln!("{}: {error:#}", node.node_id);
                all = false;
            }
        }
    }
    Ok(all)
}

/// All nodes that any discovery lists, with the state that each says of itself: those of another
/// build, too, since it is they that are drained at an upgrade.
fn merged(views: Vec<ClusterView>) -> View {
    let mut nodes = BTreeMap::<NodeId, NodeInfo>::new();
    for node in views.into_iter().flat_map(|view| view.nodes) {
        let known = nodes.get(&node.node_id);
        if known.is_none_or(|known| known.started_ms <= node.started_ms) {
            nodes.insert(node.node_id.clone(), node);
        }
    }
    View { nodes: nodes.into_values().collect(), known: true }
}

/// The nodes with these names, each once.
fn named(cluster: &View, ids: &[NodeId]) -> Result<Vec<NodeInfo>> {
    let ids: BTreeSet<&NodeId> = ids.iter().collect();
    let (known, unknown): (Vec<_>, Vec<_>) =
        ids.into_iter().map(|id| (id, cluster.node(id))).partition(|(_, node)| node.is_some());
    if unknown.is_empty() {
        return Ok(known.into_iter().filter_map(|(_, node)| node.cloned()).collect());
    }
    let list = |texts: Vec<String>| texts.join(", ");
    let unknown = list(unknown.iter().map(|(id, _)| format!("'{id}'")).collect());
    let nodes = cluster.nodes.iter().map(|node| format!("{} ({})", node.node_id, node.role));
    bail!("the cluster has no node {unknown}: its nodes are {}", list(nodes.collect()))
}

/// A person's way into the cluster.
struct Operator {
    client: InternalClient,
    tls: bool,
    discovery: Vec<Peer>,
}

impl Operator {
    fn new(config: &Config) -> Result<Self> {
        let secret = config.internal.shared_secret.as_ref();
        let secret = secret.context("internal-communication.shared-secret is required")?;
        let security = NodeSecurity::new(SecurityOptions {
            secret: secret.expose().as_bytes().to_vec(),
            environment: config.node.environment.clone(),
            role: Role::Operator,
            node_id: NodeId::random(),
            names: vec!["localhost".to_owned()],
            tls: config.internal.https_required,
            leaf_lifetime: CERTIFICATE_LIFETIME,
            http2: config.internal.http2,
        })?;
        Ok(Self {
            client: security.client(Channel::Control),
            tls: config.internal.https_required,
            discovery: discovery_peers(config),
        })
    }

    /// What the discoveries list; fails when none answers.
    async fn cluster(&self) -> Result<View> {
        let answers = self.discovery.iter().map(|peer| {
            let headers = HeaderMap::new();
            let body = None::<&()>;
            self.client.json::<_, ClusterView>(
                peer,
                Method::GET,
                "/v1/nodes",
                headers,
                body,
                TIMEOUT,
            )
        });
        let (mut views, mut errors) = (Vec::new(), Vec::new());
        for answer in join_all(answers).await {
            match answer {
                Ok(view) => views.push(view),
                Err(error) => errors.push(error.to_string()),
            }
        }
        ensure!(!views.is_empty(), "no discovery answers: {}", errors.join("; "));
        Ok(merged(views))
    }

    async fn change(&self, node: &NodeInfo, wanted: NodeState) -> Result<NodeState> {
        if self.tls && node.role == Role::Coordinator {
            return change_here(node, wanted).await;
        }
        let (peer, headers) = (Peer::Node(node.clone()), HeaderMap::new());
        let path = "/v1/info/state";
        let answer = self.client.json(&peer, Method::PUT, path, headers, Some(&wanted), TIMEOUT);
        Ok(answer.await?)
    }

    /// Waits until the node is what was asked for, and says so.
    async fn wait(&self, node: &NodeInfo, until: Until) -> Result<()> {
        let id = &node.node_id;
        loop {
            tokio::time::sleep(PAUSE).await;
            // A discovery that is away, or is the node that ends, says nothing of it.
            let cluster = match self.cluster().await {
                Ok(cluster) => cluster,
                Err(_) if until == Until::Gone && node.role == Role::Discovery => View::default(),
                Err(_) => continue,
            };
            let listed = cluster.node(id).filter(|found| found.incarnation == node.incarnation);
            match (until, listed.map(|found| found.state)) {
                (Until::Gone, None) => {
                    println!("{id}: gone");
                    return Ok(());
                }
                (Until::Drained, Some(NodeState::Drained)) => {
                    println!("{id}: {}", NodeState::Drained);
                    return Ok(());
                }
                (Until::Drained, None) => bail!("is gone, and nobody saw it drained"),
                (Until::Drained, Some(NodeState::Active)) => bail!("was taken back"),
                _ => {}
            }
        }
    }
}

/// A coordinator has no internal listener, only the port for clients, on which its own machine
/// alone may change its state: so this must be that machine.
async fn change_here(node: &NodeInfo, wanted: NodeState) -> Result<NodeState> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        node_id: String,
        environment: String,
    }
    let (http, server) = (HttpClient::new(), format!("http://127.0.0.1:{}", node.http_port));
    let info = format!("{server}/v1/info");
    let found = http.send(Method::GET, &info, HeaderMap::new(), Bytes::new(), TIMEOUT).await;
    let found = found.ok().and_then(|answer| serde_json::from_slice::<Info>(&answer.body).ok());
    let is_it =
        |info: Info| info.node_id == node.node_id.as_str() && info.environment == node.environment;
    ensure!(
        found.is_some_and(is_it),
        "a coordinator's state is changed on its own machine alone ({}), and it does not answer at \
         {server}: run this command there, or send SIGTERM to its process",
        node.host
    );
    let body = Bytes::from(serde_json::to_vec(&wanted)?);
    let path = format!("{server}/v1/info/state");
    let answer = http.send(Method::PUT, &path, HeaderMap::new(), body, TIMEOUT).await;
    let answer = answer.map_err(|reason| anyhow!(reason))?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == StatusCode::OK, "answered {}: {text}", answer.status);
    serde_json::from_str(&text).with_context(|| format!("answered {text}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use waterbear_ids::Incarnation;

    use super::*;

    fn cluster() -> View {
        let node = |id: &str, role: Role| NodeInfo {
            node_id: id.parse().unwrap(),
            incarnation: Incarnation::random(),
            build: "another".to_owned(),
            environment: "test".to_owned(),
            role,
            host: "127.0.0.1".to_owned(),
            internal_port: 1,
            http_port: 2,
            started_ms: 1,
            state: NodeState::Active,
            memory_bytes: 0,
            task_slots: 0,
        };
        let nodes = vec![node("c1", Role::Coordinator), node("w1", Role::Worker)];
        View { nodes, known: true }
    }

    fn ids(ids: &[&str]) -> Vec<NodeId> {
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn nodes_are_found_by_name_each_once() {
        let found = named(&cluster(), &ids(&["w1", "c1", "w1"])).unwrap();
        let found: Vec<_> = found.iter().map(|node| node.node_id.as_str()).collect();
        assert_eq!(found, ["c1", "w1"]);
    }

    #[test]
    fn an_unknown_node_is_told_with_those_that_there_are() {
        let error = named(&cluster(), &ids(&["w1", "w9", "x"])).unwrap_err().to_string();
        let text = "the cluster has no node 'w9', 'x': its nodes are c1 (coordinator), w1 (worker)";
        assert_eq!(error, text);
    }

    #[test]
    fn the_later_life_of_a_node_counts_whatever_its_build() {
        let says = |started_ms: u64, state: NodeState| {
            let node = NodeInfo { started_ms, state, ..cluster().nodes[1].clone() };
            let discovery = Incarnation::random();
            ClusterView { discovery, version: 1, warming: false, nodes: vec![node] }
        };
        let (early, late) = (says(1, NodeState::Active), says(2, NodeState::Draining));
        for views in [vec![early.clone(), late.clone()], vec![late.clone(), early]] {
            assert_eq!(merged(views).nodes, late.nodes);
        }
    }

    #[tokio::test]
    async fn a_coordinator_elsewhere_is_not_asked() {
        let coordinator = cluster().nodes[0].clone();
        let error = change_here(&coordinator, NodeState::ShuttingDown).await.unwrap_err();
        assert!(error.to_string().contains("SIGTERM"), "{error}");
    }
}
