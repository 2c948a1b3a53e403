//! DNS over TCP, and the one runtime of the thread that also forwards.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Shared;
use super::answer::{Carrier, Verdict, View, answer, servfail};
use super::forward::{self, Job};

/// How many connections are held at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// How long a connection may stay silent.
const IDLE: Duration = Duration::from_secs(5);

/// Serves TCP and forwards UDP queries until `end` changes.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listeners: Vec<StdListener>,
    queue: mpsc::Receiver<Job>,
    mut end: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                tasks.spawn(accept(Arc::clone(&shared), listener));
            }
            Err(error) => tracing::warn!(%error, "DNS over TCP is off"),
        }
    }
    tasks.spawn(forward::run(shared, queue));
    // The sender going away means the same as its message; dropping the tasks ends them.
    let _ = end.wait_for(|ended| *ended).await;
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // A connection that fails concerns its client only.
                    let _ = converse(&shared, stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut query = Vec::new();
    let mut out = Vec::new();
    loop {
        let length = usize::from(timeout(IDLE, stream.read_u16()).await??);
        query.resize(length, 0);
        timeout(IDLE, stream.read_exact(&mut query)).await??;
        match judge(shared, &query, &mut out) {
            Verdict::Reply => {}
            Verdict::Drop => return Ok(()),
            Verdict::Forward => match forward::over_tcp(shared, &query).await {
                Some(reply) => out = reply,
                None => servfail(&query, Carrier::Tcp, &mut out),
            },
        }
        let length = u16::try_from(out.len()).unwrap_or_default();
        let mut framed = Vec::with_capacity(out.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&out);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

fn judge(shared: &Shared, query: &[u8], out: &mut Vec<u8>) -> Verdict {
    let zones = shared.zones.load();
    let forwards = shared.upstreams.load().is_some();
    answer(&View { table: &shared.table, zones: &zones, forwards }, query, Carrier::Tcp, out)
}
