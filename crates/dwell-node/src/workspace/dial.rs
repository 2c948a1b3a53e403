//! Byte streams to ports of workspaces. One that sleeps is woken first.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::remote::DIAL;
use dwell_api::workspace::WorkspaceDial;
use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::observed::State;
use dwell_core::workspace::{DESKTOP_SOCKET, Workspace};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::exec::awake;
use super::{current, find, given, inside, seen};
use crate::api::{Refusal, switching, upgrade_of};
use crate::doors::Stream;
use crate::idle::{Meter, Metered, ran_for};
use crate::node::Node;

/// How long a connection may take, and servers after a workspace began to run.
const LIMIT: Duration = Duration::from_secs(5);
/// How long what is frozen may take to take a connection.
const EARLY: Duration = Duration::from_secs(1);
/// The first pause before it is tried again, and the longest one.
const AGAIN: Duration = Duration::from_millis(1);
const AGAIN_MAX: Duration = Duration::from_millis(20);

/// Connects and answers the upgrade.
pub(crate) async fn dial(
    node: Arc<Node>,
    name: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, dial): (_, WorkspaceDial) = upgrade_of(request).await?;
    let it = find(&node, name).await?;
    let is_plain = !dial.desktop && !dial.inside;
    let (it, far) = if is_plain && seen(&node, &it) == Some(State::Paused) {
        thawing(&node, it, &dial).await?
    } else {
        let it = awake(&node, it, Source::Request).await?;
        admit(&node, &it, &dial).await?;
        (it, None)
    };
    let mut far: Box<dyn Stream> = match far {
        Some(far) => Box::new(far),
        None if dial.desktop => Box::new(inside::dial_socket(&node, &it, DESKTOP_SOCKET).await?),
        None if dial.inside => anywhere(&node, &it, dial.port).await?,
        None => Box::new(connect(&node, &it, dial.port).await?),
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

/// Lets the key that comes with it log in.
async fn admit(node: &Node, it: &Workspace, dial: &WorkspaceDial) -> Result<(), Problem> {
    let Some(key) = &dial.key else { return Ok(()) };
    let lock = node.workspaces.lock(it.id.as_str());
    let _held = lock.lock().await;
    given::admit(node, it, key)
}

/// Connects while it is woken: what is frozen takes connections all the same. What it says first
/// tells that it runs, somewhat before the engine does.
async fn thawing(
    node: &Arc<Node>,
    it: Workspace,
    dial: &WorkspaceDial,
) -> Result<(Workspace, Option<TcpStream>), Problem> {
    admit(node, &it, dial).await?;
    let address = address(node, &it);
    let connecting = async {
        let place = SocketAddr::new(IpAddr::from(address?), dial.port);
        timeout(EARLY, TcpStream::connect(place)).await.ok()?.ok()
    };
    let woken = awake(node, it.clone(), Source::Request);
    let (mut connecting, mut woken) = (pin!(connecting), pin!(woken));
    let (mut tried, mut stream) = (false, None);
    loop {
        tokio::select! {
            woken = &mut woken => return Ok((woken?, stream)),
            connected = &mut connecting, if !tried => (tried, stream) = (true, connected),
            said = speaks(stream.as_ref()) => match said {
                true => return Ok((it, stream)),
                false => stream = None,
            },
        }
    }
}

/// Whether the other end says something rather than that it ends; waits for either.
async fn speaks(stream: Option<&TcpStream>) -> bool {
    match stream {
        Some(stream) => stream.peek(&mut [0]).await.is_ok_and(|count| count > 0),
        None => std::future::pending().await,
    }
}

fn address(node: &Node, it: &Workspace) -> Option<Ipv4Addr> {
    let container = current(it, node.world.of_workspace(&it.id));
    container.and_then(|found| found.addresses.get(&it.network()).copied())
}

/// Connects at the workspace's own address, else from inside: many programs take connections from
/// there only.
async fn anywhere(node: &Node, it: &Workspace, port: u16) -> Result<Box<dyn Stream>, Problem> {
    if let Some(address) = address(node, it) {
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
    let failed = |why: &str| {
        let message = format!("port {port} of workspace `{}` cannot be reached: {why}", it.name);
        Problem::new(Code::NotRunning, message)
            .hint(format!("`dwell ws exec {} -- ss -ltn` tells what listens there", it.name))
    };
    let address = address(node, it).ok_or_else(|| failed("it has no address"))?;
    let place = SocketAddr::new(IpAddr::from(address), port);
    let deadline = Instant::now() + LIMIT;
    let begun = Duration::from_micros(u64::try_from(ran_for(node, &it.id)).unwrap_or_default());
    let is_new = begun < LIMIT;
    let mut pause = AGAIN;
    loop {
        let tried = timeout_at(deadline, TcpStream::connect(place)).await;
        match tried.unwrap_or_else(|_| Err(Error::from(ErrorKind::TimedOut))) {
            Ok(stream) => return Ok(stream),
            // In a workspace that began to run a moment ago, servers may not be there yet.
            Err(error)
                if is_new
                    && error.kind() == ErrorKind::ConnectionRefused
                    && Instant::now() + pause < deadline =>
            {
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN_MAX);
            }
            Err(error) => return Err(failed(&error.to_string())),
        }
    }
}
