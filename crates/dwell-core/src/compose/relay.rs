//! Relays: a service's name, networks and aliases kept, its body replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::bond::needed;
use super::error::IsolationError;
use super::model::{Model, Object, escaped};
use super::service::{Condition, Service};
use crate::name::ServiceName;

/// The container that stands in for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySpec {
    /// Its image.
    pub image: String,
    /// Its command.
    pub command: Vec<String>,
    /// The command that tells, run inside it, whether the far end is ready.
    pub healthcheck: Option<Vec<String>>,
    /// Whether it ends with exit code 0 once the far end is there. It is not restarted then, and
    /// dependents may wait for it to complete.
    pub completes: bool,
    /// Docker names of the networks that it joins besides the service's own, to reach the far end.
    pub networks: Vec<String>,
    /// Directories of the machine that it sees, read-only: sockets that lead to the far end.
    pub mounts: Vec<Mount>,
    /// Who it runs as, `uid:gid`; root without any capability where missing. Such a root cannot
    /// connect to another user's sockets.
    pub user: Option<String>,
}

/// A directory of the machine, shown to a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The absolute path on the machine. It has to exist.
    pub source: PathBuf,
    /// The absolute path in the relay.
    pub target: String,
}

/// The key under which a relay's outer network is known in the environment's model.
pub(super) fn network_key(network: &str) -> String {
    format!("dwell-outer-{network}")
}

/// Refuses what cannot work with the given services being relays.
pub(super) fn check(
    model: &Model<'_>,
    services: &BTreeMap<ServiceName, Service>,
    relays: &BTreeMap<ServiceName, RelaySpec>,
) -> Result<(), IsolationError> {
    if let Some(unknown) = relays.keys().find(|name| !services.contains_key(*name)) {
        return Err(IsolationError::UnknownService { service: unknown.clone() });
    }
    for (name, service) in services.iter().filter(|(name, _)| !relays.contains_key(*name)) {
        if let Some(body) = model.service(name) {
            check_bodies(model, name, body, relays)?;
        }
        for (other, dependency) in &service.depends_on {
            let Some(spec) = relays.get(other) else { continue };
            let reached = match dependency.condition {
                Condition::Started => true,
                Condition::Healthy => spec.healthcheck.is_some(),
                Condition::Completed => spec.completes,
            };
            if !reached {
                return Err(IsolationError::NeverReached {
                    service: name.clone(),
                    relay: other.clone(),
                    condition: dependency.condition.as_str(),
                });
            }
        }
    }
    Ok(())
}

/// Refuses a service that needs the files, processes or network namespace of a relay.
fn check_bodies(
    model: &Model<'_>,
    name: &ServiceName,
    body: &Object,
    relays: &BTreeMap<ServiceName, RelaySpec>,
) -> Result<(), IsolationError> {
    for (what, owner) in needed(model, body) {
        if let Some(relay) = relays.keys().find(|relay| relay.as_str() == owner) {
            return Err(IsolationError::NeedsBody {
                service: name.clone(),
                relay: relay.clone(),
                what,
            });
        }
    }
    Ok(())
}

/// The body of a relay; networks and labels are the caller's. It gets no capability and no
/// writable file system, and is probed often only while something waits for it.
pub(super) fn body(spec: &RelaySpec, awaited: bool, expose: Vec<Value>) -> Object {
    let command: Vec<_> = spec.command.iter().map(|word| escaped(word)).collect();
    let mut body = Map::new();
    body.insert("image".to_owned(), json!(escaped(&spec.image)));
    body.insert("command".to_owned(), json!(command));
    body.insert("cap_drop".to_owned(), json!(["ALL"]));
    body.insert("read_only".to_owned(), json!(true));
    body.insert("security_opt".to_owned(), json!(["no-new-privileges:true"]));
    body.insert("stop_grace_period".to_owned(), json!("1s"));
    let restart = if spec.completes { "no" } else { "unless-stopped" };
    body.insert("restart".to_owned(), json!(restart));
    if !expose.is_empty() {
        body.insert("expose".to_owned(), Value::Array(expose));
    }
    if let Some(user) = &spec.user {
        body.insert("user".to_owned(), json!(user));
    }
    if !spec.mounts.is_empty() {
        let mounts: Vec<_> = spec.mounts.iter().map(mount).collect();
        body.insert("volumes".to_owned(), Value::Array(mounts));
    }
    if let Some(test) = &spec.healthcheck {
        let test = std::iter::once("CMD".to_owned()).chain(test.iter().map(|word| escaped(word)));
        let interval = if awaited { "2s" } else { "30s" };
        let check = json!({
            "test": test.collect::<Vec<_>>(),
            "interval": interval,
            "timeout": "5s",
            "retries": 30,
        });
        body.insert("healthcheck".to_owned(), check);
    }
    body
}

fn mount(mount: &Mount) -> Value {
    json!({
        "type": "bind",
        "source": escaped(&mount.source.to_string_lossy()),
        "target": escaped(&mount.target),
        "read_only": true,
        "bind": {"create_host_path": false},
    })
}
