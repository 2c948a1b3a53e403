//! Which node an environment has its home on, or is to have.

use dwell_api::environment::{AgentPlace, Flags, Up};
use dwell_api::{Code, Problem};
use dwell_core::{EnvironmentId, NodeName, ProjectName};

use super::{is_project, meant, own_project};
use crate::node::Node;

/// The other node that an environment has its home on, or is to have, and its identity there.
pub(super) async fn elsewhere(
    node: &Node,
    name: &str,
    project: Option<&ProjectName>,
    up: &Up,
) -> Result<Option<(NodeName, Option<EnvironmentId>)>, Problem> {
    let here = match &up.create {
        Some(create) => meant(node, name, project, create).await?,
        None => match node.find(name, project).await {
            Err(problem) if problem.code == Code::NotFound => None,
            found => Some(found?),
        },
    };
    if here.is_some() {
        return Ok(None);
    }
    let of = match (&up.create, project) {
        (_, Some(project)) => Some(project.clone()),
        (Some(create), None) if is_project(create) => Some(own_project(create).await?),
        _ => None,
    };
    let wanted = wanted_home(&up.placement);
    if let Some((there, id)) = node.remotes.find(name, of.as_ref()) {
        if let Some(other) = wanted.filter(|wanted| **wanted != there) {
            let message = format!("environment `{name}` has its home on node `{there}`");
            return Err(Problem::new(Code::Conflict, message)
                .hint(format!("destroy it there first to have it on `{other}`")));
        }
        return Ok(Some((there, Some(id))));
    }
    Ok(wanted.filter(|_| up.create.is_some()).map(|there| (there.clone(), None)))
}

/// The node that flags alone make the home: everything is to run there, with the agent.
fn wanted_home(flags: &Flags) -> Option<&NodeName> {
    let whole = flags.remote_services.is_empty()
        && flags.local_services.is_empty()
        && flags.agent != Some(AgentPlace::Local);
    let there = flags.remote.as_ref().filter(|node| whole && !node.is_local())?;
    flags.place.iter().all(|own| own.node == *there).then_some(there)
}
