//! Datagrams: every client has a socket of its own towards the target, for as long as it speaks.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Target;

/// How many clients one forward remembers; datagrams of more are dropped.
const CLIENTS: usize = 1024;
/// How many datagrams of one client wait while its target is looked up.
const WAITING: usize = 64;
const DATAGRAM_MAX: usize = 65_535;

/// Passes datagrams on for ever.
pub(super) async fn serve(listener: Arc<UdpSocket>, target: Target, idle: Duration) {
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let (length, client) = tokio::select! {
            Some(ended) = tasks.join_next() => {
                if let Ok(client) = ended {
                    clients.remove(&client);
                }
                continue;
            }
            received = listener.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An earlier answer could not be delivered; the socket itself goes on.
                Err(_) => continue,
            },
        };
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        if clients.len() >= CLIENTS && !clients.contains_key(&client) {
            tracing::warn!(%target, %client, "too many UDP clients; datagram dropped");
            continue;
        }
        let sender = clients.entry(client).or_insert_with(|| {
            let (sender, datagrams) = mpsc::channel(WAITING);
            let (listener, target) = (Arc::clone(&listener), target.clone());
            tasks.spawn(async move {
                if let Err(error) = associate(&listener, client, &target, datagrams, idle).await {
                    tracing::debug!(%target, %client, %error, "UDP client ended");
                }
                client
            });
            sender
        });
        // A full queue drops, as the network would.
        let _ = sender.try_send(datagram);
    }
}

async fn associate(
    listener: &UdpSocket,
    client: SocketAddr,
    target: &Target,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    idle: Duration,
) -> io::Result<()> {
    let found = lookup_host((target.host.as_str(), target.port)).await?.next();
    let address = found.ok_or_else(|| io::Error::other("the name has no address"))?;
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let far = UdpSocket::bind(any).await?;
    far.connect(address).await?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    let mut step = async || -> io::Result<bool> {
        tokio::select! {
            datagram = datagrams.recv() => match datagram {
                Some(datagram) => { far.send(&datagram).await?; }
                None => return Ok(false),
            },
            received = far.recv(&mut buffer) => {
                let length = received?;
                listener.send_to(buffer.get(..length).unwrap_or_default(), client).await?;
            }
        }
        Ok(true)
    };
    while let Ok(more) = timeout(idle, step()).await {
        if !more? {
            break;
        }
    }
    Ok(())
}
