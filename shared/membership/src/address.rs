//! This node's own address, when nobody configured one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::{UdpSocket, lookup_host};
use waterbear_outbound::Peer;

/// The address by which this machine reaches the first discovery that has one; else the machine's
/// name. Nothing is sent.
pub async fn own_host(discovery: &[Peer]) -> String {
    for peer in discovery {
        if let Peer::Discovery { host, port, .. } = peer
            && let Some(address) = local_address(host, *port).await
        {
            return address.to_string();
        }
    }
    host_name()
}

/// Connecting a UDP socket only chooses a route, and with it the local address.
async fn local_address(host: &str, port: u16) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    for address in lookup_host((host, port)).await.ok()? {
        let any = match address {
            std::net::SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            std::net::SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let Ok(socket) = UdpSocket::bind((any, 0)).await else { continue };
        if socket.connect(address).await.is_ok()
            && let Ok(local) = socket.local_addr()
        {
            return Some(local.ip());
        }
    }
    None
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(host: &str) -> Peer {
        Peer::Discovery { host: host.to_owned(), port: 8443, https: true }
    }

    #[tokio::test]
    async fn own_address_is_the_one_toward_the_discovery() {
        assert_eq!(own_host(&[discovery("127.0.0.1")]).await, "127.0.0.1");
        let second = [discovery("does-not-exist.invalid"), discovery("127.0.0.1")];
        assert_eq!(own_host(&second).await, "127.0.0.1");
    }

    #[tokio::test]
    async fn without_a_reachable_discovery_the_machine_has_its_name() {
        assert_eq!(own_host(&[]).await, host_name());
    }
}
