//! What of a model is left on a node that has only a part of the services.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::model::{Model, Object, is_external, keys, relabel, text};
use super::super::service::Service;
use super::super::storage::named_volumes;
use crate::name::ServiceName;

/// The labels by which a service is shared, with dwell's prefix and Cilo's.
const SHARE: [&str; 2] = ["dwell.share", "cilo.share"];
/// What a relay needs to know of the service that it stands in for. Everything else, its
/// variables in particular, stays on the nodes where it is used.
const STUB_KEYS: [&str; 5] = ["networks", "container_name", "ports", "expose", "labels"];
const STUB_LABELS: [&str; 2] = ["dwell.port", "cilo.port"];
const NAME_LABELS: [&str; 4] =
    ["dwell.hostnames", "cilo.hostnames", "dwell.ingress", "cilo.ingress"];

/// Takes the wish to be shared from a service that runs elsewhere: it is shared there.
pub(super) fn unshare(body: &mut Object) {
    relabel(body, |label| !SHARE.contains(&label), &[]);
}

/// What is left of a service that runs elsewhere. External networks that nothing here joins may
/// not exist here.
pub(super) fn stub(model: &Model<'_>, body: &Object, runs: &BTreeSet<ServiceName>) -> Object {
    let mut stub: Object = STUB_KEYS
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), body.get(key)?.clone())))
        .collect();
    relabel(&mut stub, |label| STUB_LABELS.contains(&label), &[]);
    let joined: BTreeSet<String> = model
        .services()
        .filter(|(name, _)| runs.contains(*name))
        .flat_map(|(_, body)| model.networking(body).keys())
        .collect();
    let external: BTreeSet<&String> = model
        .section("networks")
        .filter(|(key, network)| is_external(network) && !joined.contains(*key))
        .map(|(key, _)| key)
        .collect();
    if let Some(Value::Object(networks)) = stub.get_mut("networks") {
        networks.retain(|key, _| !external.contains(key));
        if networks.is_empty() {
            stub.shift_remove("networks");
        }
    }
    stub
}

/// Writes into labels what the whole project decides: names, and who is a job. In a part of the
/// project they could come out differently.
pub(super) fn pin(body: &mut Object, facts: &Service, ingress: bool, runs: bool) {
    let hostnames: Vec<&str> = facts.hostnames.iter().map(|name| name.as_str()).collect();
    let mut set = vec![("dwell.ingress", ingress.to_string())];
    if !hostnames.is_empty() {
        set.push(("dwell.hostnames", hostnames.join(",")));
    }
    if facts.completes && runs {
        set.push(("dwell.job", "true".to_owned()));
    }
    relabel(body, |label| !NAME_LABELS.contains(&label), &set);
}

/// Removes networks, volumes, secrets and configs that nothing there uses.
pub(super) fn prune(
    compose: &mut Object,
    model: &Model<'_>,
    runs: &BTreeSet<ServiceName>,
    reached: &BTreeSet<ServiceName>,
) {
    let services = compose.get("services").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut used: [BTreeSet<String>; 4] = Default::default();
    let [networks, volumes, secrets, configs] = &mut used;
    for (name, _) in model.services() {
        let Some(body) = services.get(name.as_str()).and_then(Value::as_object) else { continue };
        if reached.contains(name) {
            networks.extend(model.networking(body).relay_keys());
        }
        if runs.contains(name) {
            networks.extend(model.networking(body).keys());
            volumes.extend(named_volumes(body));
            secrets.extend(sources(body.get("secrets")));
            secrets.extend(sources(body.get("build").and_then(|build| build.get("secrets"))));
            configs.extend(sources(body.get("configs")));
        }
    }
    for (section, used) in ["networks", "volumes", "secrets", "configs"].into_iter().zip(used) {
        let Some(Value::Object(entries)) = compose.get_mut(section) else { continue };
        entries.retain(|key, _| used.contains(key));
        if entries.is_empty() {
            compose.shift_remove(section);
        }
    }
}

/// The sources of `secrets` or `configs` entries, from the long or the short form.
fn sources(value: Option<&Value>) -> Vec<String> {
    let Some(Value::Array(entries)) = value else { return keys(value) };
    let source = |entry: &Value| entry.get("source").and_then(text).or_else(|| text(entry));
    entries.iter().filter_map(source).collect()
}
