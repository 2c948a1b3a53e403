//! The limit of a workspace's disk: kept where the engine can, told where it cannot.

use std::collections::HashMap;

use dwell_api::Problem;
use dwell_core::observed::label;
use dwell_core::workspace::{Limits, Workspace};
use dwell_drivers::docker::{Quotas, Volume, size_option};

use super::labels;
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;

/// What the engine holds to a size, tried once with an image that is there.
async fn quotas(node: &Node, image: &str) -> Result<Quotas, Problem> {
    let tried = node.workspaces.quotas.get_or_try_init(|| async {
        let labels = HashMap::from([(label::NODE.to_owned(), node.id.to_string())]);
        node.engine.quotas(&format!("dwell-probe-{}", node.id), image, labels).await.or_problem()
    });
    Ok(*tried.await?)
}

/// What its container may change in its file system, in bytes, where the engine holds it to that.
pub(super) async fn of_container(node: &Node, it: &Workspace) -> Result<Option<u64>, Problem> {
    let Some(bytes) = bytes(&it.limits) else { return Ok(None) };
    let quotas = quotas(node, it.begins_as().as_str()).await?;
    Ok(quotas.containers.then_some(bytes))
}

/// A volume of it, held to its limit where the engine does that.
pub(super) async fn volume(node: &Node, it: &Workspace, name: &str) -> Result<Volume, Problem> {
    let options = match bytes(&it.limits) {
        Some(bytes) if quotas(node, it.image.as_str()).await?.volumes => size_option(bytes),
        _ => HashMap::new(),
    };
    let (name, driver) = (name.to_owned(), "local".to_owned());
    Ok(Volume { name, driver, options, labels: labels(node, it) })
}

fn bytes(limits: &Limits) -> Option<u64> {
    limits.disk_mb.map(|mebibytes| mebibytes << 20)
}

/// Tells who asks for a limit what becomes of it.
pub(super) async fn tell(node: &Node, operation: &Operation, image: &str) -> Result<(), Problem> {
    let told = match quotas(node, image).await? {
        Quotas { containers: true, volumes: true } => {
            "its home and what it changes besides are held to the limit of its disk, each"
        }
        Quotas { containers: true, volumes: false } => {
            "what it changes outside its home is held to the limit of its disk; its home is not"
        }
        _ => {
            "this engine holds nothing to the limit of its disk: `dwell ws show` and `dwell doctor` \
             tell when it takes more"
        }
    };
    operation.note(told);
    Ok(())
}
