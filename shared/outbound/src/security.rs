//! A node's identity and its renewal.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use internal_auth::{
    Caller, RequireInternalJwtLayer, Requirements, SignInternalJwtLayer, Signer, TokenKey,
};
use internal_tls::{Acceptor, ClusterCa, Leaf, NodeName, client_config};
use metrics::Label;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waterbear_ids::NodeId;
use waterbear_protocol::membership::Role;

use crate::client::{Channel, InternalClient, http_client};
use crate::connect::peer_connector;
use crate::keys::ClusterKeys;
use crate::resolve::Addresses;
use crate::stack::{Stack, outbound_request};

/// The longest wait between two looks at the clock: it may jump.
const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// What a node's identity is made of.
#[derive(Clone)]
pub struct SecurityOptions {
    /// `internal-communication.shared-secret`, without white space.
    pub secret: Vec<u8>,
    /// `node.environment`.
    pub environment: String,
    /// This node's role.
    pub role: Role,
    /// `node.id`.
    pub node_id: NodeId,
    /// The IP addresses and host names by which this node may be dialled.
    pub names: Vec<String>,
    /// `internal-communication.https.required`.
    pub tls: bool,
    /// How long a certificate of this node is valid; it is renewed after two thirds.
    pub leaf_lifetime: Duration,
    /// `internal-communication.http2.enabled`.
    pub http2: bool,
}

impl fmt::Debug for SecurityOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, environment, role, node_id, names, tls, leaf_lifetime, http2 } = self;
        f.debug_struct("SecurityOptions")
            .field("environment", environment)
            .field("role", role)
            .field("node_id", node_id)
            .field("names", names)
            .field("tls", tls)
            .field("leaf_lifetime", leaf_lifetime)
            .field("http2", http2)
            .finish_non_exhaustive()
    }
}

/// Why a node's identity could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// The secret is too short to keep anyone out.
    #[error("internal-communication.shared-secret has {0} bytes, at least 32 are required")]
    ShortSecret(usize),
    /// The certificate or the TLS configuration could not be made.
    #[error("this node's certificate could not be made: {0}")]
    Tls(#[from] internal_tls::Error),
}

/// A node's identity in its cluster. Clones share it.
#[derive(Clone)]
pub struct NodeSecurity {
    shared: Arc<Shared>,
}

struct Shared {
    options: SecurityOptions,
    name: NodeName,
    ca: ClusterCa,
    keys: ClusterKeys,
    token_key: TokenKey,
    acceptor: Option<Acceptor>,
    addresses: Addresses,
    epoch: RwLock<Arc<Epoch>>,
}

/// All that hangs on one certificate; immutable. Requests under way keep theirs.
pub(crate) struct Epoch {
    control: Stack,
    exchange: Stack,
    issued: SystemTime,
    not_after: SystemTime,
}

impl Epoch {
    pub(crate) fn stack(&self, channel: Channel) -> Stack {
        match channel {
            Channel::Control => self.control.clone(),
            Channel::Exchange => self.exchange.clone(),
        }
    }

    /// True from two thirds of its life on, and when the clock was put back before its begin.
    fn is_due(&self, now: SystemTime) -> bool {
        let life = self.not_after.duration_since(self.issued).unwrap_or_default();
        now >= self.issued + life / 3 * 2 || now + CLOCK_CHECK * 2 < self.issued
    }

    fn due_in(&self, now: SystemTime) -> Duration {
        let life = self.not_after.duration_since(self.issued).unwrap_or_default();
        (self.issued + life / 3 * 2).duration_since(now).unwrap_or_default()
    }
}

