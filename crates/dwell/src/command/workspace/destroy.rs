//! `workspace destroy`: names what would be lost, asks, and removes.

use dwell_api::workspace::{DestroyWorkspace, Workspace as Shown, WorkspaceLosses};
use dwell_api::{Code, Problem, endpoint};
use serde_json::json;

use super::{of, operation};
use crate::arguments::workspace::Destroy;
use crate::command::operation::finished;
use crate::command::{Context, unless_missing};
use crate::failure::{Ended, Failure};

/// Removes workspaces, each found before any is touched.
pub(super) async fn run(it: Destroy, context: &Context) -> Ended {
    let asked = !it.yes && !it.force;
    let mut plan = Vec::with_capacity(it.names.len());
    for name in &it.names {
        let mut client = context.connect().await?;
        let found = client.get::<Shown>(&of(endpoint::WORKSPACE, name)).await;
        let found = unless_missing(found.map_err(Failure::from), it.ignore_not_found)?;
        let Some(found) = found else { continue };
        let losses: WorkspaceLosses = if asked || it.dry_run {
            client.get(&of(endpoint::WORKSPACE_LOSSES, name)).await?
        } else {
            WorkspaceLosses::default()
        };
        plan.push((found, losses));
    }
    if it.dry_run {
        return dry_run(&plan, it.purge, context);
    }
    if plan.is_empty() {
        context.output.note("nothing to destroy");
        return Ok(0);
    }
    if asked && !ask(&plan, it.purge, context)? {
        return Err(Problem::new(Code::Cancelled, "nothing was destroyed").into());
    }
    for (found, _) in &plan {
        // Whoever was asked has seen what would be lost.
        let body = DestroyWorkspace { force: it.force || asked, purge: it.purge };
        let path = endpoint::fill(endpoint::WORKSPACE_DESTROY, &[found.id.as_str()]);
        let gone = operation(&path, &body, context).await;
        if let Some(result) = unless_missing(gone, it.ignore_not_found)? {
            finished(context, &result, &format!("{} is gone", found.name))?;
        }
    }
    Ok(0)
}

type Plan = [(Shown, WorkspaceLosses)];

fn ask(plan: &Plan, purge: bool, context: &Context) -> Result<bool, Failure> {
    for (found, losses) in plan {
        context.output.note(found.name.as_str());
        for line in losses.lines() {
            context.output.note(&format!("  {line}"));
        }
    }
    let what = match plan {
        [(found, _)] => format!("workspace {}", found.name),
        more => format!("these {} workspaces", more.len()),
    };
    context
        .output
        .confirm(&format!("Destroy {what}{}?", home(purge)), "--yes, or --force to lose work")
}

fn home(purge: bool) -> &'static str {
    if purge { " and the home, for good" } else { ", keeping the home for 7 days" }
}

fn dry_run(plan: &Plan, purge: bool, context: &Context) -> Ended {
    let all: Vec<_> =
        plan.iter().map(|(it, losses)| json!({ "name": it.name, "losses": losses })).collect();
    context.output.result(&all, |_, style| {
        let mut text = String::new();
        for (found, losses) in plan {
            let name = style.bold(found.name.as_str());
            text += &format!("would destroy {name}{}\n", home(purge));
            for line in losses.lines() {
                text += &format!("  {line}\n");
            }
        }
        if text.is_empty() { "nothing to destroy\n".to_owned() } else { text }
    })?;
    Ok(0)
}
