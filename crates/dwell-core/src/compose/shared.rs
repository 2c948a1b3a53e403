//! One instance of a service for several environments: its whole definition as a compose model of
//! its own.
//!
//! A shared service may depend only on services that are shared too; it joins their networks and
//! finds them under their names by links, because relays on these networks answer to the same
//! names. What ties it to one environment's containers, such as another service's volumes or
//! network namespace, is refused rather than dropped.

use std::collections::BTreeMap;
use std::path::Path;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use super::error::IsolationError;
use super::image::Images;
use super::model::{
    DEFAULT_NETWORK, Model, Networking, Object, head, is_external, label, labels, plain, text,
    texts,
};
use super::note::{Note, NoteKind, Notes};
use super::port::{Port, expose, ports};
use super::relay::network_key;
use super::rewrite::report_machine;
use super::scope::{Role, Scope, shared_project_name};
use super::service::{Dependency, dependencies, namespace_owner, unique_labels};
use super::storage;
use crate::address::Need;
use crate::id::{NodeId, SharedId};
use crate::name::{ProjectName, ServiceName};

/// What a shared instance's network needs: every environment that uses it has a relay there.
pub const SHARED_NEED: Need = Need { addresses: 1, span: 512 };

/// A service, and the shared instance that it is to become.
#[derive(Debug, Clone, Copy)]
pub struct Sharing<'a> {
    /// The canonical model of the project.
    pub model: &'a Value,
    /// The service to share.
    pub service: &'a ServiceName,
    /// The node on which it runs.
    pub node: &'a NodeId,
    /// The instance.
    pub id: &'a SharedId,
    /// The project.
    pub project: &'a ProjectName,
    /// The absolute path of the source tree that the model was computed in.
    pub directory: &'a Path,
    /// The subnet of its own network, for [`SHARED_NEED`].
    pub subnet: Ipv4Net,
    /// The other shared services of the project, and their instances.
    pub peers: &'a BTreeMap<ServiceName, SharedId>,
}

/// A shared instance's model and what is to be known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedDefinition {
    /// The self-contained compose model, for the project [`shared_project_name`].
    pub compose: Value,
    /// The Docker name of its network, which relays join.
    pub network: String,
    /// Its name on that network. Relays there answer to the service's own name, so they cannot
    /// use that to find it.
    pub host: String,
    /// The container ports that the project names.
    pub ports: Vec<Port>,
    /// The shared services that have to run before it.
    pub requires: BTreeMap<ServiceName, Dependency>,
    /// The definition as the project gives it, as JSON with sorted keys, without what differs
    /// from tree to tree. Contents of files that it names are not part of it.
    pub canonical: String,
    /// The BLAKE3 hash of `canonical`, in hexadecimal: differs where two environments define the
    /// service differently.
    pub hash: String,
    /// What is shared or changed.
    pub notes: Vec<Note>,
}

/// Makes a service a shared instance, with everything that its project says of it.
///
/// # Errors
/// When the service is not in the model, depends on one that is not shared, or needs another
/// container's files, processes or network.
pub fn shared_definition(sharing: &Sharing<'_>) -> Result<SharedDefinition, IsolationError> {
    let Sharing { service: name, directory, .. } = *sharing;
    let model = Model::parse(sharing.model)?;
    let given = model.service(name);
    let given = given.ok_or_else(|| IsolationError::UnknownService { service: name.clone() })?;
    check(&model, name, given, sharing.peers)?;
    let mut notes = Notes::default();
    let requires = requires(name, given, sharing.peers, &mut notes)?;
    let scope = Scope::shared(sharing.node, sharing.id, sharing.project);

    let mut body = given.clone();
    for key in ["ports", "container_name", "profiles", "depends_on", "links", "network_mode"] {
        body.shift_remove(key);
    }
    let exposed = expose(given);
    if !exposed.is_empty() {
        body.insert("expose".to_owned(), Value::Array(exposed));
    }
    let labels = unique_labels(&model, &mut Notes::default());
    let images = Images::plan(&model, &labels, &scope);
    images.apply(name, &mut body);
    if let Some(build) = images.borrowed_build(&model, given) {
        body.insert("build".to_owned(), build);
    }
    let (attached, networks) = networks(sharing, &model, given, &requires, &scope, &mut notes);
    body.insert("networks".to_owned(), Value::Object(attached));
    link_peers(sharing, &requires, &mut body);
    report_machine(directory, name, given, &mut notes);
    scope.label_service(&mut body, name, Role::Shared);

    let mut compose = Map::new();
    compose.insert("name".to_owned(), json!(shared_project_name(name, sharing.id)));
    compose.insert("services".to_owned(), json!({name.as_str(): body}));
    compose.insert("networks".to_owned(), Value::Object(networks));
    for (key, used) in parts(&model, given) {
        let section = used.into_iter().map(|(entry, value)| {
            let value = part(&key, &entry, value, &scope, &mut notes);
            (entry, Value::Object(value))
        });
        let section: Object = section.collect();
        compose.insert(key, Value::Object(section));
    }
    let canonical = canonical(&model, given, directory);
    Ok(SharedDefinition {
        compose: Value::Object(compose),
        network: scope.private_name(DEFAULT_NETWORK),
        host: shared_host(sharing.id),
        ports: ports(given),
        requires,
        hash: blake3::hash(canonical.as_bytes()).to_hex().to_string(),
        canonical,
        notes: notes.into_vec(),
    })
}

