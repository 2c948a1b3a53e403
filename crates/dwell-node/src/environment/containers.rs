//! Taking containers and networks away, in the order that the services depend on each other,
//! and at once where they do not.

use std::collections::BTreeSet;

use dwell_api::Problem;
use dwell_core::compose::levels;
use dwell_core::environment::Environment;
use dwell_core::observed::{Container, label};
use dwell_drivers::docker::EngineError;
use futures_util::future::join_all;

use crate::node::Node;
use crate::problem::OrProblem;

/// How containers are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Each gets the time to end by itself that it was made with.
    Gracefully,
    /// They are killed.
    AtOnce,
}

/// Removes all containers and networks of an environment, of every generation.
pub(crate) async fn remove_containers(
    node: &Node,
    environment: &Environment,
    manner: Manner,
) -> Result<(), Problem> {
    let labelled = format!("{}={}", label::ENVIRONMENT, environment.id);
    let found = node.engine.containers(&labelled).await.or_problem()?;
    for group in groups(node, environment, &found) {
        let removals = group.into_iter().map(|container| end(node, container, manner));
        for result in join_all(removals).await {
            result.or_problem()?;
        }
    }
    networks_gone(node, &labelled).await
}

/// Removes a labelled set of networks.
pub(crate) async fn networks_gone(node: &Node, labelled: &str) -> Result<(), Problem> {
    let networks = node.engine.networks(Some(labelled)).await.or_problem()?;
    let removals = networks.iter().map(|network| node.engine.remove_network(&network.id));
    for result in join_all(removals).await {
        result.or_problem()?;
    }
    Ok(())
}

async fn end(node: &Node, container: &Container, manner: Manner) -> Result<(), EngineError> {
    if manner == Manner::Gracefully && container.runs() {
        node.engine.stop(&container.id).await?;
    }
    node.engine.remove(&container.id).await
}

/// Dependents before what they depend on; one-off containers and unknown services first.
fn groups<'a>(
    node: &Node,
    environment: &Environment,
    containers: &'a [Container],
) -> Vec<Vec<&'a Container>> {
    let facts = node.facts.get(&environment.id);
    let levels = facts.map(|facts| levels(&facts.services)).unwrap_or_default();
    let known: BTreeSet<_> = levels.iter().flatten().collect();
    let in_a_level = |container: &&Container| {
        !container.one_off && container.service.as_ref().is_some_and(|s| known.contains(s))
    };
    let mut groups = vec![containers.iter().filter(|c| !in_a_level(c)).collect::<Vec<_>>()];
    for level in &levels {
        let of_level =
            |c: &&Container| in_a_level(c) && c.service.as_ref().is_some_and(|s| level.contains(s));
        groups.push(containers.iter().filter(of_level).collect());
    }
    groups.retain(|group| !group.is_empty());
    groups
}
