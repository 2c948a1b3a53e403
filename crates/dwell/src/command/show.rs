//! `ls`, `status`, `wait` and `path`.

use dwell_api::endpoint;
use dwell_api::environment::{Environment, ListEnvironments, WaitFor, WaitQuery};
use serde_json::json;

use super::environment::of;
use super::{Context, now};
use crate::arguments::environment::{Ls, Status, Wait, WaitState};
use crate::arguments::work::Path;
use crate::failure::Ended;
use crate::output::show;
use crate::target;

/// Lists environments.
pub(crate) async fn ls(it: Ls, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.filter(|_| !it.all);
    let query = ListEnvironments { project, name: None, path: None };
    let all = target::list(&mut client, &query).await?;
    if context.output.is_quiet() {
        let names: String = all.iter().map(|e| format!("{}\n", e.name)).collect();
        context.output.text(&names)?;
    } else {
        context.output.result(&all, |all, style| show::environments(all, now(), style))?;
    }
    Ok(0)
}

/// Shows one environment.
pub(crate) async fn status(it: Status, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.name.as_ref(), project).await?;
    if context.output.is_quiet() {
        context.output.text(environment.status.as_str())?;
    } else {
        let text = |e: &Environment, style| show::environment(e, now(), style);
        context.output.result(&environment, text)?;
    }
    Ok(0)
}

/// Waits until an environment is in a state.
pub(crate) async fn wait(it: Wait, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.name.as_ref(), project).await?;
    let wanted = match it.state {
        WaitState::Running => WaitFor::Running,
        WaitState::Ready => WaitFor::Ready,
        WaitState::Stopped => WaitFor::Stopped,
        WaitState::Idle => WaitFor::Idle,
    };
    let query = WaitQuery { project: None, wanted, timeout: it.timeout.0 };
    let path = endpoint::query(&of(endpoint::WAIT, &environment), &query);
    let environment: Environment = client.get(&path).await?;
    if !context.output.is_quiet() {
        context.output.result(&environment, |e, style| {
            format!("{} is {}", target::label(e), style.state(e.status.as_str()))
        })?;
    }
    Ok(0)
}

/// Prints where an environment's source tree is.
pub(crate) async fn path(it: Path, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let value = json!({ "directory": environment.directory, "tree": environment.tree });
    context.output.result(&value, |_, _| environment.directory.display().to_string())?;
    Ok(0)
}
