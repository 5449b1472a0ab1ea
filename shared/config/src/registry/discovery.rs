//! Who is in the cluster, and how a node leaves it.

use super::kind::{COUNT, Kind, TIME};
use super::{
    CONNECTING, COORDINATOR, Property, QUERYING, SERVICES, WORKER, honoured, ignored, refused,
};

const LEASE: &str = "nodes announce themselves each second, with a lease of 3s";
const FAILURES: &str = "a node is lost when its port refuses, another incarnation answers, or it is silent for its lease of 3s";

#[rustfmt::skip]
pub(crate) const PROPERTIES: &[Property] = &[
    honoured("coordinator", Kind::Bool, "true", COORDINATOR,
        "Trino: whether the node is a coordinator. Here the command line chooses the role; a coordinator refuses `false`"),
    honoured("discovery.uri", Kind::DiscoveryUris, "", CONNECTING,
        "Where the discovery services answer: `https://host-or-ip:port[,…]`; required on coordinators and workers"),
    refused("discovery.type", SERVICES,
        "Trino: ANNOUNCE, DNS or AIRLIFT_DISCOVERY",
        "nodes always announce themselves to the services in discovery.uri: remove the property").unless("ANNOUNCE"),
    refused("cluster.hosts", QUERYING,
        "Trino: host names of all nodes, for discovery.type=DNS",
        "nodes announce themselves to the services in discovery.uri: remove the property"),
    ignored("discovery-server.enabled", Kind::Bool, "true", COORDINATOR,
        "Trino: discovery inside the coordinator",
        "discovery is a service of its own, 'waterbear discovery'").unless("false"),
    ignored("discovery.max-age", TIME, "30s", SERVICES, "Trino: life of an announcement", LEASE),
    ignored("discovery.http-client.*", Kind::Text, "", SERVICES, "Trino: HTTP client of discovery", LEASE),
    ignored("announcer.http-client.*", Kind::Text, "", SERVICES, "Trino: HTTP client of the announcer", LEASE),
    ignored("node-manager.http-client.*", Kind::Text, "", SERVICES, "Trino: HTTP client of the node manager", LEASE),
    ignored("failure-detector.enabled", Kind::Bool, "true", COORDINATOR, "Trino: heartbeats to nodes", FAILURES).unless("true"),
    ignored("failure-detector.threshold", Kind::Number(0.0), "0.1", COORDINATOR, "Trino: share of lost heartbeats", FAILURES),
    ignored("failure-detector.heartbeat-interval", TIME, "500ms", COORDINATOR, "Trino: time between heartbeats", FAILURES),
    ignored("failure-detector.warmup-interval", TIME, "5s", COORDINATOR, "Trino: time before the first judgement", FAILURES),
    ignored("failure-detector.expiration-grace-interval", TIME, "10m", COORDINATOR, "Trino: how long a lost node is remembered", FAILURES),
    ignored("failure-detector.http-client.*", Kind::Text, "", COORDINATOR, "Trino: HTTP client of the detector", FAILURES),
    ignored("query-manager.required-workers", COUNT, "1", COORDINATOR,
        "Trino: workers to wait for before the first query", "it has no effect yet: queries do not wait for a number of workers"),
    ignored("query-manager.required-workers-max-wait", TIME, "5m", COORDINATOR,
        "Trino: how long queries wait for workers", "it has no effect yet: queries do not wait for a number of workers"),
    honoured("shutdown.grace-period", TIME, "2m", WORKER,
        "How long a worker that is told to end (SIGTERM, `waterbear shutdown`) waits at most for its tasks; it ends as soon as it has none. Trino waits so long twice, whatever runs"),
];
