//! What images say of services whose ports the project does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dwell_api::remote::{ImagePorts, Images};
use dwell_api::{ClientError, Problem, endpoint};
use dwell_core::compose::{self, Port};
use dwell_core::placement::Placement;
use dwell_core::{NodeName, ServiceName};
use serde_json::Value;

use crate::node::Node;
use crate::problem::OrProblem;

/// The ports that images on this node say; those that are missing are pulled where that is asked.
pub(crate) async fn ports(node: &Node, images: &Images) -> Result<ImagePorts, Problem> {
    let mut found = BTreeMap::new();
    for image in &images.names {
        let mut ports = node.engine.image_ports(image).await.or_problem()?;
        if ports.is_none() && images.pull {
            match node.engine.pull_image(image).await {
                Ok(()) => ports = node.engine.image_ports(image).await.or_problem()?,
                // `up` needs it, and says so.
                Err(error) => tracing::info!(%error, image, "it cannot be asked for its ports"),
            }
        }
        found.extend(ports.map(|ports| (image.clone(), ports)));
    }
    Ok(ImagePorts { ports: found })
}

/// The ports that the images of services say on whose ports other nodes depend.
pub(super) async fn exposed(
    node: &Arc<Node>,
    model: &Value,
    placement: &Placement,
) -> Result<BTreeMap<ServiceName, Vec<Port>>, Problem> {
    let mut silent = compose::silent_images(model).or_problem()?;
    silent.retain(|name, _| {
        let is_home = placement.node_of(name) == Some(&placement.home);
        !is_home || placement.reverse.contains(name)
    });
    let known = ports(node, &asked(silent.values(), false)).await?.ports;
    let mut found = BTreeMap::new();
    let mut elsewhere: BTreeMap<&NodeName, BTreeMap<&ServiceName, &String>> = BTreeMap::new();
    for (name, image) in &silent {
        match (known.get(image), placement.node_of(name).filter(|n| **n != placement.home)) {
            (Some(ports), _) => drop(found.insert(name.clone(), read(ports))),
            (None, Some(there)) => {
                elsewhere.entry(there).or_default().insert(name, image);
            }
            (None, None) => {}
        }
    }
    for (there, services) in elsewhere {
        let images = asked(services.values().copied(), true);
        let key = format!("images-{}", node.now());
        let mut client = node.remotes.client(there).await?;
        let answer = client.post(endpoint::IMAGE_PORTS, &key, &images).await;
        let known: ImagePorts = answer.map_err(ClientError::into_problem)?;
        let ports = |(name, image): (&ServiceName, &String)| {
            Some((name.clone(), read(known.ports.get(image)?)))
        };
        found.extend(services.into_iter().filter_map(ports));
    }
    Ok(found)
}

fn asked<'a>(names: impl Iterator<Item = &'a String>, pull: bool) -> Images {
    let names: BTreeSet<String> = names.cloned().collect();
    Images { names: names.into_iter().collect(), pull }
}

fn read(ports: &[String]) -> Vec<Port> {
    ports.iter().filter_map(|text| Port::read(text)).collect()
}
