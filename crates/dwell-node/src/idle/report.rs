//! Why a workspace is awake, and changing how long it stays so.

use std::sync::Arc;

use dwell_api::Problem;
use dwell_api::idle::{HeldBy, Idle, Keep, Next, SetIdle};
use dwell_core::idle::{Held, Settings, Source};
use dwell_core::workspace::Workspace;

use super::{keep_ledger, policy};
use crate::node::Node;
use crate::workspace;

/// Why it is awake and when it is put to sleep, as far as that is known without waking or asking it.
pub(crate) async fn report(node: &Node, it: &Workspace) -> Result<Idle, Problem> {
    let (policy, now) = (policy(node, it), node.now());
    let shown = workspace::see(node, it).await?;
    let (explained, blind) = node.track(&it.id, |track| {
        track.ledger.tick(now);
        (track.ledger.explain(&policy), track.blind.clone())
    });
    let held = |held: Held| HeldBy {
        kind: held.kind.to_owned(),
        words: held.words,
        since: now - held.since,
        last: now - held.last,
        until: now.saturating_add(held.holds),
    };
    let words = match &blind {
        Some(why) => {
            format!("it is not put to sleep while it cannot be looked at from inside: {why}")
        }
        None => explained.words,
    };
    Ok(Idle {
        workspace: it.name.clone(),
        status: shown.status,
        slept: it.slept,
        policy,
        settings: it.idle,
        held: explained.held.into_iter().map(held).collect(),
        next: explained.next.map(|(tier, left)| Next { tier, at: now.saturating_add(left) }),
        words,
        blind,
    })
}

/// Changes how long it may be idle.
pub(crate) async fn set(node: &Node, name: &str, change: SetIdle) -> Result<Idle, Problem> {
    let found = workspace::find(node, name).await?;
    let lock = node.workspaces.lock(found.id.as_str());
    let _held = lock.lock().await;
    let mut it = workspace::find(node, found.id.as_str()).await?;
    let before = if change.reset { Settings::default() } else { it.idle };
    it.idle = change.settings.over(before);
    workspace::save(node, &it).await?;
    node.workspaces.idle.changed.notify_one();
    report(node, &it).await
}

/// Keeps it awake for a time, or takes that back.
/// One that dwell put to sleep is woken for it.
pub(crate) async fn keep(node: &Arc<Node>, name: &str, request: Keep) -> Result<Idle, Problem> {
    let mut it = workspace::find(node, name).await?;
    if it.slept && request.time.is_some() {
        it = workspace::awake(node, it, Source::Request).await?;
    }
    let now = node.now();
    node.track(&it.id, |track| {
        track.ledger.tick(now);
        match request.time {
            Some(time) => track.ledger.keep(time, request.reason),
            None => drop(track.ledger.release()),
        }
    });
    keep_ledger(node, &it.id);
    node.workspaces.idle.changed.notify_one();
    report(node, &it).await
}
