//! Taking containers and networks away, in the order that the services depend on each other,
//! and at once where they do not.

use std::collections::BTreeSet;

use dwell_api::Problem;
use dwell_core::compose::levels;
use dwell_core::environment::Environment;
use dwell_core::observed::{Container, label};
use dwell_drivers::docker::{EngineError, Network};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

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
    let (found, networks) =
        tokio::join!(node.engine.containers(&labelled), node.engine.networks(Some(&labelled)));
    let (found, networks) = (found.or_problem()?, networks.or_problem()?);
    let removals =
        stop_in_order(node, groups(node, environment, &found), manner).await.or_problem()?;
    let removed = removals.collect::<Vec<_>>();
    let removed = if manner == Manner::Gracefully {
        // A container that has stopped holds no network any more.
        let (removed, _) = tokio::join!(removed, remove_networks(node, &networks));
        removed
    } else {
        removed.await
    };
    removed.into_iter().collect::<Result<(), EngineError>>().or_problem()?;
    networks_gone(node, &labelled).await
}

type Removals<'a> = FuturesUnordered<BoxFuture<'a, Result<(), EngineError>>>;

/// Stops group after group; what has stopped is removed at once. Gives the removals that are left.
async fn stop_in_order<'a>(
    node: &'a Node,
    groups: Vec<Vec<&'a Container>>,
    manner: Manner,
) -> Result<Removals<'a>, EngineError> {
    let mut removals: Removals<'a> = FuturesUnordered::new();
    for group in groups {
        let stop = async |container: &'a Container| {
            if manner == Manner::Gracefully && container.runs() {
                node.engine.stop(&container.id).await?;
            }
            Ok::<_, EngineError>(container)
        };
        let mut stops: FuturesUnordered<_> = group.into_iter().map(stop).collect();
        while !stops.is_empty() {
            tokio::select! {
                Some(stopped) = stops.next() => {
                    removals.push(node.engine.remove(&stopped?.id).boxed());
                }
                Some(removed) = removals.next() => removed?,
            }
        }
    }
    Ok(removals)
}

/// Removes a labelled set of networks.
pub(crate) async fn networks_gone(node: &Node, labelled: &str) -> Result<(), Problem> {
    let networks = node.engine.networks(Some(labelled)).await.or_problem()?;
    remove_networks(node, &networks).await
}

async fn remove_networks(node: &Node, networks: &[Network]) -> Result<(), Problem> {
    crate::workspace::let_go(node, networks).await?;
    let removals = networks.iter().map(|network| node.engine.remove_network(&network.id));
    for result in join_all(removals).await {
        result.or_problem()?;
    }
    Ok(())
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
