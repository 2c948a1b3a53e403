//! What the engine was seen to run: a snapshot kept up to date by the engine's events, with a
//! full look now and then. When the engine goes away the snapshot stays as last seen and says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use dwell_core::observed::{Container, label};
use dwell_core::{EnvironmentId, WorkspaceId};
use futures_util::StreamExt;
use tokio::sync::{Notify, watch};

use crate::node::Node;

/// How often everything is looked at although no event asked for it.
const PASS: Duration = Duration::from_secs(30);
/// When a container is looked at after something happened to it.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(3),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_millis(1500),
];
/// How long an answer of the engine stands for its being there.
const FRESH: Duration = Duration::from_secs(2);

/// Whether the engine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EngineState {
    /// It was not asked yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not, and this is why.
    Down(String),
}

struct Seen {
    engine: EngineState,
    /// How often the engine came back, or was met for the first time.
    met: u64,
    containers: HashMap<String, Container>,
}

/// The snapshot.
pub(crate) struct World {
    seen: RwLock<Seen>,
    changed: watch::Sender<u64>,
    /// Containers that something happened to, and when they are to be looked at.
    due: Mutex<Vec<(Instant, String)>>,
    /// When the engine answered last.
    heard: Mutex<Option<Instant>>,
    /// Told when somebody else than the watcher found that the engine does not answer.
    gone: Notify,
}

impl Default for World {
    fn default() -> Self {
        Self {
            seen: RwLock::new(Seen {
                engine: EngineState::Unknown,
                met: 0,
                containers: HashMap::new(),
            }),
            changed: watch::Sender::new(0),
            due: Mutex::default(),
            heard: Mutex::default(),
            gone: Notify::new(),
        }
    }
}

impl World {
    fn read<T>(&self, with: impl FnOnce(&Seen) -> T) -> T {
        with(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, with: impl FnOnce(&mut Seen) -> T) -> T {
        let result = with(&mut self.seen.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    /// Whether the engine answers.
    pub(crate) fn engine(&self) -> EngineState {
        self.read(|seen| seen.engine.clone())
    }

    /// How often the engine came back, or was met for the first time.
    pub(crate) fn met(&self) -> u64 {
        self.read(|seen| seen.met)
    }

    /// The containers of an environment, as last seen.
    pub(crate) fn containers(&self, id: &EnvironmentId) -> Vec<Container> {
        self.read(|seen| {
            let of = seen.containers.values().filter(|c| c.environment.as_ref() == Some(id));
            of.filter(|c| !c.one_off).cloned().collect()
        })
    }

    /// The containers of all environments, by environment.
    pub(crate) fn by_environment(&self) -> HashMap<EnvironmentId, Vec<Container>> {
        self.read(|seen| {
            let mut all: HashMap<EnvironmentId, Vec<Container>> = HashMap::new();
            for container in seen.containers.values().filter(|c| !c.one_off) {
                if let Some(id) = &container.environment {
                    all.entry(id.clone()).or_default().push(container.clone());
                }
            }
            all
        })
    }

    /// The containers of a workspace, as last seen.
    pub(crate) fn of_workspace(&self, id: &WorkspaceId) -> Vec<Container> {
        self.read(|seen| {
            let of = seen.containers.values().filter(|c| c.workspace.as_ref() == Some(id));
            of.cloned().collect()
        })
    }

    /// The containers of all workspaces, as last seen.
    pub(crate) fn workspaces(&self) -> Vec<(WorkspaceId, Container)> {
        self.read(|seen| {
            let own = |c: &Container| Some((c.workspace.clone()?, c.clone()));
            seen.containers.values().filter_map(own).collect()
        })
    }

    /// Told whenever something changed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Puts what was just seen of some containers in place: those asked for and not found are
    /// gone. Gives the environments that it concerns.
    fn take_over(&self, asked: &[String], found: Vec<Container>) -> HashSet<EnvironmentId> {
        self.write(|seen| {
            let mut concerned = HashSet::new();
            for id in asked {
                concerned.extend(seen.containers.remove(id).and_then(|c| c.environment));
            }
            for container in found {
                concerned.extend(container.environment.clone());
                seen.containers.insert(container.id.clone(), container);
            }
            concerned
        })
    }

    fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn heard_lately(&self) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|at| at.elapsed() < FRESH)
    }

    fn replace(&self, found: Vec<Container>) {
        self.hear();
        self.write(|seen| {
            seen.met += u64::from(seen.engine != EngineState::Up);
            seen.engine = EngineState::Up;
            seen.containers = found.into_iter().map(|c| (c.id.clone(), c)).collect();
        });
    }

    fn engine_down(&self, why: String) {
        self.write(|seen| seen.engine = EngineState::Down(why));
    }
}

/// Looks at one environment's containers now, so that what an operation did is seen before it
/// is reported.
pub(crate) async fn look_at(node: &Node, id: &EnvironmentId) {
    let labelled = format!("{}={id}", label::ENVIRONMENT);
    if let Ok(found) = node.engine.containers(&labelled).await {
        let before: Vec<String> = node.world.containers(id).into_iter().map(|c| c.id).collect();
        node.world.take_over(&before, found);
    }
    node.publish(id).await;
}

/// Looks at one workspace's containers now, and gives them.
pub(crate) async fn look_at_workspace(
    node: &Node,
    id: &WorkspaceId,
) -> Result<Vec<Container>, dwell_drivers::docker::EngineError> {
    let labelled = format!("{}={id}", label::WORKSPACE);
    let found = node.engine.containers(&labelled).await?;
    let before: Vec<String> = node.world.of_workspace(id).into_iter().map(|c| c.id).collect();
    node.world.take_over(&before, found.clone());
    Ok(found)
}

/// Ends, with the reason, when the engine has not answered for half a minute. Only programs that
/// wait for the engine without a limit of their own need it.
pub(crate) async fn lost(node: &Node) -> dwell_drivers::docker::EngineError {
    let mut unanswered = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        match node.engine.ping(Duration::from_secs(5)).await {
            Ok(()) => unanswered = 0,
            Err(error) if unanswered >= 2 => return error,
            Err(_) => unanswered += 1,
        }
    }
}

