//! Whom one can call.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use internal_tls::NodeName;
use waterbear_protocol::membership::{NodeInfo, Role};

use crate::error::OutboundError;

/// A node to call.
#[derive(Debug, Clone)]
pub enum Peer {
    /// An announced node: dialled by its identity name, resolved to its announced address, so that
    /// only that very node can answer.
    Node(NodeInfo),
    /// A discovery service, known by host or address alone: it must have a certificate for that,
    /// with the role discovery.
    Discovery {
        /// Host name or IP address.
        host: String,
        /// Its internal port.
        port: u16,
        /// The scheme of its URI.
        https: bool,
    },
}

/// The way to a peer.
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) role: Role,
    /// For identity names: the name, and the host that it stands for.
    pub(crate) resolved: Option<(String, String)>,
}

impl Peer {
    /// How logs and errors name it.
    pub fn label(&self) -> String {
        match self {
            Self::Node(NodeInfo { role, node_id, host, internal_port, .. }) => {
                format!("{role} {node_id} ({host}:{internal_port})")
            }
            Self::Discovery { host, port, .. } => format!("discovery {host}:{port}"),
        }
    }

    /// Its role.
    pub fn role(&self) -> Role {
        match self {
            Self::Node(info) => info.role,
            Self::Discovery { .. } => Role::Discovery,
        }
    }

    /// The way to it. `tls` is whether this node requires TLS inside of the cluster.
    pub(crate) fn target(&self, path: &str, tls: bool) -> Result<Target, OutboundError> {
        let (https, name, port, resolved) = match self {
            Self::Node(info) => {
                let name = NodeName {
                    environment: info.environment.clone(),
                    role: info.role.name().to_owned(),
                    node_id: info.node_id.as_str().to_owned(),
                };
                let name = name.server_name();
                (tls, name.clone(), info.internal_port, Some((name, info.host.clone())))
            }
            Self::Discovery { host, port, https } => {
                if tls && !https {
                    return Err(OutboundError::Insecure { peer: self.label() });
                }
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
                (*https, host, *port, None)
            }
        };
        let uri = self.uri(https, &name, port, path)?;
        Ok(Target { uri, role: self.role(), resolved })
    }

    fn uri(&self, https: bool, name: &str, port: u16, path: &str) -> Result<Uri, OutboundError> {
        let invalid = |error: http::Error| OutboundError::Unreachable {
            peer: self.label(),
            reason: format!("not a valid address: {error}"),
        };
        let authority =
            Authority::try_from(format!("{name}:{port}")).map_err(|error| invalid(error.into()))?;
        let path = PathAndQuery::try_from(path).map_err(|error| invalid(error.into()))?;
        Uri::builder()
            .scheme(if https { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(invalid)
    }
}
