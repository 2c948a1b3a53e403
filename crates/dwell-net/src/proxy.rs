//! The HTTP proxy on a user port: `<service>.<env>.localhost` works without any privilege or
//! change to the system. It routes by the request's host, by the same table and the same rule for
//! ambiguous names as the DNS server, and streams both ways.

mod headers;
mod host;
mod page;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dwell_core::Suffix;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::dns::BindError;
use crate::names::{NameTable, Route};
use page::{Body, page};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// How much of a request's head is read at most, in bytes.
const HEADER_SIZE: usize = 64 * 1024;
const CONNECTIONS: usize = 1024;

struct Shared {
    table: Arc<NameTable>,
    suffixes: ArcSwap<Vec<String>>,
}

/// A running proxy; dropping it ends it with its connections, but for those that switched to
/// another protocol, which last until either side ends them.
pub struct HttpProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl HttpProxy {
    /// Listens on `address`, which must be loopback, and serves on the current tokio runtime.
    pub async fn bind(
        address: SocketAddr,
        suffixes: &[Suffix],
        table: Arc<NameTable>,
    ) -> Result<Self, BindError> {
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback { address });
        }
        let failed = |source| BindError::new(address, source);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared { table, suffixes: ArcSwap::default() });
        let task = tokio::spawn(accept(Arc::clone(&shared), listener));
        let proxy = Self { shared, address, task };
        proxy.set_suffixes(suffixes);
        Ok(proxy)
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Changes the suffixes that `.localhost` stands for, from the next request on.
    pub fn set_suffixes(&self, suffixes: &[Suffix]) {
        let suffixes = suffixes.iter().map(|suffix| suffix.as_str().to_owned()).collect();
        self.shared.suffixes.store(Arc::new(suffixes));
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    // What goes wrong with a connection is its client's to see.
                    let _ = converse(shared, stream, peer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the HTTP proxy cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<(), hyper::Error> {
    // Streamed events shall not wait for more; without it they are only later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(serve(&shared, request, peer).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(HEADER_SIZE)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await
}

async fn serve(shared: &Shared, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    if request.method() == Method::CONNECT {
        return page(StatusCode::METHOD_NOT_ALLOWED, "this proxy does not tunnel");
    }
    let host = match host::of(&request) {
        Ok(host) => host,
        Err(why) => return page(StatusCode::BAD_REQUEST, why),
    };
    match shared.table.route(&host, &shared.suffixes.load()) {
        Route::To(target) => pass(request, &host, target, peer).await,
        Route::Ambiguous(text) => page(StatusCode::CONFLICT, &text),
        Route::Unreachable(why) => page(StatusCode::SERVICE_UNAVAILABLE, &why),
        Route::Unknown => page(StatusCode::NOT_FOUND, &unknown(shared, &host)),
    }
}

fn unknown(shared: &Shared, host: &str) -> String {
    const SHOWN: usize = 100;
    let suffixes = shared.suffixes.load();
    let mut text = format!("nothing that dwell knows serves http for `{host}`\n");
    let names = shared.table.http_names(SHOWN);
    if names.is_empty() {
        text.push_str("no running environment serves http");
        return text;
    }
    text.push_str("what is served:");
    for name in names {
        let plain = suffixes
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix.as_str())?.strip_suffix('.'))
            .unwrap_or(&name);
        text.push_str(&format!("\n  {plain}.localhost"));
    }
    text
}

async fn pass(
    mut request: Request<Incoming>,
    host: &str,
    target: SocketAddr,
    peer: SocketAddr,
) -> Response<Body> {
    let stream = match timeout(CONNECT_LIMIT, TcpStream::connect(target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return bad_gateway(host, target, &error.to_string()),
        Err(_) => {
            let text = format!("{host}: {target} took no connection within 5 s");
            return page(StatusCode::GATEWAY_TIMEOUT, &text);
        }
    };
    let _ = stream.set_nodelay(true);
    let upgrade = headers::prepare(&mut request, peer);
    let client_side = upgrade.then(|| hyper::upgrade::on(&mut request));
    match exchange(stream, request).await {
        Ok(response) => finish(response, client_side),
        Err(error) => bad_gateway(host, target, &error.to_string()),
    }
}

fn bad_gateway(host: &str, target: SocketAddr, why: &str) -> Response<Body> {
    page(StatusCode::BAD_GATEWAY, &format!("{host}: {target} did not serve the request: {why}"))
}

async fn exchange(
    stream: TcpStream,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADER_SIZE)
        .handshake(TokioIo::new(stream))
        .await?;
    // It ends with its one request, or when either side is gone.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await
}

/// Hands the answer on; after a switch of protocols, both sides are joined.
fn finish(
    mut response: Response<Incoming>,
    client_side: Option<hyper::upgrade::OnUpgrade>,
) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(client_side) = client_side else {
            let text = "the service switched protocols without being asked";
            return page(StatusCode::BAD_GATEWAY, text);
        };
        let service_side = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let Err(error) = join(client_side, service_side).await {
                tracing::debug!(%error, "an upgraded connection ended");
            }
        });
    } else {
        headers::drop_hop_by_hop(response.headers_mut());
    }
    response.map(BodyExt::boxed)
}

async fn join(
    client: hyper::upgrade::OnUpgrade,
    service: hyper::upgrade::OnUpgrade,
) -> io::Result<()> {
    let (client, service) = tokio::try_join!(client, service).map_err(io::Error::other)?;
    let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
    tokio::io::copy_bidirectional(&mut client, &mut service).await?;
    Ok(())
}
