//! Listeners and the security between nodes.

use super::kind::{COUNT, Kind, TIME};
use super::{ALL, COORDINATOR, LISTENING, Property, SERVICES, honoured, ignored, refused};

const OWN_PKI: &str = "own certificates are not supported yet: each node makes its own from internal-communication.shared-secret; remove the property";
const CIPHERS: &str = "TLS is 1.3 only, with its three cipher suites";
const SESSIONS: &str = "TLS sessions are never resumed between nodes";
const ENTROPY: &str = "random numbers are the operating system's, which no longer blocks";
const CLIENT_TLS: &str = "TLS for clients is not supported yet: put a proxy with TLS before the coordinator, with http-server.process-forwarded=ACCEPT; remove the property";
const CLIENT_AUTHENTICATION: &str = "the authentication of clients is not supported yet, and would not happen: remove the property, and let only trusted clients reach the coordinator";
const THREADS: &str = "connections are not bound to threads";
const FIXED: &str = "it has no effect: limits of connections and streams are fixed";

#[rustfmt::skip]
pub(crate) const INTERNAL: &[Property] = &[
    honoured("internal-communication.shared-secret", Kind::Secret, "", ALL,
        "The cluster's secret, the same on all nodes; required. White space in it does not count; at least 32 bytes, 10 different ones"),
    refused("internal-communication.additional-shared-secrets", ALL,
        "Secrets that are accepted, too, while the secret is changed",
        "changing the secret of a running cluster is not supported yet: restart all nodes with the new secret").hidden(),
    honoured("internal-communication.https.required", Kind::Bool, "true", ALL,
        "Mutual TLS between all nodes (Trino's default is `false`). Without it requests are still signed, but everybody on the network can read them"),
    honoured("internal-communication.http2.enabled", Kind::Bool, "true", ALL,
        "HTTP/2 between nodes; else HTTP/1.1"),
    refused("internal-communication.https.keystore.path", ALL, "Trino: certificate of a node's own", OWN_PKI),
    refused("internal-communication.https.keystore.key", ALL, "Trino: password of the key store", OWN_PKI).hidden(),
    refused("internal-communication.https.truststore.path", ALL, "Trino: certificates to trust", OWN_PKI),
    refused("internal-communication.https.truststore.key", ALL, "Trino: password of the trust store", OWN_PKI).hidden(),
    ignored("internal-communication.max-request-age", TIME, "3m", ALL,
        "Trino: how old a signed request may be", "tokens live for at most 120s, with a leeway of 10s"),
    refused("internal-communication.kerberos.enabled", ALL, "Removed from Trino",
        "it was removed from Trino: requests are always signed with internal-communication.shared-secret"),
    refused("internal-communication.kerberos.use-canonical-hostname", ALL, "Removed from Trino",
        "it was removed from Trino: requests are always signed with internal-communication.shared-secret"),
    refused("internal-communication.jwt.enabled", ALL, "Removed from Trino",
        "it was removed from Trino: requests are always signed with internal-communication.shared-secret"),
];

