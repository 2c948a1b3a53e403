//! Putting workspaces to sleep that nobody uses. Here it is gathered what was seen of their use;
//! `dwell_core::idle` decides, and what is due is done as if somebody had asked for it.

mod act;
mod look;
mod report;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dwell_core::WorkspaceId;
use dwell_core::idle::{Ledger, Phase, Policy, Signs, Source, Verdict};
use dwell_core::workspace::Workspace;
use tokio::sync::Notify;

use crate::facts::write;
use crate::node::Node;

pub(crate) use report::{keep, report, set};
pub(crate) use watch::{Busy, Meter, Metered};

/// The ledger, beside the workspace's other files.
const FILE: &str = "idle.json";
/// How long at most goes by between two looks, in microseconds.
const PASS: i64 = 30_000_000;
/// How long at least.
const LEAST: i64 = 200_000;

/// What is known of every workspace's use.
#[derive(Default)]
pub(crate) struct Idle {
    tracks: Mutex<HashMap<WorkspaceId, Track>>,
    /// Told when something may be due earlier than it was.
    changed: Notify,
}

/// What is known of one.
struct Track {
    ledger: Ledger,
    /// Commands that programs started in it and that run.
    tasks: usize,
    /// Terminals that are attached to it.
    attached: usize,
    /// What it showed from inside when it was asked last, and when, in watched time.
    asked: Option<(Signs, i64)>,
    /// Why it did not show anything.
    blind: Option<String>,
    /// When the ledger was written last, in watched time.
    written: i64,
}

impl Track {
    fn load(node: &Node, id: &WorkspaceId) -> Self {
        let text = std::fs::read(node.paths.workspace(id).join(FILE)).ok();
        let found = text.and_then(|text| serde_json::from_slice::<Ledger>(&text).ok());
        let mut ledger = found.unwrap_or_else(|| Ledger::new(node.now()));
        // Nobody looked while no daemon ran.
        ledger.skip(node.now());
        let written = ledger.clock();
        Self { ledger, tasks: 0, attached: 0, asked: None, blind: None, written }
    }

    /// Takes over what is known without asking the workspace.
    fn observe(&mut self, phase: Phase) {
        if phase != Phase::Running {
            self.asked = None;
            self.blind = None;
        }
        self.ledger.enter(phase);
        if phase == Phase::Running {
            if self.tasks > 0 {
                self.ledger.sign(Source::Task);
            }
            self.ledger.see(Source::Attached, self.attached > 0);
        }
    }
}

impl Node {
    fn track<T>(&self, id: &WorkspaceId, with: impl FnOnce(&mut Track) -> T) -> T {
        let idle = &self.workspaces.idle;
        let mut tracks = idle.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        with(tracks.entry(id.clone()).or_insert_with(|| Track::load(self, id)))
    }
}

/// Notes that a workspace is used.
pub(crate) fn note(node: &Node, id: &WorkspaceId, source: Source) {
    let now = node.now();
    node.track(id, |track| {
        track.ledger.tick(now);
        track.ledger.sign(source);
    });
}

/// Notes what a workspace does from now on.
pub(crate) fn entered(node: &Node, id: &WorkspaceId, phase: Phase) {
    let now = node.now();
    node.track(id, |track| {
        track.ledger.tick(now);
        track.observe(phase);
    });
    node.workspaces.idle.changed.notify_one();
}

/// How long it has run, in microseconds, as far as that was seen.
pub(crate) fn ran_for(node: &Node, id: &WorkspaceId) -> i64 {
    let now = node.now();
    node.track(id, |track| {
        track.ledger.tick(now);
        track.ledger.in_phase()
    })
}

/// Whether nothing is due, and nothing is asked of it, for a time.
pub(crate) fn is_left_alone(node: &Node, it: &Workspace, time: std::time::Duration) -> bool {
    let (policy, now) = (policy(node, it), node.now());
    let time = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    node.track(&it.id, |track| {
        track.ledger.tick(now);
        let asked = track.asked.as_ref().map(|(_, at)| *at);
        let next = track.ledger.ask_at(&policy, asked);
        next.is_none_or(|next| next > track.ledger.clock().saturating_add(time))
    })
}

