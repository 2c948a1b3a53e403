//! What this node shows to others: all environments, sessions and workspaces, anew whenever they
//! change.

use std::sync::Arc;
use std::time::Duration;

use dwell_api::remote::{PublishedName, Seen, SeenEnvironment};
use dwell_api::{Problem, session::SessionStatus};
use dwell_core::environment::Environment;
use dwell_core::observed::Container;
use dwell_core::published::Place;
use futures_util::stream::{self, Stream};

use crate::node::Node;
use crate::problem::OrProblem;
use crate::{view, workspace, world};

/// Changes this close together are told as one.
const TOGETHER: Duration = Duration::from_millis(40);
/// Sessions end without anybody telling, so a look now and then besides.
const LOOK: Duration = Duration::from_secs(3);

/// Everything, now and whenever it has changed.
pub(crate) fn changes(node: Arc<Node>) -> impl Stream<Item = Seen> + Send {
    let told = node.world.subscribe();
    stream::unfold((node, told, None), |(node, mut told, mut last)| async move {
        loop {
            let seen = match see(&node).await {
                Ok(seen) => seen,
                Err(problem) => {
                    tracing::warn!(%problem, "other nodes are not told what runs here");
                    return None;
                }
            };
            let text = serde_json::to_vec(&seen).unwrap_or_default();
            if last.as_ref() != Some(&text) {
                last = Some(text);
                return Some((seen, (node, told, last)));
            }
            // Either way it is time to look.
            let _ = tokio::time::timeout(LOOK, told.changed()).await;
            tokio::time::sleep(TOGETHER).await;
        }
    })
}

async fn see(node: &Node) -> Result<Seen, Problem> {
    let sessions = node.sessions(None).await?;
    let mut containers = node.world.by_environment();
    let mut environments = Vec::new();
    for environment in node.store.environments().await.or_problem()? {
        let own = containers.remove(&environment.id).unwrap_or_default();
        let own_id = Some(&environment.id);
        let running = sessions
            .iter()
            .filter(|s| s.environment.as_ref() == own_id && s.status == SessionStatus::Running);
        let count = u32::try_from(running.count()).unwrap_or(u32::MAX);
        environments.push(SeenEnvironment {
            names: names(node, &environment, &own),
            environment: view::environment(node, &environment, &own, count),
            origin: environment.origin.clone(),
        });
    }
    let workspaces = workspace::list(node, true).await?;
    Ok(Seen { environments, sessions, workspaces })
}

/// The names of the services that run here, in no order.
fn names(node: &Node, environment: &Environment, containers: &[Container]) -> Vec<PublishedName> {
    let Some(facts) = node.facts.get(&environment.id) else { return Vec::new() };
    let place = Place {
        environment: &environment.name,
        project: &environment.project,
        suffix: &environment.suffix,
    };
    let observed = world::addresses(containers);
    let running = facts.services.values().filter(|s| observed.contains_key(&s.name));
    running
        .flat_map(|service| {
            let own = place.names(service, &facts.services).into_iter();
            own.map(|own| PublishedName {
                service: service.name.clone(),
                full: own.short.then(|| crate::names::full_name(&own.name, environment)).flatten(),
                fqdn: own.name,
                wildcard: own.wildcard,
                short: own.short,
                http_port: service.http_port,
            })
        })
        .collect()
}
