//! Opening a port.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Why a port could not be opened; names the property that chooses it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("port {port} is in use: choose another with {property}")]
    InUse {
        /// The port.
        port: u16,
        /// The property that chooses it.
        property: String,
    },
    /// The user may not open it.
    #[error("no permission to open port {port}: choose one above 1023 with {property}")]
    NotPermitted {
        /// The port.
        port: u16,
        /// The property that chooses it.
        property: String,
    },
    /// The address is not one of this machine, or the system refuses otherwise.
    #[error("cannot listen on {address} (chosen by {property}): {reason}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The property that chooses it.
        property: String,
        /// What the system says; a part of the text, and so no source.
        reason: io::Error,
    },
}

/// Listens on `address`; port 0 is any free one. `property` is named in the error.
pub async fn bind(address: SocketAddr, property: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| {
        let (port, property) = (address.port(), property.to_owned());
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { port, property },
            io::ErrorKind::PermissionDenied => BindError::NotPermitted { port, property },
            _ => BindError::Other { address, property, reason: source },
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_in_use_is_refused_with_the_property_to_change() {
        let first = bind(([127, 0, 0, 1], 0).into(), "http-server.http.port").await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, "http-server.http.port").await.unwrap_err();
        let expected =
            format!("port {} is in use: choose another with http-server.http.port", address.port());
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn address_of_another_machine_is_refused_with_the_property() {
        let error = bind(([192, 0, 2, 1], 0).into(), "node.bind-ip").await.unwrap_err();
        assert!(error.to_string().contains("chosen by node.bind-ip"), "{error}");
    }
}
