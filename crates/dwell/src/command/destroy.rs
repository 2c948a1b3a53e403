//! `destroy`: names what would be lost, asks, and removes.

use std::path::Path;

use dwell_api::environment::{Destroy as Body, Environment, ListEnvironments, Losses};
use dwell_api::{Client, Code, Problem, endpoint};
use dwell_core::ProjectName;
use serde_json::json;

use super::environment::of;
use super::operation::{finished, operate};
use super::{Context, unless_missing};
use crate::arguments::environment::Destroy;
use crate::failure::{Ended, Failure};
use crate::output::show;
use crate::{project, target};

/// Removes environments.
pub(crate) async fn run(it: Destroy, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let doomed = doomed(&mut client, &it).await?;
    let asked = !it.yes && !it.force;
    let mut plan = Vec::with_capacity(doomed.len());
    for environment in doomed {
        let losses = if asked || it.dry_run {
            client.get(&of(endpoint::LOSSES, &environment)).await?
        } else {
            Losses::default()
        };
        plan.push((environment, losses));
    }
    if it.dry_run {
        return dry_run(&plan, context);
    }
    if plan.is_empty() {
        context.output.note("nothing to destroy");
        return Ok(0);
    }
    if asked && !ask(&plan, it.keep_workspace, context)? {
        return Err(Problem::new(Code::Cancelled, "nothing was destroyed").into());
    }
    for (environment, _) in &plan {
        // Whoever was asked has seen what would be lost.
        let force = it.force || asked;
        let body = Body { keep_workspace: it.keep_workspace, force, moved: false };
        let path = of(endpoint::DESTROY, environment);
        let gone = operate(context, &mut client, &path, &body, None).await;
        if let Some(result) = unless_missing(gone, it.ignore_not_found)? {
            finished(context, &result, &format!("{} is gone", target::label(environment)))?;
        }
    }
    Ok(0)
}

/// The environments that were named, each found before any is touched.
async fn doomed(client: &mut Client, it: &Destroy) -> Result<Vec<Environment>, Failure> {
    let project = it.project.project.as_ref();
    if it.all {
        return all(client, project, &project::here()?).await;
    }
    let mut doomed = Vec::new();
    for name in &it.names {
        let found = target::resolve(client, Some(name), project).await;
        doomed.extend(unless_missing(found, it.ignore_not_found)?);
    }
    Ok(doomed)
}

/// All environments of the project named, else of the one that we are in, else of the node.
async fn all(
    client: &mut Client,
    project: Option<&ProjectName>,
    here: &Path,
) -> Result<Vec<Environment>, Failure> {
    let mut query = ListEnvironments { project: project.cloned(), name: None, path: None };
    if project.is_none() {
        let around = ListEnvironments { path: Some(here.to_owned()), ..query.clone() };
        let around = target::list(client, &around).await?;
        if around.is_empty() && project::around(here).is_some() {
            return Ok(around);
        }
        query.project = around.first().map(|environment| environment.project.clone());
    }
    target::list(client, &query).await
}

fn ask(plan: &[(Environment, Losses)], keep: bool, context: &Context) -> Result<bool, Failure> {
    for (environment, losses) in plan {
        context.output.note(&target::label(environment));
        for line in show::losses(losses) {
            context.output.note(&format!("  {line}"));
        }
    }
    let what = match plan {
        [(environment, _)] => format!("environment {}", environment.name),
        more => format!("these {} environments", more.len()),
    };
    let kept = if keep { ", keeping the source tree" } else { " and everything of it" };
    context.output.confirm(&format!("Destroy {what}{kept}?"), "--yes, or --force to lose work")
}

fn dry_run(plan: &[(Environment, Losses)], context: &Context) -> Ended {
    let all: Vec<_> = plan
        .iter()
        .map(|(e, losses)| json!({ "name": e.name, "project": e.project, "losses": losses }))
        .collect();
    context.output.result(&all, |_, style| {
        let mut text = String::new();
        for (environment, losses) in plan {
            text += &format!("would destroy {}\n", style.bold(&target::label(environment)));
            for line in show::losses(losses) {
                text += &format!("  {line}\n");
            }
        }
        if text.is_empty() { "nothing to destroy\n".to_owned() } else { text }
    })?;
    Ok(0)
}