/// Makes sure that what is about to be shown is not older than a moment: an engine that does not
/// answer within half a second is not known to run anything.
pub(crate) async fn freshen(node: &Node) {
    if node.world.engine() != EngineState::Up || node.world.heard_lately() {
        return;
    }
    match node.engine.ping(Duration::from_millis(500)).await {
        Ok(()) => node.world.hear(),
        Err(error) => {
            node.world.engine_down(error.to_string());
            node.world.gone.notify_one();
        }
    }
}

/// Watches the engine for ever.
pub(crate) async fn watch(node: Arc<Node>) {
    let mut pause = Duration::from_millis(100);
    loop {
        match session(&node, &mut pause).await {
            Ok(()) => tracing::info!("the engine ended its event stream"),
            Err(error) => {
                node.world.engine_down(error.to_string());
                tracing::warn!(%error, "the engine cannot be watched");
            }
        }
        node.publish_all().await;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// One connection to the engine's events: a full look, then what changes, and a full look every
/// [`PASS`].
async fn session(
    node: &Arc<Node>,
    pause: &mut Duration,
) -> Result<(), dwell_drivers::docker::EngineError> {
    let labelled = format!("{}={}", label::NODE, node.id);
    // From a second before the look, so that nothing falls between the two.
    let since = node.now() / 1_000_000 - 1;
    let mut changes = std::pin::pin!(node.engine.changes(&labelled, since));
    node.world.replace(node.engine.containers(&labelled).await?);
    *pause = Duration::from_millis(100);
    node.publish_all().await;
    node.reconcile.notify_one();
    let mut pass = tokio::time::interval(PASS);
    pass.tick().await;
    loop {
        tokio::select! {
            change = changes.next() => match change {
                Some(change) => note(node, &change?.container),
                None => return Ok(()),
            },
            () = node.world.next_look() => refresh(node).await?,
            () = node.world.gone.notified() => return Ok(()),
            _ = pass.tick() => {
                node.world.replace(node.engine.containers(&labelled).await?);
                node.publish_all().await;
                node.reconcile.notify_one();
            }
        }
    }
}

/// A container that something happened to is looked at soon and then again: engines announce an
/// end before their list shows it (seen with Docker 20.10: by up to some 100 ms).
fn note(node: &Node, container: &str) {
    let now = Instant::now();
    let looks = LOOKS.iter().map(|after| (now + *after, container.to_owned()));
    node.world.due.lock().unwrap_or_else(PoisonError::into_inner).extend(looks);
}

impl World {
    /// Ends when the next look is due; never while none is.
    async fn next_look(&self) {
        let next = {
            let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            due.iter().map(|(at, _)| *at).min()
        };
        match next {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    /// The containers that are to be looked at now.
    fn take_due(&self) -> Vec<String> {
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: BTreeSet<String> =
            due.extract_if(.., |(at, _)| *at <= now).map(|(_, id)| id).collect();
        taken.into_iter().collect()
    }
}

/// Looks at the containers that something happened to, and publishes what that means.
async fn refresh(node: &Arc<Node>) -> Result<(), dwell_drivers::docker::EngineError> {
    let asked = node.world.take_due();
    if asked.is_empty() {
        return Ok(());
    }
    let found = node.engine.containers_by_id(&asked).await?;
    if found.iter().any(|container| container.workspace.is_some()) {
        // It may be wanted running, or have sessions to restore.
        node.reconcile.notify_one();
    }
    for id in node.world.take_over(&asked, found) {
        node.publish(&id).await;
    }
    Ok(())
}

/// Running addresses by service, for the names.
pub(crate) fn addresses(
    containers: &[Container],
) -> BTreeMap<dwell_core::ServiceName, Vec<std::net::Ipv4Addr>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for container in containers.iter().filter(|c| c.runs()) {
        if let Some(service) = &container.service {
            let own = container.addresses.iter().filter(|(network, _)| {
                // A relay's way to the far end is nobody else's address.
                container.environment.as_ref().is_none_or(|id| network.contains(id.as_str()))
            });
            found.entry(service.clone()).or_default().extend(own.map(|(_, address)| *address));
        }
    }
    found
}
