//! `workspace snapshot`, `fork`, `setup` and `upgrade`.

use dwell_api::snapshot::{
    ChangeSetup, CreateSnapshot, ForkWorkspace, Snapshot as Shown, Upgrade as Wanted, UpgradePlan,
};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::workspace::SetupStep;
use serde_json::json;

use super::{act, now, of};
use crate::arguments::snapshot::{
    Fork, Setup, SetupAction, Snapshot, SnapshotAction as Action, Upgrade,
};
use crate::command::Context;
use crate::failure::Ended;
use crate::output::snapshot as show;

/// Acts on snapshots.
pub(super) async fn run(it: Snapshot, context: &Context) -> Ended {
    match it.action {
        Action::Create { it, snapshot: name } => {
            let path = of(endpoint::SNAPSHOTS, &it.name);
            act(&path, &CreateSnapshot { name }, context).await
        }
        Action::Ls(it) => {
            let path = of(endpoint::SNAPSHOTS, &it.name);
            let all: Vec<Shown> = context.connect().await?.get(&path).await?;
            context.output.result(&all, |all, style| show::list(all, now(), style))?;
            Ok(0)
        }
        Action::Restore { it, snapshot: name, yes } => {
            let question =
                format!("Have {} be what it was at {name}, losing what it is now?", it.name);
            if !yes && !context.output.confirm(&question, "--yes")? {
                return Err(Problem::new(Code::Cancelled, "nothing was restored").into());
            }
            let names = [it.name.as_str(), name.as_str()];
            act(&endpoint::fill(endpoint::SNAPSHOT_RESTORE, &names), &json!({}), context).await
        }
        Action::Rm { it, snapshot: name } => {
            let names = [it.name.as_str(), name.as_str()];
            act(&endpoint::fill(endpoint::SNAPSHOT_REMOVE, &names), &json!({}), context).await
        }
    }
}

/// Makes a copy.
pub(super) async fn fork(it: Fork, context: &Context) -> Ended {
    let body = ForkWorkspace { name: it.to, from: it.from, alone: it.alone };
    act(&of(endpoint::WORKSPACE_FORK, &it.it.name), &body, context).await
}

/// Acts on setup steps.
pub(super) async fn setup(it: Setup, context: &Context) -> Ended {
    match it.action {
        SetupAction::Add { it, no_run, user, words } => {
            let step = SetupStep { command: words, user };
            let body = ChangeSetup::Add { step, only_keep: no_run };
            act(&of(endpoint::WORKSPACE_SETUP, &it.name), &body, context).await
        }
        SetupAction::Ls(it) => {
            let path = of(endpoint::WORKSPACE_SETUP, &it.name);
            let all: Vec<SetupStep> = context.connect().await?.get(&path).await?;
            context.output.result(&all, |all, style| show::steps(all, style))?;
            Ok(0)
        }
        SetupAction::Rm { it, number } => {
            let body = ChangeSetup::Remove { number };
            act(&of(endpoint::WORKSPACE_SETUP, &it.name), &body, context).await
        }
    }
}

/// Shows the plan, asks, and upgrades.
pub(super) async fn upgrade(it: Upgrade, context: &Context) -> Ended {
    let path = of(endpoint::WORKSPACE_UPGRADE, &it.it.name);
    let wanted = Wanted { image: it.image };
    let plan: UpgradePlan = context.connect().await?.get(&endpoint::query(&path, &wanted)).await?;
    if it.dry_run {
        context.output.result(&plan, show::plan)?;
        return Ok(0);
    }
    if plan.changes && !it.yes {
        for line in show::lines(&plan) {
            context.output.note(&line);
        }
        if !context.output.confirm(&format!("Upgrade {}?", it.it.name), "--yes")? {
            return Err(Problem::new(Code::Cancelled, "nothing was upgraded").into());
        }
    }
    act(&path, &wanted, context).await
}
