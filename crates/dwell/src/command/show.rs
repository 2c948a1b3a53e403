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
use crate::{project, target};

/// Lists environments.
pub(crate) async fn ls(it: Ls, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.filter(|_| !it.all);
    let query = ListEnvironments { project, name: None, path: None };
    let all = target::list(&mut client, &query).await?;
    if context.output.is_quiet() {
        let here = project::here()?;
        let in_project = target::in_project(&mut client, &here).await?;
        let clear = |e: &Environment| !in_project || target::is_around(e, &here);
        context.output.text(&handles(&all, clear))?;
    } else {
        context.output.result(&all, |all, style| show::environments(all, now(), style))?;
    }
    Ok(0)
}

/// A word per line that means each environment: its name where that is the only one and clear
/// from here, else its id.
fn handles(all: &[Environment], clear: impl Fn(&Environment) -> bool) -> String {
    let unique = |e: &Environment| all.iter().filter(|other| other.name == e.name).count() == 1;
    let handle = |e: &Environment| {
        if unique(e) && clear(e) { e.name.to_string() } else { e.id.to_string() }
    };
    all.iter().map(|e| handle(e) + "\n").collect()
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
    let idle = wanted == WaitFor::Idle;
    let query = WaitQuery { project: None, wanted, timeout: it.timeout.0 };
    let path = endpoint::query(&of(endpoint::WAIT, &environment), &query);
    let environment: Environment = client.get(&path).await?;
    if !context.output.is_quiet() {
        context.output.result(&environment, |e, style| {
            let state = if idle { "idle" } else { e.status.as_str() };
            format!("{} is {}", target::label(e), style.state(state))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::environment;

    #[test]
    fn an_environment_goes_by_its_name_only_where_that_is_enough() {
        let all = [environment("a1", "shop"), environment("a1", "blog"), environment("a2", "blog")];
        let id = all[0].id.to_string();
        assert_eq!(handles(&all, |_| true), format!("{id}\n{id}\na2\n"));
        assert_eq!(handles(&all[2..], |_| false), format!("{id}\n"));
    }
}