impl NodeSecurity {
    /// Derives the cluster's keys and issues this node's first certificate.
    ///
    /// # Errors
    /// Fails for a secret under 32 bytes, and for names that no certificate can carry.
    pub fn new(options: SecurityOptions) -> Result<Self, SecurityError> {
        if options.secret.len() < 32 {
            return Err(SecurityError::ShortSecret(options.secret.len()));
        }
        let keys = ClusterKeys::derive(&options.secret);
        let (ca, token_key) = (keys.cluster_ca()?, keys.token_key());
        let name = NodeName {
            environment: options.environment.clone(),
            role: options.role.name().to_owned(),
            node_id: options.node_id.as_str().to_owned(),
        };
        let issued = SystemTime::now();
        let leaf = ca.issue(&name, &options.names, options.leaf_lifetime)?;
        let acceptor = options.tls.then(|| Acceptor::new(&leaf, &ca)).transpose()?;
        let addresses = Addresses::default();
        let epoch = epoch(&options, &ca, &token_key, &addresses, &leaf, issued)?;
        let epoch = RwLock::new(Arc::new(epoch));
        let shared = Shared { options, name, ca, keys, token_key, acceptor, addresses, epoch };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Renews the certificate after two thirds of each life, until the shutdown.
    pub fn start_renewal(&self, shutdown: CancellationToken) -> JoinHandle<()> {
        let security = self.clone();
        tokio::spawn(async move {
            loop {
                let wait = security.epoch().due_in(SystemTime::now()).min(CLOCK_CHECK);
                // Not less than this: a certificate that cannot be made must not burn a core.
                let wait = wait.max(Duration::from_millis(50));
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                if security.epoch().is_due(SystemTime::now())
                    && let Err(error) = security.renew()
                {
                    tracing::error!(%error, "certificate could not be renewed; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        })
    }

    /// Begins a new epoch: a new certificate for the listener and for new requests.
    pub fn renew(&self) -> Result<(), SecurityError> {
        let Shared { options, name, ca, token_key, acceptor, addresses, .. } = &*self.shared;
        let issued = SystemTime::now();
        let leaf = ca.issue(name, &options.names, options.leaf_lifetime)?;
        let renewed = epoch(options, ca, token_key, addresses, &leaf, issued)?;
        if let Some(acceptor) = acceptor {
            acceptor.renew(&leaf, ca)?;
        }
        *self.shared.epoch.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
        let valid_seconds = options.leaf_lifetime.as_secs();
        tracing::info!(node = %options.node_id, valid_seconds, "certificate renewed");
        Ok(())
    }

    /// What accepts this cluster's nodes on the internal listener; none without TLS.
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.shared.acceptor.clone()
    }

    /// The layer that lets only signed requests of the given roles pass. With TLS, tokens must be
    /// bound to the connection's certificate.
    pub fn require(&self, allowed: &[Role]) -> RequireInternalJwtLayer {
        let Shared { options, token_key, .. } = &*self.shared;
        let requirements = Requirements {
            environment: options.environment.clone(),
            role: options.role.name().to_owned(),
            allowed_roles: allowed.iter().map(|role| role.name().to_owned()).collect(),
            certificate_bound: options.tls,
        };
        RequireInternalJwtLayer::new(token_key.clone(), requirements)
    }

    /// A client for requests of one kind.
    pub fn client(&self, channel: Channel) -> InternalClient {
        InternalClient::new(self.clone(), channel)
    }

    /// What is derived from the secret.
    pub fn keys(&self) -> &ClusterKeys {
        &self.shared.keys
    }

    /// What it was made of.
    pub fn options(&self) -> &SecurityOptions {
        &self.shared.options
    }

    /// The current epoch, for one request.
    pub(crate) fn epoch(&self) -> Arc<Epoch> {
        self.shared.epoch.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.shared.addresses
    }
}

impl fmt::Debug for NodeSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSecurity").field("options", &self.shared.options).finish()
    }
}

fn epoch(
    options: &SecurityOptions,
    ca: &ClusterCa,
    token_key: &TokenKey,
    addresses: &Addresses,
    leaf: &Leaf,
    issued: SystemTime,
) -> Result<Epoch, SecurityError> {
    let caller = Caller {
        environment: options.environment.clone(),
        role: options.role.name().to_owned(),
        node_id: options.node_id.as_str().to_owned(),
    };
    // Bound even where this node speaks plain HTTP: whoever reads such a token there cannot use it
    // at a listener with TLS, and discovery may have one.
    let signer = Signer::new(token_key.clone(), caller, Some(leaf.thumbprint()));
    let tls = client_config(leaf, ca, Role::Discovery.name())?;
    let stack = |channel: &'static str| {
        let connector = peer_connector(addresses.clone(), tls.clone(), leaf, options.http2);
        let labels = vec![
            Label::new("role", options.role.name()),
            Label::new("node", options.node_id.as_str().to_owned()),
            Label::new("channel", channel),
        ];
        let sign = SignInternalJwtLayer::new(signer.clone());
        outbound_request(labels, sign, http_client(connector, options.http2))
    };
    Ok(Epoch {
        control: stack("control"),
        exchange: stack("exchange"),
        issued,
        not_after: leaf.not_after(),
    })
}
