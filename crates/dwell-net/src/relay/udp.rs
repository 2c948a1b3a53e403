//! Datagrams: every client has a socket of its own towards the target, for as long as it speaks.
//! Over a byte stream each datagram goes after its length, two bytes with the high one first.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UdpSocket, UnixStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Target;

/// How many clients one forward remembers; datagrams of more are dropped.
const CLIENTS: usize = 1024;
/// How many datagrams of one client wait while its target is looked up.
const WAITING: usize = 64;
const DATAGRAM_MAX: usize = 65_535;

/// Passes datagrams on to a target for ever.
pub(super) async fn to_target(listener: Arc<UdpSocket>, target: Target, idle: Duration) {
    let name = target.to_string();
    let begin = move |listener, client, datagrams| {
        let target = target.clone();
        async move { associate(listener, client, &target, datagrams, idle).await }
    };
    serve(listener, &name, begin).await;
}

/// Passes the datagrams of each client on through a byte stream of its own, for ever.
pub async fn through_streams<D, F, S>(listener: Arc<UdpSocket>, dial: D, idle: Duration)
where
    D: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begin = move |listener, client, datagrams| {
        let dial = dial.clone();
        async move { through(listener, client, dial().await?, datagrams, idle).await }
    };
    serve(listener, "another node", begin).await;
}

async fn serve<B, F>(listener: Arc<UdpSocket>, target: &str, begin: B)
where
    B: Fn(Arc<UdpSocket>, SocketAddr, mpsc::Receiver<Vec<u8>>) -> F,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
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
            let work = begin(Arc::clone(&listener), client, datagrams);
            let target = target.to_owned();
            tasks.spawn(async move {
                if let Err(error) = work.await {
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
    listener: Arc<UdpSocket>,
    client: SocketAddr,
    target: &Target,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    idle: Duration,
) -> io::Result<()> {
    let (host, port) = match target {
        Target::Host { host, port } => (host.as_str(), *port),
        Target::Socket(path) => {
            return through(listener, client, UnixStream::connect(path).await?, datagrams, idle)
                .await;
        }
    };
    let found = lookup_host((host, port)).await?.next();
    let far = connected(found.ok_or_else(|| io::Error::other("the name has no address"))?).await?;
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

async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// One client's datagrams through a stream and back, until either side ends or is silent.
async fn through<S: AsyncRead + AsyncWrite + Unpin>(
    listener: Arc<UdpSocket>,
    client: SocketAddr,
    stream: S,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    idle: Duration,
) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(stream);
    let there = async {
        while let Ok(Some(datagram)) = timeout(idle, datagrams.recv()).await {
            put(&mut write, &datagram).await?;
        }
        Ok(())
    };
    let back = async {
        while let Some(datagram) = take(&mut read).await? {
            listener.send_to(&datagram, client).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

/// The far end of [`through_streams`]: the stream's datagrams to an address and back, until the
/// stream ends.
pub async fn to_address<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    address: SocketAddr,
) -> io::Result<()> {
    let socket = connected(address).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    let there = async {
        while let Some(datagram) = take(&mut read).await? {
            // Nobody may listen just now; the next datagram may find somebody.
            let _ = socket.send(&datagram).await;
        }
        Ok(())
    };
    let back = async {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            if let Ok(length) = socket.recv(&mut buffer).await {
                put(&mut write, buffer.get(..length).unwrap_or_default()).await?;
            }
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

async fn put<W: AsyncWrite + Unpin>(write: &mut W, datagram: &[u8]) -> io::Result<()> {
    let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    let mut wire = Vec::with_capacity(datagram.len() + 2);
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(datagram.get(..usize::from(length)).unwrap_or_default());
    write.write_all(&wire).await?;
    write.flush().await
}

async fn take<R: AsyncRead + Unpin>(read: &mut R) -> io::Result<Option<Vec<u8>>> {
    let length = match read.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut datagram = vec![0; usize::from(length)];
    read.read_exact(&mut datagram).await?;
    Ok(Some(datagram))
}
