//! A stand-in's work: it listens at a service's ports and passes every connection on to where the
//! service really runs, looking the name up each time.

pub mod udp;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How many TCP connections one forward carries at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
const BUFFER: usize = 32 * 1024;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Where a relay's connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a port of a host.
    Host {
        /// A name that the resolver knows, or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// To a socket of the node's daemon, which dials the service on another node.
    Socket(PathBuf),
}

/// What a daemon's socket says of a service that is ready.
pub const READY: &[u8] = b"ready\n";

/// Text that is not a target or a forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct TargetError {
    /// What was given.
    pub text: String,
    /// The form it should have.
    pub expected: &'static str,
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let expected = "HOST:PORT or unix:/PATH";
        let refused = || TargetError { text: text.to_owned(), expected };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Socket(path)) } else { Err(refused()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(refused)?;
        if host.is_empty() || host.contains(['/', ' ', '\n']) {
            return Err(refused());
        }
        Ok(Self::Host { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One port passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Which protocol.
    pub protocol: Protocol,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where it goes.
    pub target: Target,
}

impl FromStr for Forward {
    type Err = TargetError;
    /// Reads `tcp/PORT=HOST:PORT`, which listens on all IPv4 addresses of the container that the
    /// relay is, or `tcp/ADDRESS:PORT=HOST:PORT`; `udp` likewise.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let expected = "tcp/PORT=HOST:PORT or udp/PORT=HOST:PORT";
        let refused = || TargetError { text: text.to_owned(), expected };
        let (left, target) = text.split_once('=').ok_or_else(refused)?;
        let (protocol, listen) = left.split_once('/').ok_or_else(refused)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(refused()),
        };
        let listen = match listen.parse::<u16>() {
            Ok(port) => SocketAddr::from(([0, 0, 0, 0], port)),
            Err(_) => listen.parse().map_err(|_| refused())?,
        };
        Ok(Self { protocol, listen, target: target.parse()? })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{protocol}/{}={}", self.listen, self.target)
    }
}

/// What a relay does.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// The ports.
    pub forwards: Vec<Forward>,
    /// How long connecting to a target may take.
    pub connect_limit: Duration,
    /// How long a UDP client may be silent before it is forgotten.
    pub udp_idle: Duration,
}

impl RelayConfig {
    /// These forwards with 5 s to connect and 60 s of silence for UDP.
    pub fn new(forwards: Vec<Forward>) -> Self {
        let (connect_limit, udp_idle) = (Duration::from_secs(5), Duration::from_secs(60));
        Self { forwards, connect_limit, udp_idle }
    }
}

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen} for {target}: {source}")]
pub struct RelayError {
    /// The address.
    pub listen: SocketAddr,
    /// What it stands for.
    pub target: Target,
    /// What the system says.
    pub source: io::Error,
}

/// Why a target does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The name is unknown or the connection refused.
    #[error("{target}: {source}")]
    Unreachable {
        /// The target.
        target: Target,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("{target} did not answer within {} ms", limit.as_millis())]
    TimedOut {
        /// The target.
        target: Target,
        /// How long was waited.
        limit: Duration,
    },
}

/// A relay whose ports are open.
pub struct Relay {
    tcp: Vec<(TcpListener, Target)>,
    udp: Vec<(Arc<UdpSocket>, Target)>,
    config: RelayConfig,
}

/// Opens the ports and passes on until `stop` is done.
pub async fn run(config: RelayConfig, stop: impl Future<Output = ()>) -> Result<(), RelayError> {
    Relay::bind(config).await?.serve(stop).await;
    Ok(())
}

/// Whether `target` is ready now: a host takes connections, a socket says so.
pub async fn probe(target: &Target, limit: Duration) -> Result<(), ProbeError> {
    let ready = async {
        match target {
            Target::Host { host, port } => connect(host, *port).await.map(drop),
            Target::Socket(path) => {
                let mut said = Vec::new();
                let mut stream = UnixStream::connect(path).await?.take(64);
                stream.read_to_end(&mut said).await?;
                if said == READY {
                    return Ok(());
                }
                Err(io::Error::new(io::ErrorKind::NotConnected, "the service is not ready"))
            }
        }
    };
    match timeout(limit, ready).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(ProbeError::Unreachable { target: target.clone(), source }),
        Err(_) => Err(ProbeError::TimedOut { target: target.clone(), limit }),
    }
}

impl Relay {
    /// Opens all ports, or none.
    pub async fn bind(config: RelayConfig) -> Result<Self, RelayError> {
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        for Forward { protocol, listen, target } in &config.forwards {
            let (listen, target) = (*listen, target.clone());
            let failed = |source| RelayError { listen, target: target.clone(), source };
            match protocol {
                Protocol::Tcp => {
                    let listener = TcpListener::bind(listen).await.map_err(failed)?;
                    tcp.push((listener, target));
                }
                Protocol::Udp => {
                    let socket = UdpSocket::bind(listen).await.map_err(failed)?;
                    udp.push((Arc::new(socket), target));
                }
            }
        }
        Ok(Self { tcp, udp, config })
    }

    /// Where it listens: TCP first, then UDP, each in the order of the forwards.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        let tcp = self.tcp.iter().map(|(listener, _)| listener.local_addr());
        tcp.chain(self.udp.iter().map(|(socket, _)| socket.local_addr())).collect()
    }

    /// Passes on until `stop` is done; then every connection ends.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let mut tasks = JoinSet::new();
        for (listener, target) in self.tcp {
            tasks.spawn(accept(listener, target, self.config.connect_limit));
        }
        for (socket, target) in self.udp {
            tasks.spawn(udp::to_target(socket, target, self.config.udp_idle));
        }
        stop.await;
    }
}

async fn accept(listener: TcpListener, target: Target, limit: Duration) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let target = target.clone();
                connections.spawn(async move {
                    if let Err(error) = pass(stream, &target, limit).await {
                        tracing::debug!(%target, %error, "connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%target, %error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn pass(near: TcpStream, target: &Target, limit: Duration) -> io::Result<()> {
    keep(&near)?;
    match target {
        Target::Host { host, port } => {
            let far = timeout(limit, connect(host, *port)).await??;
            keep(&far)?;
            join(near, far).await
        }
        Target::Socket(path) => join(near, timeout(limit, UnixStream::connect(path)).await??).await,
    }
}

fn keep(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    Ok(nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::KeepAlive, &true)?)
}

async fn join<F: AsyncRead + AsyncWrite + Unpin>(
    mut near: TcpStream,
    mut far: F,
) -> io::Result<()> {
    tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await?;
    Ok(())
}

/// Tries every address that the name has now.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
