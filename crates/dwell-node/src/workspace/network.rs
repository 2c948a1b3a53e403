//! The networks of a workspace: its own, which nobody else is in, and those of the environments
//! that it has joined.

use std::collections::HashMap;
use std::time::Duration;

use dwell_api::workspace::EnvironmentRef;
use dwell_api::{Code, Problem};
use dwell_core::EnvironmentId;
use dwell_core::address::Need;
use dwell_core::environment::Environment;
use dwell_core::observed::label;
use dwell_core::workspace::{Desired, Workspace};
use dwell_drivers::docker::Network;
use dwell_drivers::firewall;
use tokio::time::sleep;

use super::hostname;
use crate::environment::subnets;
use crate::node::Node;
use crate::problem::OrProblem;

/// The key of its own network among its subnets.
pub(super) const KEY: &str = "own";
/// When it is seen to it again that networks are kept apart, after one was made.
const AFTER: Duration = Duration::from_secs(1);

/// Allots the addresses of its own network.
pub(super) async fn allot(node: &Node, it: &mut Workspace) -> Result<(), Problem> {
    let wanted = [(KEY.to_owned(), Need::of(1))];
    let found = subnets(node, it.id.as_str(), &wanted).await?;
    it.subnet = found.get(KEY).copied();
    Ok(())
}

/// Makes its own network.
pub(super) async fn make(
    node: &Node,
    it: &Workspace,
    labels: HashMap<String, String>,
) -> Result<(), Problem> {
    let Some(subnet) = it.subnet else {
        return Err(Problem::new(Code::Internal, "its network has no addresses"));
    };
    let (name, bridge) = (it.network(), it.bridge());
    let network = node.engine.create_network(&name, &bridge, subnet, labels);
    let (network, ()) = tokio::join!(network, apart(node));
    network.or_problem()
}

/// Before the first one is made; later it only has to stay so, which is not to be in its way.
async fn apart(node: &Node) {
    let first = &node.workspaces.apart;
    if first.initialized() {
        tokio::spawn(async {
            sleep(AFTER).await;
            keep_apart().await;
        });
    }
    first.get_or_init(keep_apart).await;
}

/// The engine keeps networks apart too, only not at every moment; this takes root.
async fn keep_apart() {
    if rustix::process::geteuid().is_root()
        && let Err(error) = firewall::keep_apart().await
    {
        tracing::warn!(%error, "only the engine keeps workspaces' networks apart");
    }
}

/// The environment that somebody means, which is to be on this node.
pub(super) async fn environment(
    node: &Node,
    meant: &EnvironmentRef,
) -> Result<Environment, Problem> {
    let (name, project) = (meant.name.as_str(), meant.project.as_ref());
    match node.find(name, project).await {
        Err(problem) if problem.code == Code::NotFound => match node.remotes.find(name, project) {
            Some((there, _)) => {
                let message = format!("environment `{name}` is on node `{there}`");
                Err(Problem::new(Code::InvalidArgument, message)
                    .hint("a workspace joins environments of its own node"))
            }
            None => Err(problem),
        },
        found => found,
    }
}

/// Puts a workspace's container on the networks of the environments that it has joined, as far
/// as they are there, and takes it off all others but its own.
pub(super) async fn wire(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let container = it.container();
    let mut wanted: Vec<Network> = Vec::new();
    for id in &it.environments {
        let labelled = format!("{}={id}", label::ENVIRONMENT);
        wanted.extend(node.engine.networks(Some(&labelled)).await.or_problem()?);
    }
    let has = node.engine.attachments(&container).await.or_problem()?;
    let own = it.network();
    for (name, id) in has.iter().filter(|(name, _)| *name != own) {
        // One of the same name that was made anew is another one.
        if !wanted.iter().any(|network| network.name == *name && network.id == *id) {
            node.engine.disconnect_network(name, &container).await.or_problem()?;
        }
    }
    for network in &wanted {
        if !has.iter().any(|(name, id)| *name == network.name && *id == network.id) {
            node.engine.connect_network(&network.id, &container).await.or_problem()?;
        }
    }
    // With each network the engine writes a line of hosts, with the name that it knows.
    if let Err(problem) = hostname::settle(node, it).await {
        tracing::warn!(%problem, workspace = %it.name, "inside it has another host name");
    }
    Ok(())
}

/// The workspaces that have joined an environment and have a container.
async fn members(node: &Node, id: &EnvironmentId) -> Result<Vec<Workspace>, Problem> {
    let mut all = node.store.workspaces().await.or_problem()?;
    all.retain(|it| {
        let there = !it.making && it.desired != Desired::Destroyed;
        there && it.environments.contains(id)
    });
    Ok(all)
}

/// After an operation on an environment: those that have joined it are on the networks that it
/// has now.
pub(crate) async fn follow(node: &Node, id: &EnvironmentId) {
    let members = match members(node, id).await {
        Ok(members) => members,
        Err(problem) => return tracing::warn!(%problem, "workspaces were not looked at"),
    };
    for it in members {
        if let Err(problem) = wire(node, &it).await {
            tracing::warn!(%problem, workspace = %it.name, "it is not on all networks");
        }
        // What is seen of it includes the networks that it is in.
        let _ = crate::world::look_at_workspace(node, &it.id).await;
    }
}

/// Takes workspaces off networks of environments that are about to be removed.
pub(crate) async fn let_go(node: &Node, networks: &[Network]) -> Result<(), Problem> {
    for network in networks {
        let owner = network.labels.get(label::ENVIRONMENT).and_then(|id| id.parse().ok());
        let Some(owner) = owner else { continue };
        for it in members(node, &owner).await? {
            node.engine.disconnect_network(&network.id, &it.container()).await.or_problem()?;
        }
    }
    Ok(())
}
