//! The warm pool: containers that were made and started before anybody asked for a workspace, and
//! stand still until one is. `dwell_core::workspace::pool_plan` decides; here it is looked, made and
//! removed, one at a time, while nobody else wants anything of this machine.

mod adopt;
mod fill;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dwell_api::pool::{Pool as Shown, PoolImage};
use dwell_api::{Code, Problem};
use dwell_core::WorkspaceId;
use dwell_core::admission::{Demand, Severity, concerns};
use dwell_core::observed::State;
use dwell_core::workspace::{
    ImageRef, PoolConfig, PoolPlan, PoolSeen, Pooled, Waits, pool_choice, pool_plan,
};
use dwell_drivers::cgroup::ControlGroup;
use tokio::sync::Notify;

use super::{given, seen, state};
use crate::machine;
use crate::node::Node;
use crate::problem::OrProblem;
use crate::start::config;
use crate::world::EngineState;

pub(super) use adopt::adopt;
pub(super) use fill::recall;

/// How often it is looked although nothing asked for it.
const PASS: Duration = Duration::from_secs(30);
/// How long nothing was wanted of this node before one is made.
const QUIET: Duration = Duration::from_secs(1);
/// How often that is looked at, and how long it is waited for.
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause after one could not be made, and the longest.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// What waits, as the store has it, and how it comes along.
#[derive(Default)]
pub(crate) struct Pool {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// Whether the store was read.
    is_read: bool,
    wanted: PoolConfig,
    all: Vec<Pooled>,
    /// Of what image one is being made.
    filling: Option<ImageRef>,
    /// Images that are not here.
    missing: BTreeSet<ImageRef>,
    /// Images of which none could be made, until when, and why.
    failed: BTreeMap<ImageRef, Failure>,
    /// Why none is made at all.
    trouble: Option<String>,
}

struct Failure {
    until: Instant,
    pause: Duration,
    why: String,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one out, for whoever gets it. It is nobody else's from then on.
    fn take(&self, image: &ImageRef, maker: &str) -> Option<Pooled> {
        let mut inner = self.lock();
        let id = pool_choice(&inner.all, image, maker)?.workspace.id.clone();
        inner.take(&id)
    }

    fn put(&self, pooled: Pooled) {
        let mut inner = self.lock();
        inner.take(&pooled.workspace.id);
        inner.all.push(pooled);
    }

    /// Has it looked at soon.
    pub(crate) fn look(&self) {
        self.changed.notify_one();
    }
}

impl Inner {
    fn take(&mut self, id: &WorkspaceId) -> Option<Pooled> {
        let place = self.all.iter().position(|it| it.workspace.id == *id)?;
        Some(self.all.swap_remove(place))
    }

    fn fail(&mut self, image: &ImageRef, why: String) {
        let pause = self.failed.get(image).map_or(PAUSE, |failure| failure.pause * 2);
        let pause = pause.min(PAUSE_MAX);
        let failure = Failure { until: Instant::now() + pause, pause, why };
        self.failed.insert(image.clone(), failure);
    }

    fn plan(&self, seen: &PoolSeen) -> PoolPlan {
        pool_plan(&self.wanted, &self.all, seen)
    }

    /// The image of which one is to be made now.
    fn next(&self, seen: &PoolSeen) -> Option<ImageRef> {
        let is_due = |image: &ImageRef| {
            self.failed.get(image).is_none_or(|failure| failure.until <= Instant::now())
        };
        self.plan(seen).fill.into_iter().find(is_due)
    }
}

/// Keeps the pool as it is wanted, for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let pool = &node.workspaces.pool;
    loop {
        let passed = pass(&node).await;
        pool.lock().trouble = passed.err().map(|problem| problem.to_string());
        tokio::select! {
            () = pool.changed.notified() => {}
            () = tokio::time::sleep(wait(pool)) => {}
        }
    }
}

/// Until something that failed is due again, or the next look.
fn wait(pool: &Pool) -> Duration {
    let (inner, now) = (pool.lock(), Instant::now());
    let due = inner.failed.values().map(|failure| failure.until).filter(|at| *at > now);
    due.min().map_or(PASS, |at| (at - now).clamp(LOOK, PASS))
}

/// Removes what does not fit and makes what lacks, one after the other.
async fn pass(node: &Node) -> Result<(), Problem> {
    read(node).await?;
    configure(node)?;
    loop {
        if node.world.engine() != EngineState::Up || is_off(node) {
            return Ok(());
        }
        let seen = look(node).await?;
        let plan = node.workspaces.pool.lock().plan(&seen);
        for (id, why) in plan.remove {
            fill::remove(node, &id, why).await?;
        }
        if plan.fill.is_empty() {
            return Ok(());
        }
        quiet(node).await;
        room(node)?;
        configure(node)?;
        // Meanwhile there may be fewer, or others wanted.
        let next = node.workspaces.pool.lock().next(&seen);
        let Some(image) = next else { return Ok(()) };
        fill::fill(node, image).await;
    }
}

