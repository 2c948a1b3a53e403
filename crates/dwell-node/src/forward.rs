//! Forwards that the daemon holds: they listen until they are stopped, over restarts of the daemon
//! and of what they lead to. Each connection is dialled by the API, as a client would.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dwell_api::client::ByteStream;
use dwell_api::forward::{self, Forward as Shown, NewForward, StopForwards};
use dwell_api::remote::Seen;
use dwell_api::{Client, ClientError, Code, Problem};
use dwell_core::EnvironmentId;
use dwell_core::forward::{Forward, Place};
use dwell_net::port;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::AbortHandle;

use crate::node::Node;
use crate::problem::OrProblem;

/// The pause before a port is tried again that was taken.
const AGAIN: Duration = Duration::from_secs(2);

/// All that are held.
#[derive(Default)]
pub(crate) struct Forwards {
    held: Mutex<BTreeMap<SocketAddr, Held>>,
    /// One change at a time.
    change: tokio::sync::Mutex<()>,
}

struct Held {
    forward: Forward,
    told: Arc<Told>,
    task: AbortHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What goes wrong with one.
#[derive(Default)]
struct Told {
    failed: Mutex<Option<String>>,
    trouble: Mutex<Option<String>>,
}

fn set(place: &Mutex<Option<String>>, to: Option<String>) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

fn get(place: &Mutex<Option<String>>) -> Option<String> {
    place.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Forwards {
    fn held(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, node: &Arc<Node>, forward: Forward, listener: Option<TcpListener>) {
        let told = Arc::new(Told::default());
        let task = tokio::spawn(listen(node.clone(), forward.clone(), listener, told.clone()));
        let held = Held { told, task: task.abort_handle(), forward };
        self.held().insert(held.forward.listen, held);
    }
}

/// Takes up those of an earlier life.
pub(crate) async fn open(node: &Arc<Node>) -> Result<(), Problem> {
    for forward in node.store.forwards().await.or_problem()? {
        node.forwards.hold(node, forward, None);
    }
    Ok(())
}

/// Listens, again and again where the port is taken, and passes connections on.
async fn listen(
    node: Arc<Node>,
    forward: Forward,
    mut first: Option<TcpListener>,
    told: Arc<Told>,
) {
    loop {
        let bound = first.take().map_or_else(|| port::bind(forward.listen), Ok);
        match bound {
            Ok(listener) => {
                set(&told.failed, None);
                let dial = || {
                    let (node, forward, told) = (node.clone(), forward.clone(), told.clone());
                    async move { dialled(&node, &forward, &told).await }
                };
                port::serve(listener, dial).await;
            }
            Err(error) => set(&told.failed, Some(error.to_string())),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn dialled(node: &Node, forward: &Forward, told: &Told) -> Option<ByteStream> {
    match dial(node, forward).await {
        Ok(stream) => {
            set(&told.trouble, None);
            Some(stream)
        }
        Err(problem) => {
            set(&told.trouble, Some(problem.message));
            None
        }
    }
}

async fn dial(node: &Node, forward: &Forward) -> Result<ByteStream, Problem> {
    let ending = || Problem::new(Code::NodeUnreachable, "the daemon is ending");
    let (near, far) = UnixStream::pair().map_err(|_| ending())?;
    node.doors.send(Box::new(far)).await.map_err(|_| ending())?;
    let client = Client::connect(near).await.map_err(ClientError::into_problem)?;
    let dialling = forward::dial(client, &forward.place, forward.port);
    dialling.await.map_err(ClientError::into_problem)
}

/// All forwards, by where they listen.
pub(crate) async fn list(node: &Node) -> Result<Vec<Shown>, Problem> {
    let mut all = {
        let held = node.forwards.held();
        held.values().map(show).collect::<Vec<Shown>>()
    };
    for shown in &mut all {
        // It may be called something else by now.
        if let Place::Workspace { id, name } = &mut shown.place {
            match node.store.workspace(id).await.or_problem()? {
                Some(it) => *name = it.name,
                None => {
                    let mut there = node.remotes.workspaces_seen().into_iter();
                    *name = there.find(|it| it.id == *id).map_or(name.clone(), |it| it.name);
                }
            }
        }
    }
    Ok(all)
}

fn show(held: &Held) -> Shown {
    let Forward { listen, place, port, created } = held.forward.clone();
    let (failed, trouble) = (get(&held.told.failed), get(&held.told.trouble));
    Shown { listen, place, port, failed, trouble, created }
}

/// Holds more forwards: all of them, or none where one cannot be.
pub(crate) async fn start(
    node: &Arc<Node>,
    wanted: Vec<NewForward>,
) -> Result<Vec<Shown>, Problem> {
    let _one = node.forwards.change.lock().await;
    let (mut there, mut new) = (Vec::new(), Vec::new());
    for it in wanted {
        match held_already(node, &it)? {
            true => there.push(it.listen),
            false => new.push(bound(node, it)?),
        }
    }
    for (forward, listener) in new {
        node.store.add_forward(&forward).await.or_problem()?;
        there.push(forward.listen);
        node.forwards.hold(node, forward, Some(listener));
    }
    Ok(list(node).await?.into_iter().filter(|shown| there.contains(&shown.listen)).collect())
}

/// Whether this very forward is there; a problem where another one has its port.
fn held_already(node: &Node, wanted: &NewForward) -> Result<bool, Problem> {
    let held = node.forwards.held();
    let Some(other) = held.get(&wanted.listen) else { return Ok(false) };
    let other = &other.forward;
    if other.place.id() == wanted.place.id()
        && other.place.to_string() == wanted.place.to_string()
        && other.port == wanted.port
    {
        return Ok(true);
    }
    let message = format!("{} leads to {}:{} already", wanted.listen, other.place, other.port);
    Err(Problem::new(Code::PortTaken, message)
        .hint(format!("`dwell forward stop {}` ends that", wanted.listen.port())))
}

fn bound(node: &Node, wanted: NewForward) -> Result<(Forward, TcpListener), Problem> {
    let failed = |error: std::io::Error| taken(wanted.listen, &error);
    let listener = port::bind(wanted.listen).map_err(failed)?;
    let listen = listener.local_addr().map_err(failed)?;
    let NewForward { place, port, .. } = wanted;
    Ok((Forward { listen, place, port, created: node.now() }, listener))
}

fn taken(listen: SocketAddr, error: &std::io::Error) -> Problem {
    let port = listen.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            Problem::new(Code::PortTaken, format!("{listen} is taken by another program"))
                .hint(format!("name another port of this machine, as in {}:{port}", port ^ 1))
        }
        _ => Problem::new(Code::InvalidArgument, format!("{listen} cannot be used: {error}")),
    }
}

/// Stops forwards, and tells which they were.
pub(crate) async fn stop(node: &Node, request: &StopForwards) -> Result<Vec<Shown>, Problem> {
    let _one = node.forwards.change.lock().await;
    let all = list(node).await?;
    let is_meant = |shown: &Shown, word: &String| {
        shown.place.is_called(word)
            || *word == shown.listen.port().to_string()
            || *word == shown.listen.to_string()
    };
    if let Some(word) =
        request.which.iter().find(|word| !all.iter().any(|shown| is_meant(shown, word)))
    {
        return Err(Problem::new(Code::NotFound, format!("no forward is held for `{word}`"))
            .hint("`dwell forward ls` lists them"));
    }
    let wanted =
        |shown: &Shown| request.all || request.which.iter().any(|word| is_meant(shown, word));
    let stopped: Vec<Shown> = all.into_iter().filter(wanted).collect();
    for shown in &stopped {
        end(node, &shown.listen).await?;
    }
    Ok(stopped)
}

async fn end(node: &Node, listen: &SocketAddr) -> Result<(), Problem> {
    node.store.forget_forward(listen).await.or_problem()?;
    node.forwards.held().remove(listen);
    Ok(())
}

/// Ends those of a workspace or an environment that is removed.
pub(crate) async fn let_go(node: &Node, id: &str) -> Result<(), Problem> {
    let _one = node.forwards.change.lock().await;
    let of_it = |held: &Held| held.forward.place.id() == id;
    let all: Vec<SocketAddr> = {
        let held = node.forwards.held();
        held.iter().filter(|(_, held)| of_it(held)).map(|(listen, _)| *listen).collect()
    };
    for listen in &all {
        end(node, listen).await?;
    }
    Ok(())
}

/// Ends those of workspaces and environments of another node that it says are no more. What it
/// does not show because it is away stays.
pub(crate) async fn follow(node: &Node, before: Option<&Seen>, now: &Seen) {
    let held: BTreeSet<String> = {
        let held = node.forwards.held();
        held.values().map(|held| held.forward.place.id().to_owned()).collect()
    };
    let is_gone =
        |id: &&String| !now.has(id) && (now.had(id) || before.is_some_and(|it| it.has(id)));
    for id in held.iter().filter(is_gone) {
        if is_here_now(node, id).await {
            continue;
        }
        if let Err(problem) = let_go(node, id).await {
            tracing::warn!(%problem, id, "its forwards were not ended");
        }
    }
}

/// Whether an environment moved here, or to another node.
async fn is_here_now(node: &Node, id: &str) -> bool {
    let own = match id.parse::<EnvironmentId>() {
        Ok(id) => node.store.environment(&id).await.map_or(true, |found| found.is_some()),
        Err(_) => false,
    };
    own || node.remotes.find(id, None).is_some()
}