fn shared_host(id: &SharedId) -> String {
    format!("dwell-shared-{id}")
}

/// Makes the peers' names mean the peers, and not relays on the same network.
fn link_peers(
    sharing: &Sharing<'_>,
    requires: &BTreeMap<ServiceName, Dependency>,
    body: &mut Object,
) {
    let mut links = texts(body.get("external_links"));
    for (peer, id) in sharing.peers.iter().filter(|(peer, _)| requires.contains_key(*peer)) {
        links.push(format!("{}-{peer}-1:{peer}", shared_project_name(peer, id)));
    }
    if !links.is_empty() {
        body.insert("external_links".to_owned(), json!(links));
    }
}

/// Refuses what cannot be had outside the environment.
fn check(
    model: &Model<'_>,
    name: &ServiceName,
    given: &Object,
    peers: &BTreeMap<ServiceName, SharedId>,
) -> Result<(), IsolationError> {
    let refuse = |what: String| Err(IsolationError::NotShareable { service: name.clone(), what });
    match model.networking(given) {
        Networking::Joins(_) | Networking::Replaced(_) => {}
        Networking::OfService(owner) => return refuse(format!("network_mode: service:{owner}")),
        Networking::Host => return refuse("network_mode: host".to_owned()),
        Networking::None => return refuse("network_mode: none".to_owned()),
        Networking::Kept(mode) => return refuse(format!("network_mode: {mode}")),
    }
    for key in ["pid", "ipc"] {
        if let Some(owner) = namespace_owner(model, given, key) {
            return refuse(format!("{key}: service:{owner}"));
        }
    }
    for entry in texts(given.get("volumes_from")) {
        let outside = entry.strip_prefix("container:");
        if outside.is_none_or(|rest| model.service_of_container(head(rest)).is_some()) {
            return refuse(format!("volumes_from: {entry}"));
        }
    }
    for entry in texts(given.get("external_links")) {
        if model.service_of_container(head(&entry)).is_some() {
            return refuse(format!("external_links: {entry}"));
        }
    }
    for entry in texts(given.get("links")) {
        let renamed = entry.rsplit(':').next() != Some(head(&entry));
        if renamed && peers.keys().any(|peer| peer.as_str() == head(&entry)) {
            return refuse(format!("links: {entry}"));
        }
    }
    Ok(())
}

/// What it depends on: shared services are kept, optional others dropped.
fn requires(
    name: &ServiceName,
    given: &Object,
    peers: &BTreeMap<ServiceName, SharedId>,
    notes: &mut Notes,
) -> Result<BTreeMap<ServiceName, Dependency>, IsolationError> {
    let mut found = BTreeMap::new();
    for (other, dependency) in dependencies(given) {
        let other: ServiceName = other.parse()?;
        if peers.contains_key(&other) {
            found.insert(other, dependency);
        } else if dependency.required {
            let service = name.clone();
            return Err(IsolationError::DependsOnPrivate { service, dependency: other });
        } else {
            let text =
                format!("its optional dependency on `{other}` is dropped; that is not shared");
            notes.service(NoteKind::Changed, name, text);
        }
    }
    Ok(found)
}