/// Whether nothing is wanted and nothing is there.
fn is_off(node: &Node) -> bool {
    let inner = node.workspaces.pool.lock();
    inner.all.is_empty() && inner.wanted.images().all(|(_, count)| count == 0)
}

/// Reads once what an earlier life of the daemon left.
async fn read(node: &Node) -> Result<(), Problem> {
    let pool = &node.workspaces.pool;
    if pool.lock().is_read {
        return Ok(());
    }
    let all = node.store.pooled().await.or_problem()?;
    let mut inner = pool.lock();
    inner.all = all;
    inner.is_read = true;
    Ok(())
}

/// Reads what is wanted; what cannot be read keeps what was.
fn configure(node: &Node) -> Result<(), Problem> {
    let wanted = config(&node.paths)?.pool;
    let mut inner = node.workspaces.pool.lock();
    if inner.wanted != wanted {
        inner.failed.clear();
        inner.wanted = wanted;
    }
    Ok(())
}

/// What the plan has to know. Nobody is asked where it is known already.
async fn look(node: &Node) -> Result<PoolSeen, Problem> {
    let pool = &node.workspaces.pool;
    let (all, mut images): (Vec<Pooled>, Vec<ImageRef>) = {
        let inner = pool.lock();
        (inner.all.clone(), inner.wanted.images().map(|(image, _)| image.clone()).collect())
    };
    images.extend(all.iter().map(|it| it.workspace.image.clone()));
    let mut found = PoolSeen { maker: given::maker(node)?, ..PoolSeen::default() };
    for image in images {
        if let Ok(id) = node.engine.image_id(image.as_str()).await {
            found.images.insert(image, id);
        }
    }
    let missing = found.images.iter().filter(|(_, id)| id.is_none());
    pool.lock().missing = missing.map(|(image, _)| image.clone()).collect();
    for it in all.into_iter().map(|it| it.workspace) {
        let stands = |state: Option<State>| matches!(state, Some(State::Running | State::Paused));
        let waits = match stands(seen(node, &it)) {
            true => Waits::Yes,
            false => match state(node, &it).await {
                Ok(state) if stands(state) => Waits::Yes,
                Ok(_) => Waits::No,
                Err(_) => Waits::Unknown,
            },
        };
        found.waits.insert(it.id, waits);
    }
    Ok(found)
}

/// Waits until nothing is wanted of this node, for a while.
async fn quiet(node: &Node) {
    let begun = Instant::now();
    let mut busy = begun;
    while busy.elapsed() < QUIET && begun.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        if node.operations.is_busy() {
            busy = Instant::now();
        }
    }
}

/// Refuses where the machine is short of something.
fn room(node: &Node) -> Result<(), Problem> {
    let capacity = machine::glance(node)?;
    let short = concerns(&capacity, &Demand::default()).into_iter();
    let mut short = short.filter(|concern| concern.severity == Severity::Short);
    match short.next() {
        Some(concern) => Err(Problem::new(Code::NoRoom, format!("it is short of {concern}"))),
        None => Ok(()),
    }
}

/// The pool as people see it. What is wanted is read anew for it.
pub(crate) async fn pool(node: &Node) -> Result<Shown, Problem> {
    read(node).await?;
    let misread = configure(node).err().map(|problem| problem.to_string());
    let pool = &node.workspaces.pool;
    pool.look();
    let (wanted, all) = {
        let inner = pool.lock();
        (inner.wanted.clone(), inner.all.clone())
    };
    let mut images: BTreeMap<ImageRef, PoolImage> = BTreeMap::new();
    for (image, wanted) in wanted.images() {
        images.insert(image.clone(), PoolImage::new(image.clone(), wanted));
    }
    for it in all {
        let image = it.workspace.image.clone();
        let shown = images.entry(image.clone()).or_insert_with(|| PoolImage::new(image, 0));
        if it.ready {
            shown.ready += 1;
            shown.memory = shown.memory.saturating_add(memory(node, &it).await.unwrap_or_default());
        }
    }
    let inner = pool.lock();
    for (image, shown) in &mut images {
        shown.filling = inner.filling.as_ref() == Some(image);
        let missing = inner.missing.contains(image).then(|| "there is no such image".to_owned());
        let failed = || inner.failed.get(image).map(|failure| failure.why.clone());
        let problem = missing.or_else(failed);
        shown.problem = problem.filter(|_| shown.ready < shown.wanted && !shown.filling);
    }
    let engine = match node.world.engine() {
        EngineState::Down(why) => Some(why),
        _ => None,
    };
    let trouble = misread.or(engine).or_else(|| inner.trouble.clone());
    Ok(Shown { images: images.into_values().collect(), trouble })
}

/// The memory that one takes, where the system tells.
async fn memory(node: &Node, it: &Pooled) -> Option<u64> {
    let running = node.engine.running(&it.workspace.container()).await.ok()??;
    ControlGroup::of(&running.id, running.pid)?.memory()
}
