//! What workspaces take on the disk: measured in the background, one at a time and at the lowest
//! priority, only while they run anyway and are not about to sleep. Whoever asks gets the last
//! figure, so that asking costs nothing and wakes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dwell_core::WorkspaceId;
use dwell_core::observed::State;
use dwell_core::workspace::{HOME, Measured, Size, Workspace};
use dwell_drivers::docker::{EngineError, ExecSpec};
use futures_util::StreamExt;

use super::{seen, state};
use crate::facts::write;
use crate::idle;
use crate::node::Node;

/// The last figure, beside the workspace's other files.
const FILE: &str = "size.json";
/// How often it is looked what is to be measured.
const LOOK: Duration = Duration::from_secs(15);
/// How long one runs before it is measured, in microseconds: its start is not to be slowed down.
const SETTLED: i64 = 10_000_000;
/// How long measuring a home may take, in seconds.
const LIMIT: u64 = 60;

/// What was measured.
#[derive(Default)]
pub(super) struct Sizes(Mutex<HashMap<WorkspaceId, Known>>);

#[derive(Clone, Copy)]
struct Known {
    size: Option<Size>,
    measured: Option<Measured>,
}

impl Sizes {
    fn with<T>(&self, node: &Node, it: &Workspace, of: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of(all.entry(it.id.clone()).or_insert_with(|| Known::load(node, it)))
    }
}

impl Known {
    fn load(node: &Node, it: &Workspace) -> Self {
        let text = std::fs::read(node.paths.workspace(&it.id).join(FILE)).ok();
        let size: Option<Size> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let generation = it.generation;
        let measured = size.map(|size| Measured { generation, at: size.measured, took: 0 });
        Self { size, measured }
    }
}

/// What a workspace took when it was measured last.
pub(super) fn last(node: &Node, it: &Workspace) -> Option<Size> {
    node.workspaces.sizes.with(node, it, |known| known.size)
}

/// Forgets a workspace that is gone.
pub(super) fn forget(node: &Node, id: &WorkspaceId) {
    node.workspaces.sizes.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
}

/// Measures for ever what is due.
pub(crate) async fn measure(node: Arc<Node>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(all) = node.store.workspaces().await else { continue };
        for it in all {
            if is_due(&node, &it) {
                one(&node, &it).await;
            }
        }
    }
}

fn is_due(node: &Node, it: &Workspace) -> bool {
    let runs = !it.making && it.kept.is_none() && seen(node, it) == Some(State::Running);
    let now = node.now();
    runs && node.workspaces.sizes.with(node, it, |known| {
        known.measured.is_none_or(|measured| measured.is_old(it.generation, now))
    }) && idle::ran_for(node, &it.id) >= SETTLED
        && idle::is_left_alone(node, it, Duration::from_secs(2 * LIMIT))
}

async fn one(node: &Node, it: &Workspace) {
    let began = node.now();
    let size = look(node, it).await;
    // What that used is none of its own doing.
    idle::disturbed(node, &it.id);
    let measured = node.now();
    let known = node.workspaces.sizes.with(node, it, |known| {
        let took = measured - began;
        known.measured = Some(Measured { generation: it.generation, at: measured, took });
        match size {
            Ok((home, changed)) => known.size = Some(Size { home, changed, measured }),
            Err(why) => tracing::debug!(workspace = %it.name, why, "it was not measured"),
        }
        known.size
    });
    let directory = node.paths.workspace(&it.id);
    if let Some(size) = known.filter(|_| directory.is_dir()) {
        let text = serde_json::to_vec(&size).unwrap_or_default();
        if let Err(problem) = write(&directory.join(FILE), &text) {
            tracing::warn!(%problem, workspace = %it.name, "its size was not written");
        }
    }
}

/// What the home and the container's own layer take, in bytes.
async fn look(node: &Node, it: &Workspace) -> Result<(u64, u64), String> {
    let within = Duration::from_secs(LIMIT + 5);
    let said = tokio::time::timeout(within, home(node, it)).await.map_err(|e| e.to_string())??;
    let kibibytes = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    let home = said.lines().rev().find_map(kibibytes).ok_or(said)?;
    let changed = node.engine.changed_bytes(&it.container()).await.map_err(|e| e.to_string())?;
    Ok((home << 10, changed))
}

/// What is said about the home. The lock is held until the command runs: engines get stuck where one
/// is started in a container that is frozen in this moment.
async fn home(node: &Node, it: &Workspace) -> Result<String, String> {
    let lock = node.workspaces.lock(it.id.as_str()).try_lock_owned();
    let lock = lock.map_err(|_| "somebody acts on it".to_owned())?;
    if state(node, it).await.map_err(|problem| problem.message)? != Some(State::Running) {
        return Err("it does not run".to_owned());
    }
    let script =
        format!("echo; exec timeout -s KILL {LIMIT} ionice -c 3 nice -n 19 du -skx {HOME} 2>&1");
    let command = ["sh", "-c", &script].map(str::to_owned).into();
    let spec = ExecSpec { command, user: Some("0".to_owned()), ..ExecSpec::default() };
    let failed = |error: EngineError| error.to_string();
    let mut run = node.engine.exec(&it.container(), spec).await.map_err(failed)?;
    let mut lock = Some(lock);
    let mut said = String::new();
    while let Some(piece) = run.output.next().await {
        said.push_str(&String::from_utf8_lossy(&piece.map_err(failed)?.bytes));
        drop(lock.take());
    }
    Ok(said)
}
