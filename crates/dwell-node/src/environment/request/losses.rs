//! What destroying an environment would lose.

use dwell_api::environment::Losses;
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;

use crate::node::Node;
use crate::problem::OrProblem;

/// Refuses to lose what nobody gave up.
pub(super) fn refuse_losses(
    environment: &Environment,
    losses: &Losses,
    keeps: bool,
) -> Result<(), Problem> {
    let mut details = Vec::new();
    if !keeps {
        details.extend(losses.uncommitted.iter().map(|path| format!("uncommitted: {path}")));
        details.extend(losses.submodules.iter().map(|path| format!("submodule with work: {path}")));
    }
    details.extend(losses.sessions.iter().map(|name| format!("running session: {name}")));
    if details.is_empty() {
        return Ok(());
    }
    let label = environment.label();
    Err(Problem::new(Code::UnsavedWork, format!("destroying `{label}` would lose work"))
        .hint("bring it back with `dwell merge`, keep the tree with `--keep-workspace`, or give it up with `--force`")
        .details(details))
}

/// What destroying an environment would lose.
pub(crate) async fn losses(node: &Node, environment: &Environment) -> Result<Losses, Problem> {
    let mut losses = Losses::default();
    if let Some(tree) = &environment.tree {
        let state = node.directory(&environment.id);
        let unsaved = dwell_drivers::tree::unsaved(tree, &state).await.or_problem()?;
        losses.uncommitted =
            unsaved.uncommitted.iter().map(|path| path.display().to_string()).collect();
        losses.unmerged_commits = unsaved.unmerged_commits;
        losses.submodules =
            unsaved.submodules.iter().map(|path| path.display().to_string()).collect();
    }
    losses.sessions = node.running_session_names(environment.id.as_str()).await;
    losses.volumes = volumes(node, environment).await.unwrap_or_default();
    Ok(losses)
}

/// The volumes of an environment, by their names in Docker.
pub(crate) async fn volumes(
    node: &Node,
    environment: &Environment,
) -> Result<Vec<String>, Problem> {
    let labelled = format!("{}={}", dwell_core::observed::label::ENVIRONMENT, environment.id);
    node.engine.volumes(&labelled).await.or_problem()
}
