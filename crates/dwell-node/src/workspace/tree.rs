//! Trees of environments in workspaces: each at the place that it has on the node, so that what names
//! a path (work trees of git, messages, agents' memory of a directory) is right in both. Both the node's
//! user and the workspace's can write there.

use std::path::{Path, PathBuf};

use dwell_api::workspace::EnvironmentRef;
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::workspace::{TREES_FILE, UID, Workspace};
use dwell_drivers::docker::Directory;
use dwell_drivers::{acl, tree};

use super::{given, network};
use crate::node::Node;
use crate::problem::OrProblem;

/// The environment that somebody means, whose tree a workspace has.
pub(crate) async fn with_tree(
    node: &Node,
    it: &Workspace,
    meant: &EnvironmentRef,
) -> Result<Environment, Problem> {
    let environment = network::environment(node, meant).await?;
    if it.trees.contains(&environment.id) {
        return Ok(environment);
    }
    let (name, label) = (&it.name, environment.label());
    let message = format!("workspace `{name}` does not have the tree of `{label}`");
    let join = format!("dwell ws join {name} {} --tree", environment.name);
    Err(Problem::new(Code::Conflict, message)
        .hint(format!("`{join}` gives it that, with a new container")))
}

/// Everything of the host that the container of a workspace sees.
pub(super) async fn directories(node: &Node, it: &Workspace) -> Result<Vec<Directory>, Problem> {
    let mut all = given::directories(node, it);
    let mut trees = Vec::new();
    for id in &it.trees {
        let Some(environment) = node.store.environment(id).await.or_problem()? else { continue };
        trees.extend(open(&environment).await?);
    }
    // Several trees of one source have its repository in common.
    trees.sort_by(|a, b| a.target.cmp(&b.target).then(b.writable.cmp(&a.writable)));
    trees.dedup_by(|a, b| a.target == b.target);
    let places: Vec<&Path> = trees.iter().map(|directory| directory.target.as_path()).collect();
    given::replace(&given::directory(node, it).join(TREES_FILE), &lines(&places))?;
    all.extend(trees);
    Ok(all)
}

fn lines(places: &[&Path]) -> String {
    places.iter().map(|place| format!("{}\n", place.display())).collect()
}

/// Lets the workspace's user into a tree, and says what of it is to be seen.
async fn open(environment: &Environment) -> Result<Vec<Directory>, Problem> {
    let failed = |why: String| {
        let message = format!("the tree of `{}` cannot be given: {why}", environment.label());
        Problem::new(Code::ToolFailed, message)
    };
    let seen = tree::guest(&environment.root).await.map_err(|error| failed(error.to_string()))?;
    let own = rustix::process::getuid().as_raw();
    if own == UID {
        return Ok(seen);
    }
    let places: Vec<(PathBuf, bool)> =
        seen.iter().map(|it| (it.source.clone(), it.writable)).collect();
    let shared = tokio::task::spawn_blocking(move || {
        let users = if own == 0 { vec![UID] } else { vec![UID, own] };
        places.iter().try_for_each(|(place, writable)| match writable {
            true => acl::share(place, &users),
            false => acl::show(place, &users),
        })
    });
    let shared = shared.await.map_err(|error| failed(error.to_string()))?;
    shared.map_err(|error| failed(format!("its files cannot be shared: {error}")))?;
    Ok(seen)
}

/// Forgets trees that are there no more; whether there were any, so that the container, which names
/// them, cannot be started.
pub(super) async fn forget_gone(node: &Node, it: &mut Workspace) -> Result<bool, Problem> {
    let mut gone = Vec::new();
    for id in &it.trees {
        let there = node.store.environment(id).await.or_problem()?;
        if !there.is_some_and(|environment| environment.root.is_dir()) {
            gone.push(id.clone());
        }
    }
    it.trees.retain(|id| !gone.contains(id));
    Ok(!gone.is_empty())
}
