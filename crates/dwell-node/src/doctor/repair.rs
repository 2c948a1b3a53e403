//! What `doctor --fix` does: it tries links again, publishes names anew, and listens again where
//! nothing does. It changes nothing on other nodes.

use std::sync::Arc;
use std::time::Duration;

use dwell_core::NodeName;
use futures_util::future::join_all;

use crate::node::Node;
use crate::remote::standin;

/// How long a link may take to come up.
const LIMIT: Duration = Duration::from_secs(10);

/// Repairs what can be repaired without asking; gives what was done.
pub(crate) async fn repair(node: &Arc<Node>) -> Vec<String> {
    let names = node.remotes.names();
    let links = names.iter().map(|name| wake(node, name));
    let mut done: Vec<String> = join_all(links).await.into_iter().flatten().collect();
    for name in &names {
        let listening = node.remotes.forwards.listening();
        if let Err(problem) = node.remotes.publish_again(node, name).await {
            tracing::info!(%problem, node = %name, "what it shows is not known anew");
        }
        let more = node.remotes.forwards.listening().saturating_sub(listening);
        if more > 0 {
            done.push(format!("{more} addresses for services on {name} are listened on again"));
        }
    }
    standin::listen_again(node).await;
    node.publish_all().await;
    done.push("all names are published anew".to_owned());
    done
}

/// Tries a link that is down.
async fn wake(node: &Arc<Node>, name: &NodeName) -> Option<String> {
    node.remotes.down(name)?;
    let peer = node.remotes.peer(name).ok()?;
    Some(match tokio::time::timeout(LIMIT, peer.ping()).await {
        Ok(Ok(pong)) => format!("node {name} is linked again, over {}", pong.via),
        Ok(Err(problem)) => problem.message,
        Err(_) => format!("node {name} was tried for {} s without success", LIMIT.as_secs()),
    })
}
