//! The side that connects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::buffered::Buffered;
use super::identity::NAME;
use super::listen::link;
use super::pin;
use super::{Fingerprint, Identity, MeshError};
use crate::carrier::{BoxFuture, Connector, Link, LinkError};

/// How long the TCP connection and the handshake may take, each.
const LIMIT: Duration = Duration::from_secs(5);

/// Connects to one node at one address.
pub struct MeshConnector {
    address: SocketAddr,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl MeshConnector {
    /// `pin` is the node's fingerprint; whoever else answers at the address is refused.
    pub fn new(
        address: SocketAddr,
        identity: &Identity,
        pin: Fingerprint,
    ) -> Result<Self, MeshError> {
        let tls = TlsConnector::from(Arc::new(pin::client(identity, pin)?));
        let name = ServerName::try_from(NAME)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { address, tls, name })
    }

    async fn link(&self) -> Result<Link, LinkError> {
        let failed =
            |error: std::io::Error| LinkError::Failed { why: format!("{}: {error}", self.address) };
        let late = |_| LinkError::TimedOut { limit: LIMIT };
        let socket = timeout(LIMIT, TcpStream::connect(self.address)).await.map_err(late)?;
        let socket = socket.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let handshake = self.tls.connect(self.name.clone(), Buffered::new(socket));
        match timeout(LIMIT, handshake).await.map_err(late)? {
            Ok(stream) => Ok(link(stream.into())),
            Err(error) if pin::is_stranger(&error) => {
                let why = format!("at {} answers another than the node", self.address);
                Err(LinkError::HostKey { why })
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Connector for MeshConnector {
    fn name(&self) -> &'static str {
        "mesh"
    }

    fn connect(&self) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.link())
    }
}
