//! Starting and ending the daemon: one a state directory, its socket private to the user.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dwell_api::paths::Paths;
use dwell_api::{Code, Problem};
use dwell_core::NodeId;
use dwell_core::config::NodeConfig;
use dwell_drivers::docker::Engine;
use dwell_drivers::own;
use dwell_drivers::process::owner;
use dwell_net::names::NameTable;
use rustix::fs::FlockOperation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::doors::Doors;
use crate::facts::{FactsCache, make_directory, write};
use crate::listeners::{self, Listeners};
use crate::mesh::Mesh;
use crate::node::{Node, now, random};
use crate::operation::{Operations, recover};
use crate::problem::{OrProblem, file};
use crate::relay::RelayImage;
use crate::session::SessionNotes;
use crate::world::{self, World};
use crate::{
    api, forward, idle, ingress, machine, mesh, rebuild, reconcile, remote, reserve, workspace,
};

/// How long requests that are being answered may take to end after the daemon was told to.
const FAREWELL: Duration = Duration::from_secs(3);
/// How many dialled streams wait for the API to take them.
const DIALLED: usize = 64;
/// How long the next daemon waits for the last one to end.
const HANDOVER: Duration = Duration::from_secs(8);

/// How many files the daemon wants to have open: each connection that it carries is one. Not as
/// many as the system would give, as its tools inherit the limit and some close all that it allows.
const FILES: u64 = 65_536;

/// Runs the daemon to its end.
pub(crate) fn run(paths: Paths) -> Result<(), Problem> {
    for directory in [&paths.state, &paths.data, &paths.runtime] {
        make_directory(directory)?;
    }
    let _lock = lock(&paths)?;
    allow_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Problem::new(Code::Internal, format!("no runtime: {e}")))?;
    let result = runtime.block_on(serve(paths));
    runtime.shutdown_timeout(FAREWELL);
    result
}

/// Raises the number of files that may be open as far as the user may. Where that fails it stays.
fn allow_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(FILES, |most| most.min(FILES));
    if current.is_some_and(|current| current < wanted) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The lock that makes this the only daemon of its state directory; held until the file closes.
