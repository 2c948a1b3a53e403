//! The side that is connected to.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::buffered::Buffered;
use super::pin::{self, Pins};
use super::{Fingerprint, Identity, MeshError};
use crate::carrier::Link;

/// How much of a link may wait encrypted, in bytes.
const WAITING: usize = 256 * 1024;

/// What those who are not known yet may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How many may be under way; more are closed at once.
    pub together: usize,
    /// How many of these from one address.
    pub each: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(5), together: 64, each: 8 }
    }
}

/// A known node that has connected, before anything was said.
pub struct Accepted {
    /// Who it is.
    pub peer: Fingerprint,
    /// From where.
    pub from: SocketAddr,
    /// The byte stream, for [`crate::carrier::answer`].
    pub link: Link,
}

/// Listens for known nodes. Dropping it ends that; links stay.
pub struct Listener {
    address: SocketAddr,
    accepted: mpsc::Receiver<Accepted>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens on exactly this address, on the current tokio runtime.
    pub async fn bind(
        address: SocketAddr,
        identity: &Identity,
        pins: Arc<Pins>,
        limits: Limits,
    ) -> Result<Self, MeshError> {
        if address.ip().is_unspecified() {
            return Err(MeshError::NotSpecific { address });
        }
        let tls = TlsAcceptor::from(Arc::new(pin::server(identity, pins)?));
        let failed = |source| MeshError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (sender, accepted) = mpsc::channel(limits.together.max(1));
        let task = tokio::spawn(listen(listener, tls, limits, sender));
        Ok(Self { address, accepted, task })
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next known node that connects.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    listener: TcpListener,
    tls: TlsAcceptor,
    limits: Limits,
    accepted: mpsc::Sender<Accepted>,
) {
    let mut handshakes = JoinSet::new();
    let mut sources: HashMap<IpAddr, usize> = HashMap::new();
    loop {
        tokio::select! {
            Some(ended) = handshakes.join_next() => {
                let Ok(ip) = ended else { continue };
                if let Some(count) = sources.get_mut(&ip) {
                    *count -= 1;
                    if *count == 0 {
                        sources.remove(&ip);
                    }
                }
            }
            connection = listener.accept() => match connection {
                Ok((socket, from)) => {
                    let count = sources.entry(from.ip()).or_default();
                    if *count >= limits.each || handshakes.len() >= limits.together {
                        tracing::debug!(%from, "too many handshakes are under way");
                        continue;
                    }
                    *count += 1;
                    let (tls, accepted) = (tls.clone(), accepted.clone());
                    let limit = limits.handshake;
                    handshakes.spawn(async move {
                        greet(socket, from, tls, limit, accepted).await;
                        from.ip()
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the mesh listener cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn greet(
    socket: TcpStream,
    from: SocketAddr,
    tls: TlsAcceptor,
    limit: Duration,
    accepted: mpsc::Sender<Accepted>,
) {
    match timeout(limit, handshake(socket, tls)).await {
        Ok(Ok((peer, link))) => {
            let _ = accepted.send(Accepted { peer, from, link }).await;
        }
        Ok(Err(error)) => tracing::debug!(%from, %error, "refused on the mesh"),
        Err(_) => tracing::debug!(%from, "a handshake took too long"),
    }
}

async fn handshake(socket: TcpStream, tls: TlsAcceptor) -> io::Result<(Fingerprint, Link)> {
    socket.set_nodelay(true)?;
    let stream = tls.accept(Buffered::new(socket)).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let peer = certificates.and_then(|all| all.first()).map(Fingerprint::of);
    let peer = peer.ok_or_else(|| io::Error::other("it shows no certificate"))?;
    Ok((peer, link(stream.into())))
}

/// What the carrier needs of a TLS connection.
pub(crate) fn link(mut stream: TlsStream<Buffered>) -> Link {
    match &mut stream {
        TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(WAITING)),
        TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(WAITING)),
    }
    let (read, write) = tokio::io::split(stream);
    Link { read: Box::new(read), write: Box::new(write), guard: Box::new(()) }
}