#[rustfmt::skip]
pub(crate) const HTTP: &[Property] = &[
    refused("http-server.http.enabled", SERVICES, "The plain HTTP port",
        "the port for health, metrics and clients cannot be switched off yet: bind it to a private address with node.bind-ip").unless("true"),
    honoured("http-server.http.port", Kind::Port, "", SERVICES,
        "Port of `/v1/info`, `/v1/status`, `/metrics`, and on the coordinator of the client API; required. Where `internal-communication.https.required=false`, also of internal requests"),
    honoured("http-server.https.enabled", Kind::Bool, "(as `internal-communication.https.required`)", SERVICES,
        "Trino: the HTTPS port. `false` contradicts `internal-communication.https.required=true`"),
    honoured("http-server.https.port", Kind::Port, "", LISTENING,
        "Port of the internal listener, with mutual TLS; required on discovery and workers where `internal-communication.https.required=true`"),
    honoured("http-server.process-forwarded", Kind::OneOf(&["REJECT", "ACCEPT", "IGNORE", "TRUE", "FALSE"]), "REJECT", COORDINATOR,
        "Requests with `X-Forwarded-*` headers: refused, believed, or the headers ignored"),
    honoured("protocol.v1.alternate-header-name", Kind::Text, "", COORDINATOR,
        "What clients may write instead of `Trino` in the names of headers: `Presto` makes `X-Presto-User` work"),
    refused("http-server.https.keystore.path", COORDINATOR, "The certificate that clients see", CLIENT_TLS),
    refused("http-server.https.keystore.key", COORDINATOR, "Trino: password of the key store", CLIENT_TLS).hidden(),
    refused("http-server.https.keystore.type", COORDINATOR, "Trino: type of the key store", CLIENT_TLS),
    refused("http-server.https.keymanager.password", COORDINATOR, "Trino: password of the key", CLIENT_TLS).hidden(),
    refused("http-server.https.truststore.path", COORDINATOR, "Trino: certificates of clients", CLIENT_TLS),
    refused("http-server.https.truststore.key", COORDINATOR, "Trino: password of the trust store", CLIENT_TLS).hidden(),
    refused("http-server.https.truststore.type", COORDINATOR, "Trino: type of the trust store", CLIENT_TLS),
    refused("http-server.https.automatic-shared-secret", SERVICES, "Trino: set by itself",
        "the node's certificate comes from internal-communication.shared-secret: remove the property").hidden(),
    ignored("http-server.https.secure-random-algorithm", Kind::Text, "", SERVICES, "Trino: source of randomness", ENTROPY),
    ignored("http-server.https.included-cipher", Kind::Text, "", SERVICES, "Trino: cipher suites to use", CIPHERS),
    ignored("http-server.https.excluded-cipher", Kind::Text, "", SERVICES, "Trino: cipher suites not to use", CIPHERS),
    ignored("http-server.https.ssl-session-timeout", TIME, "4h", SERVICES, "Trino: life of a TLS session", SESSIONS),
    ignored("http-server.https.ssl-session-cache-size", COUNT, "10000", SERVICES, "Trino: number of TLS sessions", SESSIONS),
    ignored("http-server.https.ssl-context.refresh-time", TIME, "1m", SERVICES,
        "Trino: how often certificate files are read", "certificates are made in memory, and renewed before they end"),
    refused("http-server.authentication.type", COORDINATOR, "How clients prove who they are", CLIENT_AUTHENTICATION),
    refused("http-server.authentication.*", COORDINATOR, "How clients prove who they are", CLIENT_AUTHENTICATION).hidden(),
    refused("web-ui.authentication.type", COORDINATOR, "How users of the web page prove who they are", CLIENT_AUTHENTICATION),
    ignored("http-server.http2.enabled", Kind::Bool, "true", SERVICES, "Trino: HTTP/2 for clients",
        "clients choose between HTTP/1.1 and HTTP/2").unless("true"),
    ignored("http-server.http2.max-concurrent-streams", COUNT, "16384", SERVICES, "Trino: streams of a connection", FIXED),
    ignored("http-server.http2.session-receive-window-size", Kind::Size, "16MB", SERVICES, "Trino: window of a connection", FIXED),
    ignored("http-server.http2.stream-receive-window-size", Kind::Size, "16MB", SERVICES, "Trino: window of a stream", FIXED),
    ignored("http-server.http2.input-buffer-size", Kind::Size, "8kB", SERVICES, "Trino: buffer of a connection", FIXED),
    ignored("http-server.http2.stream-idle-timeout", TIME, "15s", SERVICES, "Trino: life of an idle stream", FIXED),
    ignored("http-server.accept-queue-size", COUNT, "8000", SERVICES, "Trino: connections that wait", FIXED),
    ignored("http-server.max-request-header-size", Kind::Size, "8kB", SERVICES, "Trino: limit of request headers", FIXED),
    ignored("http-server.max-response-header-size", Kind::Size, "8kB", SERVICES, "Trino: limit of response headers", FIXED),
    ignored("http-server.net.max-idle-time", TIME, "200s", SERVICES, "Trino: life of an idle connection", FIXED),
    ignored("http-server.threads.*", Kind::Text, "", SERVICES, "Trino: threads of the server", THREADS),
    ignored("http-server.http.acceptor-threads", COUNT, "", SERVICES, "Trino: threads that accept", THREADS),
    ignored("http-server.http.selector-threads", COUNT, "", SERVICES, "Trino: threads that select", THREADS),
    ignored("http-server.https.acceptor-threads", COUNT, "", SERVICES, "Trino: threads that accept", THREADS),
    ignored("http-server.https.selector-threads", COUNT, "", SERVICES, "Trino: threads that select", THREADS),
    ignored("http-server.log.*", Kind::Text, "", SERVICES, "Trino: log of requests", "logs go to stderr"),
];