fn lock(paths: &Paths) -> Result<File, Problem> {
    let path = paths.state.join("node.lock");
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let held = open.map_err(|error| file("opening", &path, &error))?;
    let deadline = Instant::now() + HANDOVER;
    loop {
        if rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(held);
        }
        // One that does not answer is about to end, by itself or because it was killed.
        let answers = std::os::unix::net::UnixStream::connect(paths.socket()).is_ok();
        if answers || Instant::now() > deadline {
            let place = paths.state.display();
            return Err(Problem::new(Code::Exists, format!("a daemon runs already for {place}"))
                .hint("`dwell node status` tells about it"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn node_id(paths: &Paths) -> Result<NodeId, Problem> {
    let path = paths.state.join("node-id");
    if let Ok(text) = std::fs::read_to_string(&path)
        && let Ok(id) = text.trim().parse()
    {
        return Ok(id);
    }
    let id = NodeId::from_random(random()?);
    write(&path, id.as_str().as_bytes())?;
    Ok(id)
}

/// The node's own file, as it is now.
pub(crate) fn config(paths: &Paths) -> Result<NodeConfig, Problem> {
    let path = paths.config_file();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(file("reading", &path, &error)),
    };
    NodeConfig::from_toml(&text)
        .map_err(|error| Problem::new(Code::InvalidConfig, format!("{}: {error}", path.display())))
}

/// This very binary in the state directory, whatever becomes of the file that it was started from.
fn kept_binary(paths: &Paths) -> Result<PathBuf, Problem> {
    let place = paths.binary();
    own::keep(&place).map(|()| place.clone()).or_else(|error| {
        tracing::warn!(%error, "the binary is not kept in {}", place.display());
        own::path().map_err(|e| {
            Problem::new(Code::Internal, format!("the dwell binary is not known: {e}"))
        })
    })
}

async fn serve(paths: Paths) -> Result<(), Problem> {
    let config = config(&paths)?;
    let id = node_id(&paths)?;
    let (store, incidents) = rebuild::open(&paths.database()).await.or_problem()?;
    // Tools that a killed daemon left running would go on making what is about to be undone.
    if store.unfinished_operations().await.is_ok_and(|left| !left.is_empty()) {
        let count = owner::end_leftovers(&paths.state);
        tracing::info!(count, "tools of an earlier life were ended");
    }
    owner::set_owner(&paths.state);
    reserve::keep(&paths.state);
    let engine = Engine::locate().await.or_problem()?;
    let binary = kept_binary(&paths)?;
    let include = paths.config.join("tmux.conf");
    let (door, dialled) = tokio::sync::mpsc::channel(DIALLED);
    let node = Arc::new(Node {
        id,
        user: machine::user(),
        listeners: Listeners::new(&config),
        sessions: SessionNotes::new(paths.tmux_socket(), include, binary.clone()),
        binary,
        workspaces: Default::default(),
        forwards: Default::default(),
        viewers: Default::default(),
        resolving: Default::default(),
        remotes: Default::default(),
        login: Default::default(),
        ingress: Default::default(),
        mesh: Mesh::open(&paths.state),
        doors: door,
        config,
        store,
        engine,
        world: World::default(),
        names: Arc::new(NameTable::new()),
        operations: Operations::default(),
        facts: FactsCache::default(),
        relay: RelayImage::default(),
        allocation: tokio::sync::Mutex::default(),
        halting: tokio::sync::Mutex::default(),
        sharing: tokio::sync::Mutex::default(),
        reconcile: Notify::new(),
        stop: Notify::new(),
        started: now(),
        incidents,
        paths,
    });
    rebuild::rebuild(&node).await;
    for environment in node.store.environments().await.or_problem()? {
        node.facts.load(&environment.id, &node.directory(&environment.id));
    }
    let doors = Doors::new(listen(&node.paths.socket())?, dialled);
    tokio::spawn(remote::listen(node.clone(), listen(&node.paths.link_socket())?));
    tokio::spawn(mesh::run(node.clone()));
    remote::open(&node).await?;
    remote::standin::listen_again(&node).await;
    forward::open(&node).await?;
    tokio::spawn(listeners::run(node.clone()));
    tokio::spawn(ingress::run(node.clone()));
    tokio::spawn(settle_then_watch(node.clone()));
    tracing::info!(node = %node.id, version = env!("CARGO_PKG_VERSION"), "ready");
    let ended = api::serve(node.clone(), doors, told_to_stop(node.clone())).await;
    let _ = std::fs::remove_file(node.paths.socket());
    let _ = std::fs::remove_file(node.paths.link_socket());
    node.store.close().await;
    tracing::info!("ended");
    ended
}

/// What an earlier life left unfinished is settled before anything else acts.
async fn settle_then_watch(node: Arc<Node>) {
    let watching = tokio::spawn(world::watch(node.clone()));
    if let Err(problem) = recover(&node).await {
        tracing::error!(%problem, "unfinished operations were not settled");
    }
    node.operations.settled();
    let sleeping = tokio::spawn(idle::run(node.clone()));
    let measuring = tokio::spawn(workspace::measure(node.clone()));
    let filling = tokio::spawn(workspace::pool::run(node.clone()));
    reconcile::run(node).await;
    measuring.abort();
    sleeping.abort();
    filling.abort();
    watching.abort();
}

async fn told_to_stop(node: Arc<Node>) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
        () = node.stop.notified() => {}
    }
}

/// Listens on the socket, for this user only. The lock says that no other daemon has it.
fn listen(path: &Path) -> Result<UnixListener, Problem> {
    let failed = |error: std::io::Error| file("listening on", path, &error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}
