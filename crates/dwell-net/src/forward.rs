//! Forwards: listeners, on loopback addresses and on unix sockets, whose connections are dialled
//! to another node. What listens follows what is wanted; a listener that stays is not disturbed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::mux::{self, Stream};
use crate::relay::udp;

/// How many connections one listener carries at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16_384;
/// How long a UDP client may be silent before it is forgotten.
const UDP_IDLE: Duration = Duration::from_secs(60);

/// What dials for a forward.
pub trait Dial: Send + Sync + 'static {
    /// A stream to what the head names, accepted by the other side.
    fn dial(&self, head: Bytes) -> BoxFuture<'static, io::Result<Stream>>;
}

/// Where a forward listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// TCP connections at an address.
    Tcp(SocketAddr),
    /// Datagrams at an address.
    Udp(SocketAddr),
    /// Connections at a unix socket that only this user can use. A leftover there is replaced.
    Unix(PathBuf),
}

/// One listener and where its connections go.
#[derive(Clone)]
pub struct Forward {
    /// Where it listens.
    pub listen: Listen,
    /// What is dialled.
    pub head: Bytes,
    /// Who dials.
    pub dialer: Arc<dyn Dial>,
}

/// A forward that cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}: {source}", place(listen))]
pub struct ForwardError {
    /// Where.
    pub listen: Listen,
    /// What the system says.
    pub source: io::Error,
}

fn place(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) | Listen::Udp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
    }
}

struct Running {
    owner: Arc<str>,
    head: Bytes,
    task: tokio::task::AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All forwards, by owner.
#[derive(Default)]
pub struct Forwards {
    running: Mutex<HashMap<Listen, Running>>,
}

impl Forwards {
    fn running(&self) -> MutexGuard<'_, HashMap<Listen, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `wanted` all that listens for `owner`, and gives those that cannot. Connections of
    /// a listener that goes away end with it.
    pub fn set(&self, owner: &str, wanted: Vec<Forward>) -> Vec<ForwardError> {
        let mut running = self.running();
        running.retain(|listen, old| {
            let stays = |new: &Forward| new.listen == *listen && new.head == old.head;
            *old.owner != *owner || (wanted.iter().any(stays) && !old.task.is_finished())
        });
        let owner: Arc<str> = Arc::from(owner);
        let mut failed = Vec::new();
        for forward in wanted {
            if running.contains_key(&forward.listen) {
                continue;
            }
            let (listen, head) = (forward.listen.clone(), forward.head.clone());
            match begin(forward) {
                Ok(task) => {
                    running.insert(listen, Running { owner: Arc::clone(&owner), head, task });
                }
                Err(source) => failed.push(ForwardError { listen, source }),
            }
        }
        failed
    }

    /// How many listeners there are.
    pub fn listening(&self) -> usize {
        self.running().values().filter(|running| !running.task.is_finished()).count()
    }

    /// Whether something listens there.
    pub fn listens(&self, listen: &Listen) -> bool {
        self.running().contains_key(listen)
    }
}

/// Binds at once, so that whoever asked knows, and serves in a task of its own.
fn begin(forward: Forward) -> io::Result<tokio::task::AbortHandle> {
    let Forward { listen, head, dialer } = forward;
    let task = match listen {
        Listen::Tcp(address) => {
            let socket = std::net::TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket)?;
            tokio::spawn(serve(listener, head, dialer))
        }
        Listen::Unix(path) => tokio::spawn(serve(bind_unix(&path)?, head, dialer)),
        Listen::Udp(address) => {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            let socket = Arc::new(UdpSocket::from_std(socket)?);
            let dial = move || dialer.dial(head.clone());
            tokio::spawn(udp::through_streams(socket, dial, UDP_IDLE))
        }
    };
    Ok(task.abort_handle())
}

/// Binds by way of the directory's descriptor: socket paths have at most 107 bytes.
fn bind_unix(path: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::fd::AsRawFd;
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let (folder, name) =
        (path.parent().ok_or_else(invalid)?, path.file_name().ok_or_else(invalid)?);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = fs::File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    let place = if short.exists() || fs::metadata("/proc/self/fd").is_ok() { &short } else { path };
    let listener = std::os::unix::net::UnixListener::bind(place)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Something that connections come to.
trait Accept: Send {
    type Socket: mux::Socket + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Socket>> + Send;
}

impl Accept for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(Self::accept(self).await?.0)
    }
}

impl Accept for UnixListener {
    type Socket = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(Self::accept(self).await?.0)
    }
}

async fn serve<A: Accept>(listener: A, head: Bytes, dialer: Arc<dyn Dial>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match Accept::accept(&listener).await {
            Ok(stream) => {
                let dialling = dialer.dial(head.clone());
                connections.spawn(async move {
                    // What goes wrong is for the client to see: its connection ends.
                    match dialling.await {
                        Ok(far) => drop(mux::pump(far, stream).await),
                        Err(error) => {
                            tracing::debug!(%error, "a connection was not passed on");
                            mux::Socket::end_with_error(&stream);
                        }
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a forward cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