/// Notes that dwell itself had something run in it, which says nothing of its use.
pub(crate) fn disturbed(node: &Node, id: &WorkspaceId) {
    node.track(id, |track| track.asked = None);
}

/// Forgets a workspace that is gone.
pub(crate) fn forget(node: &Node, id: &WorkspaceId) {
    let mut tracks = node.workspaces.idle.tracks.lock().unwrap_or_else(PoisonError::into_inner);
    tracks.remove(id);
}

/// The policy of a workspace.
fn policy(node: &Node, it: &Workspace) -> Policy {
    it.idle.on(node.config.idle)
}

/// Writes what is known, so that it outlives the daemon.
fn keep_ledger(node: &Node, id: &WorkspaceId) {
    let ledger = node.track(id, |track| {
        track.written = track.ledger.clock();
        track.ledger.clone()
    });
    let directory = node.paths.workspace(id);
    if !directory.is_dir() {
        return;
    }
    let text = serde_json::to_vec(&ledger).unwrap_or_default();
    if let Err(problem) = write(&directory.join(FILE), &text) {
        tracing::warn!(%problem, workspace = %id, "what is known of its use was not written");
    }
}

/// Looks at all workspaces for ever, and puts to sleep what is due.
pub(crate) async fn run(node: Arc<Node>) {
    let mut wait = LEAST;
    loop {
        let pause = std::time::Duration::from_micros(u64::try_from(wait).unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = node.workspaces.idle.changed.notified() => {}
        }
        wait = pass(&node).await;
    }
}

/// Looks once; gives how long the next look can wait, in microseconds.
async fn pass(node: &Arc<Node>) -> i64 {
    let all = match node.store.workspaces().await {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "nobody is put to sleep: the state cannot be read");
            return PASS;
        }
    };
    let knows = node.world.engine() == crate::world::EngineState::Up;
    let mut wait = PASS;
    for it in all {
        if it.making || it.kept.is_some() {
            continue;
        }
        if !knows {
            let now = node.now();
            node.track(&it.id, |track| track.ledger.skip(now));
            continue;
        }
        wait = wait.min(one(node, &it).await);
    }
    wait.max(LEAST)
}

/// Looks at one; gives how long the next look can wait, in microseconds.
async fn one(node: &Arc<Node>, it: &Workspace) -> i64 {
    let policy = policy(node, it);
    let seen = crate::workspace::seen(node, it);
    let now = node.now();
    let asks = node.track(&it.id, |track| {
        track.ledger.tick(now);
        track.observe(it.phase(seen));
        let asked = track.asked.as_ref().map(|(_, at)| *at);
        track.ledger.ask_at(&policy, asked).is_some_and(|at| at <= track.ledger.clock())
    });
    if asks {
        look::agents(node, it).await;
        look::inside(node, it).await;
    }
    let due = node.track(&it.id, |track| match track.ledger.decide(&policy) {
        Verdict::Due { tier, because } if track.blind.is_none() => Some((tier, because)),
        _ => None,
    });
    let failed = match due {
        Some((tier, because)) => act::sleep(node, &it.id, tier, because).await.is_err(),
        None => false,
    };
    if node.track(&it.id, |track| track.ledger.clock() - track.written >= PASS) {
        keep_ledger(node, &it.id);
    }
    if failed {
        return PASS;
    }
    node.track(&it.id, |track| {
        let asked = track.asked.as_ref().map(|(_, at)| *at);
        let until = match track.ledger.decide(&policy) {
            Verdict::Awake { until, .. } => until - track.ledger.clock(),
            Verdict::Never | Verdict::Due { .. } => PASS,
        };
        let ask = track.ledger.ask_at(&policy, asked).map(|at| at - track.ledger.clock());
        until.min(ask.unwrap_or(PASS)).min(PASS)
    })
}
