//! From an identity name to the address that the node announced.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

/// So many names are kept whatever their age.
const KEPT: usize = 1024;
/// Beyond that, names unused for so long are forgotten: nodes come and go, each with a new id.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Where the nodes are that requests were sent to. Shared by all clients of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<HashMap<String, Known>>>);

#[derive(Debug)]
struct Known {
    host: String,
    used: Instant,
}

impl Addresses {
    /// Notes that a node is at the host, for connections made from now on.
    pub(crate) fn note(&self, name: String, host: String) {
        let used = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT && !known.contains_key(&name) {
            known.retain(|_, entry| entry.used.elapsed() < FORGOTTEN_AFTER);
        }
        known.insert(name, Known { host, used });
    }

    fn host(&self, name: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).map_or_else(|| name.to_owned(), |known| known.host.clone())
    }
}

impl Service<Name> for Addresses {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = self.host(name.as_str());
        Box::pin(async move {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            // The connector puts the port in.
            if let Ok(ip) = bare.parse::<IpAddr>() {
                return Ok(vec![SocketAddr::new(ip, 0)].into_iter());
            }
            let found: Vec<_> = tokio::net::lookup_host((bare, 0)).await?.collect();
            Ok(found.into_iter())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn name_resolves_to_the_newest_host() {
        let mut addresses = Addresses::default();
        addresses.note("n".into(), "10.0.0.1".into());
        addresses.note("n".into(), "[::1]".into());
        let found: Vec<_> = addresses.call("n".parse().unwrap()).await.unwrap().collect();
        assert_eq!(found, ["[::1]:0".parse().unwrap()]);
    }
}
