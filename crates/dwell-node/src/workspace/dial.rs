//! Byte streams to ports of workspaces. One that sleeps is woken first.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::remote::DIAL;
use dwell_api::workspace::WorkspaceDial;
use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::workspace::{DESKTOP_SOCKET, Workspace};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::exec::awake;
use super::{current, find, given, inside};
use crate::api::{Refusal, switching, upgrade_of};
use crate::doors::Stream;
use crate::idle::{Meter, Metered, ran_for};
use crate::node::Node;

/// How long a connection may take, and servers after a workspace began to run.
const LIMIT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// Connects and answers the upgrade.
pub(crate) async fn dial(
    node: Arc<Node>,
    name: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, dial): (_, WorkspaceDial) = upgrade_of(request).await?;
    let it = awake(&node, find(&node, name).await?, Source::Request).await?;
    if let Some(key) = &dial.key {
        let lock = node.workspaces.lock(it.id.as_str());
        let _held = lock.lock().await;
        given::admit(&node, &it, key)?;
    }
    let mut far: Box<dyn Stream> = match dial.inside {
        _ if dial.desktop => Box::new(inside::dial_socket(&node, &it, DESKTOP_SOCKET).await?),
        true => anywhere(&node, &it, dial.port).await?,
        false => Box::new(connect(&node, &it, dial.port).await?),
    };
    tokio::spawn(async move {
        if let Ok(near) = upgrade.await {
            // What goes wrong is for both ends to see.
            let meter = Meter::port(node, it.id, dial.port);
            let mut near = Metered { stream: TokioIo::new(near), meter };
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    Ok(switching(DIAL))
}

/// Connects at the workspace's own address, else from inside: many programs take connections from
/// there only.
async fn anywhere(node: &Node, it: &Workspace, port: u16) -> Result<Box<dyn Stream>, Problem> {
    let container = current(it, node.world.of_workspace(&it.id));
    let address = container.and_then(|found| found.addresses.get(&it.network()).copied());
    if let Some(address) = address {
        let place = SocketAddr::new(IpAddr::from(address), port);
        let tried = timeout(LIMIT, TcpStream::connect(place)).await;
        if let Ok(Ok(stream)) = tried {
            // Without it small pieces are only later.
            let _ = stream.set_nodelay(true);
            return Ok(Box::new(stream));
        }
    }
    Ok(Box::new(inside::dial(node, it, port).await?))
}

async fn connect(node: &Node, it: &Workspace, port: u16) -> Result<TcpStream, Problem> {
    let container = current(it, node.world.of_workspace(&it.id));
    let address = container.and_then(|found| found.addresses.get(&it.network()).copied());
    let failed = |why: &str| {
        let message = format!("port {port} of workspace `{}` cannot be reached: {why}", it.name);
        Problem::new(Code::NotRunning, message)
            .hint(format!("`dwell ws exec {} -- ss -ltn` tells what listens there", it.name))
    };
    let address = address.ok_or_else(|| failed("it has no address"))?;
    let place = SocketAddr::new(IpAddr::from(address), port);
    let deadline = Instant::now() + LIMIT;
    let begun = Duration::from_micros(u64::try_from(ran_for(node, &it.id)).unwrap_or_default());
    let is_new = begun < LIMIT;
    loop {
        let tried = timeout_at(deadline, TcpStream::connect(place)).await;
        match tried.unwrap_or_else(|_| Err(Error::from(ErrorKind::TimedOut))) {
            Ok(stream) => return Ok(stream),
            // In a workspace that began to run a moment ago, servers may not be there yet.
            Err(error)
                if is_new
                    && error.kind() == ErrorKind::ConnectionRefused
                    && Instant::now() + AGAIN < deadline =>
            {
                sleep(AGAIN).await;
            }
            Err(error) => return Err(failed(&error.to_string())),
        }
    }
}
