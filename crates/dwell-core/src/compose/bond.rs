//! What ties services to each other so that they have to run on one node.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::IsolationError;
use super::model::{Model, Networking, Object, head, text, texts};
use super::service::namespace_owner;
use super::storage::named_volumes;
use crate::name::ServiceName;

/// Two services that have to run on one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bond {
    /// The one that needs the other, or the first by name.
    pub first: ServiceName,
    /// The other.
    pub second: ServiceName,
    /// The setting that ties them, such as `network_mode: service:db`.
    pub setting: String,
}

/// Everything that ties services of a project to each other: namespaces, volumes of containers,
/// images that are built upon another one's, and named volumes that both mount. A volume of a
/// driver other than `local`, or of a network file system, is the same from every node and ties
/// nothing.
///
/// # Errors
/// When the model is not one, or a service's name cannot be used.
pub fn bonds(model: &Value) -> Result<Vec<Bond>, IsolationError> {
    let model = Model::parse(model)?;
    let mut found = Vec::new();
    for (name, body) in model.services() {
        for (setting, owner) in needed(&model, body) {
            if let Some((other, _)) = model.services().find(|(other, _)| other.as_str() == owner)
                && other != name
            {
                found.push(Bond { first: name.clone(), second: other.clone(), setting });
            }
        }
    }
    let mut users: BTreeMap<String, Vec<&ServiceName>> = BTreeMap::new();
    for (name, body) in model.services() {
        for volume in named_volumes(body) {
            users.entry(volume).or_default().push(name);
        }
    }
    for (key, mut names) in users {
        if model.section("volumes").any(|(other, volume)| *other == key && is_network(&volume)) {
            continue;
        }
        names.sort();
        let Some((first, others)) = names.split_first() else { continue };
        found.extend(others.iter().map(|other| Bond {
            first: (*first).clone(),
            second: (*other).clone(),
            setting: format!("volume `{key}`"),
        }));
    }
    Ok(found)
}

/// The other services' containers or builds that a service cannot do without: the setting as
/// compose spells it, and the service.
pub(super) fn needed(model: &Model<'_>, body: &Object) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Networking::OfService(owner) = model.networking(body) {
        found.push((format!("network_mode: service:{owner}"), owner));
    }
    for key in ["pid", "ipc"] {
        if let Some(owner) = namespace_owner(model, body, key) {
            found.push((format!("{key}: service:{owner}"), owner));
        }
    }
    for entry in texts(body.get("volumes_from")) {
        let owner = match entry.strip_prefix("container:") {
            Some(rest) => model.service_of_container(head(rest)).map(ToString::to_string),
            None => Some(head(&entry).to_owned()),
        };
        found.extend(owner.map(|owner| (format!("volumes_from: {owner}"), owner)));
    }
    let contexts = body.get("build").and_then(|build| build.get("additional_contexts"));
    for (_, value) in pairs(contexts) {
        if let Some(owner) = value.strip_prefix("service:") {
            found.push((format!("additional_contexts: {value}"), owner.to_owned()));
        }
    }
    found
}

/// The entries of a map, or of a list of `key=value`.
pub(super) fn pairs(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::Object(map)) => {
            map.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
        }
        list => texts(list)
            .into_iter()
            .filter_map(|item| item.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
            .collect(),
    }
}

/// Whether a volume is the same from every node.
fn is_network(volume: &Object) -> bool {
    let driver = volume.get("driver").and_then(text).unwrap_or_default();
    let kind = volume.get("driver_opts").and_then(|options| options.get("type")).and_then(text);
    let kind = kind.unwrap_or_default();
    !matches!(driver.as_str(), "" | "local") || matches!(kind.as_str(), "nfs" | "nfs4" | "cifs")
}