/// Its own network, its peers' and the external ones that it names.
fn networks(
    sharing: &Sharing<'_>,
    model: &Model<'_>,
    given: &Object,
    requires: &BTreeMap<ServiceName, Dependency>,
    scope: &Scope,
    notes: &mut Notes,
) -> (Object, Object) {
    let known: BTreeMap<_, _> = model.section("networks").collect();
    let (mut attached, mut section) = (Map::new(), Map::new());
    let mut aliases = vec![shared_host(sharing.id)];
    aliases.extend(given.get("container_name").and_then(text));
    let label = sharing.service.label();
    if label != sharing.service.as_str() {
        aliases.push(label);
    }
    let mut internal = true;
    for key in model.networking(given).keys() {
        let entry = given.get("networks").and_then(|networks| networks.get(&key));
        let network = known.get(&key).cloned().unwrap_or_default();
        if is_external(&network) {
            let text = "it is external; the shared instance joins it as it is";
            notes.network(NoteKind::Shared, &key, text);
            attached.insert(key.clone(), entry.cloned().unwrap_or(Value::Null));
            section.insert(key, Value::Object(network));
            continue;
        }
        internal &= network.get("internal").and_then(Value::as_bool).unwrap_or(false);
        aliases.extend(texts(entry.and_then(|entry| entry.get("aliases"))));
        if entry.is_some_and(|e| e.get("ipv4_address").or_else(|| e.get("ipv6_address")).is_some())
        {
            let text = "its pinned address is dropped; it has one network of its own";
            notes.service(NoteKind::Changed, sharing.service, text);
        }
    }
    let mut own = Map::new();
    own.insert("name".to_owned(), json!(scope.private_name(DEFAULT_NETWORK)));
    own.insert("ipam".to_owned(), json!({"config": [{"subnet": sharing.subnet.trunc()}]}));
    if internal {
        own.insert("internal".to_owned(), json!(true));
    }
    scope.label(&mut own);
    section.insert(DEFAULT_NETWORK.to_owned(), Value::Object(own));
    aliases.sort();
    aliases.dedup();
    attached.insert(DEFAULT_NETWORK.to_owned(), json!({"aliases": aliases}));
    for peer in requires.keys().filter_map(|peer| sharing.peers.get(peer)) {
        let network =
            Scope::shared(sharing.node, peer, sharing.project).private_name(DEFAULT_NETWORK);
        attached.insert(network_key(&network), Value::Null);
        section.insert(network_key(&network), json!({"name": network, "external": true}));
    }
    (attached, section)
}

/// The entries of `volumes`, `secrets` and `configs` that the service uses.
fn parts(model: &Model<'_>, given: &Object) -> Vec<(String, BTreeMap<String, Object>)> {
    let sources = |value: Option<&Value>| -> Vec<String> {
        let entries = value.and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        entries
            .filter_map(|entry| entry.get("source").and_then(text).or_else(|| text(entry)))
            .collect()
    };
    let volumes: Vec<String> = storage::named_volumes(given).into_iter().collect();
    let mut secrets = sources(given.get("secrets"));
    secrets.extend(sources(given.get("build").and_then(|build| build.get("secrets"))));
    let configs = sources(given.get("configs"));
    [("volumes", volumes), ("secrets", secrets), ("configs", configs)]
        .into_iter()
        .filter_map(|(key, used)| {
            let entries = model.section(key).filter(|(entry, _)| used.contains(entry));
            let entries: BTreeMap<_, _> = entries.map(|(e, value)| (e.clone(), value)).collect();
            (!entries.is_empty()).then(|| (key.to_owned(), entries))
        })
        .collect()
}

fn part(key: &str, entry: &str, mut value: Object, scope: &Scope, notes: &mut Notes) -> Object {
    if key == "volumes" {
        return storage::volume(entry, value, scope, notes);
    }
    if !is_external(&value) {
        value.insert("name".to_owned(), json!(scope.private_name(entry)));
    }
    value
}

/// The definition in a form that is equal for equal definitions in different trees.
fn canonical(model: &Model<'_>, given: &Object, directory: &Path) -> String {
    let mut service = given.clone();
    for key in ["ports", "container_name", "profiles", "depends_on", "links", "networks"] {
        service.shift_remove(key);
    }
    service.insert("expose".to_owned(), Value::Array(expose(given)));
    let mut labels = labels(given);
    labels.retain(|key, _| !key.starts_with("dwell.") && !key.starts_with("cilo."));
    service.insert("labels".to_owned(), json!(labels));
    service.insert("dwell.port".to_owned(), json!(label(given, "port")));
    let mut all = Map::new();
    all.insert("service".to_owned(), Value::Object(service));
    for (key, used) in parts(model, given) {
        let section: Object = used
            .into_iter()
            .map(|(entry, mut value)| {
                if !is_external(&value) {
                    value.shift_remove("name");
                }
                (entry, Value::Object(value))
            })
            .collect();
        all.insert(key, Value::Object(section));
    }
    let mut all = Value::Object(all);
    if let Some(directory) = directory.to_str() {
        relative(&mut all, directory);
    }
    all.sort_all_objects();
    all.to_string()
}

/// Replaces the source tree's own path at the start of every text.
fn relative(value: &mut Value, directory: &str) {
    match value {
        Value::String(text) => {
            let unescaped = plain(text);
            match unescaped.strip_prefix(directory) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    *text = format!(".{rest}");
                }
                _ => {}
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relative(item, directory)),
        Value::Object(map) => map.values_mut().for_each(|item| relative(item, directory)),
        _ => {}
    }
}
