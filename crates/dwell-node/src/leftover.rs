//! Leftovers: what carries this node's label and belongs to an environment that the journal
//! knows to be over. An engine may finish making a thing after the tool that asked for it was
//! killed. What belongs to an environment that was never heard of is left alone.

use std::collections::BTreeSet;

use dwell_api::Problem;
use dwell_core::EnvironmentId;
use dwell_core::observed::label;

use crate::environment::networks_gone;
use crate::node::Node;
use crate::problem::OrProblem;

/// Removes the leftovers of environments that are over.
pub(crate) async fn remove(node: &Node) -> Result<(), Problem> {
    let over: BTreeSet<EnvironmentId> =
        node.store.environments_over().await.or_problem()?.into_iter().collect();
    if over.is_empty() {
        return Ok(());
    }
    let ours = format!("{}={}", label::NODE, node.id);
    let mut found: BTreeSet<EnvironmentId> = node.world.by_environment().into_keys().collect();
    let networks = node.engine.networks(Some(&ours)).await.or_problem()?;
    let volumes = node.engine.volumes(&ours).await.or_problem()?;
    let names = networks.iter().map(|network| network.name.as_str());
    found.extend(names.chain(volumes.iter().map(String::as_str)).filter_map(owner));
    for id in found.intersection(&over) {
        tracing::info!(environment = %id, "removing what is left of it");
        let labelled = format!("{}={id}", label::ENVIRONMENT);
        for container in node.engine.containers(&labelled).await.or_problem()? {
            node.engine.remove(&container.id).await.or_problem()?;
        }
        networks_gone(node, &labelled).await?;
        for volume in node.engine.volumes(&labelled).await.or_problem()? {
            node.engine.remove_volume(&volume).await.or_problem()?;
        }
        for tag in node.engine.image_tags(&format!("dwell-{id}/*")).await.or_problem()? {
            node.engine.remove_image(&tag).await.or_problem()?;
        }
    }
    Ok(())
}

/// The environment in the name of a network or volume, `dwell-<id>-<key>`.
fn owner(name: &str) -> Option<EnvironmentId> {
    name.strip_prefix("dwell-")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_environment() {
        let id = EnvironmentId::from_random([7; 8]);
        assert_eq!(owner(&format!("dwell-{id}-default")), Some(id));
        assert_eq!(owner("dwell-shared-db"), None);
        assert_eq!(owner("bridge"), None);
    }
}
