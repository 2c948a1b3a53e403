//! The DNS server for dwell's suffixes. UDP is served by a thread of its own per address, TCP and
//! forwarding by one more, so that neither waits for the daemon nor the daemon for them.

mod answer;
mod batch;
mod client;
mod forward;
mod message;
mod stream;
#[cfg(test)]
mod tests;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use dwell_core::Suffix;
use tokio::sync::{mpsc, watch};

pub use client::{Answer, QueryError, RecordType, query};

use crate::names::{NameTable, encode};

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the port.
    #[error("{address} is taken by another program")]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The port needs a privilege that this process does not have.
    #[error("{address} may not be used without privileges")]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not one of this machine's loopback addresses.
    #[error("{address} is not a loopback address")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::Taken { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            _ => Self::Io { address, source },
        }
    }
}

/// What all threads of one server share.
pub(crate) struct Shared {
    pub(crate) table: Arc<NameTable>,
    pub(crate) zones: ArcSwap<Vec<Box<[u8]>>>,
    /// Where other names go; none means that they are refused.
    pub(crate) upstreams: ArcSwap<Option<Vec<SocketAddr>>>,
    pub(crate) stop: AtomicBool,
    local: Vec<SocketAddr>,
}

/// A running DNS server; dropping it ends it and frees its ports.
pub struct DnsServer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    ended: watch::Sender<bool>,
}

impl DnsServer {
    /// Listens with UDP and TCP on every one of `addresses`, which must be loopback. With
    /// `forward`, names outside `suffixes` are passed on to these servers; without, refused.
    pub fn bind(
        addresses: &[SocketAddr],
        suffixes: &[Suffix],
        table: Arc<NameTable>,
        forward: Option<Vec<SocketAddr>>,
    ) -> Result<Self, BindError> {
        let sockets: Vec<Sockets> =
            addresses.iter().map(|address| listen(*address)).collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared {
            table,
            zones: ArcSwap::default(),
            upstreams: ArcSwap::default(),
            stop: AtomicBool::new(false),
            local: sockets.iter().map(|sockets| sockets.address).collect(),
        });
        let (ended, end) = watch::channel(false);
        let mut server = Self { shared, threads: Vec::new(), ended };
        server.set_suffixes(suffixes);
        server.set_forward(forward);
        server.start(sockets, end)?;
        Ok(server)
    }

    fn start(
        &mut self,
        sockets: Vec<Sockets>,
        end: watch::Receiver<bool>,
    ) -> Result<(), BindError> {
        let (jobs, queue) = mpsc::channel(forward::QUEUE);
        let mut listeners = Vec::new();
        let mut last = SocketAddr::from(([127, 0, 0, 1], 0));
        for Sockets { address, udp, tcp } in sockets {
            let shared = Arc::clone(&self.shared);
            let jobs = jobs.clone();
            self.spawn("dwell-dns", address, move || udp::serve(&shared, &udp, &jobs))?;
            listeners.push(tcp);
            last = address;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| BindError::Io { address: last, source })?;
        let shared = Arc::clone(&self.shared);
        self.spawn("dwell-dns-tcp", last, move || {
            runtime.block_on(stream::serve(shared, listeners, queue, end));
        })
    }

    fn spawn(
        &mut self,
        name: &str,
        address: SocketAddr,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), BindError> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|source| BindError::Io { address, source })?;
        self.threads.push(thread);
        Ok(())
    }

    /// The first address it listens on, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.local.first().copied()
    }

    /// All addresses it listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.local
    }

    /// Changes the suffixes that it answers for, from the next query on.
    pub fn set_suffixes(&self, suffixes: &[Suffix]) {
        let zones = suffixes.iter().filter_map(|suffix| encode(suffix.as_str())).collect();
        self.shared.zones.store(Arc::new(zones));
    }

    /// Changes where other names go; its own addresses are left out.
    pub fn set_forward(&self, forward: Option<Vec<SocketAddr>>) {
        let others = forward.map(|servers| {
            servers.into_iter().filter(|server| !self.shared.local.contains(server)).collect()
        });
        self.shared.upstreams.store(Arc::new(others));
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.ended.send_replace(true);
        for address in &self.shared.local {
            // An empty datagram wakes the thread; should it be lost, its read times out.
            let any = SocketAddr::new(address.ip(), 0);
            let _ = UdpSocket::bind(any).and_then(|socket| socket.send_to(&[], address));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Sockets {
    address: SocketAddr,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
}

/// Binds UDP and TCP on one port. Where the system chooses it, a port that only one of them can
/// have is tried again with another.
fn listen(wanted: SocketAddr) -> Result<Sockets, BindError> {
    const TRIES: usize = 16;
    if !wanted.ip().is_loopback() {
        return Err(BindError::NotLoopback { address: wanted });
    }
    let failed = |source| BindError::new(wanted, source);
    let mut tries = 0;
    loop {
        tries += 1;
        let udp = UdpSocket::bind(wanted).map_err(failed)?;
        let address = udp.local_addr().map_err(failed)?;
        match TcpListener::bind(address) {
            Ok(tcp) => {
                udp.set_read_timeout(Some(udp::WAKE)).map_err(failed)?;
                tcp.set_nonblocking(true).map_err(failed)?;
                return Ok(Sockets { address, udp: Arc::new(udp), tcp });
            }
            Err(_) if wanted.port() == 0 && tries < TRIES => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
