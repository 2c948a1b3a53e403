//! Reading the canonical model. Where compose has several forms of one setting, all are read,
//! although `docker compose config` prints one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::IsolationError;
use crate::name::ServiceName;

pub(super) type Object = Map<String, Value>;

/// The network that compose gives to services which name none.
pub(super) const DEFAULT_NETWORK: &str = "default";

/// A compose model whose services have been found.
pub(super) struct Model<'a> {
    root: &'a Object,
    services: Vec<(ServiceName, &'a Object)>,
    container_names: BTreeMap<String, ServiceName>,
}

impl<'a> Model<'a> {
    pub(super) fn parse(model: &'a Value) -> Result<Self, IsolationError> {
        let root = model.as_object().ok_or_else(|| IsolationError::model("root", "a map"))?;
        let services = root
            .get("services")
            .and_then(Value::as_object)
            .ok_or_else(|| IsolationError::model("`services`", "a map"))?;
        let services = services
            .iter()
            .map(|(key, value)| {
                let body = value.as_object();
                let body =
                    body.ok_or_else(|| IsolationError::model(format!("service `{key}`"), "a map"))?;
                Ok((key.parse()?, body))
            })
            .collect::<Result<Vec<(ServiceName, _)>, IsolationError>>()?;
        let container_names = services
            .iter()
            .filter_map(|(name, body)| Some((text(body.get("container_name")?)?, name.clone())))
            .collect();
        Ok(Self { root, services, container_names })
    }

    pub(super) fn root(&self) -> &'a Object {
        self.root
    }

    /// The services in the model's order.
    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceName, &'a Object)> {
        self.services.iter().map(|(name, body)| (name, *body))
    }

    pub(super) fn service(&self, wanted: &ServiceName) -> Option<&'a Object> {
        self.services().find(|(name, _)| *name == wanted).map(|(_, body)| body)
    }

    /// The service of this project that a container name means, if it is one of this project's.
    pub(super) fn service_of_container(&self, container: &str) -> Option<&ServiceName> {
        self.container_names.get(container)
    }

    /// A top-level map such as `networks`; each entry may be null, which counts as empty.
    pub(super) fn section(&self, key: &str) -> impl Iterator<Item = (&'a String, Object)> {
        let entries = self.root.get(key).and_then(Value::as_object);
        entries
            .into_iter()
            .flatten()
            .map(|(key, value)| (key, value.as_object().cloned().unwrap_or_default()))
    }

    /// How a service is connected, with container names of this project made services.
    pub(super) fn networking(&self, service: &Object) -> Networking {
        let Some(mode) = service.get("network_mode").and_then(text).filter(|m| !m.is_empty())
        else {
            return Networking::Joins(network_keys(service));
        };
        match Namespace::parse(&mode) {
            Namespace::Service(name) => Networking::OfService(name.to_owned()),
            Namespace::Container(container) => match self.service_of_container(container) {
                Some(name) => Networking::OfService(name.as_str().to_owned()),
                None => Networking::Kept(mode.clone()),
            },
            Namespace::Host if label(service, "network").as_deref() == Some("host") => {
                Networking::Host
            }
            Namespace::Host | Namespace::Other("bridge" | "default") => Networking::Replaced(mode),
            Namespace::Other("none") => Networking::None,
            Namespace::Other(_) => Networking::Kept(mode),
        }
    }
}

/// How a service is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Networking {
    /// It joins the project's networks with these keys.
    Joins(Vec<String>),
    /// Its mode, such as `host`, cannot be had twice; it joins the default network instead.
    Replaced(String),
    /// It lives in another service's network namespace.
    OfService(String),
    /// It keeps the host's network, because a label says so.
    Host,
    /// It has none.
    None,
    /// Something of the machine's, which is kept.
    Kept(String),
}

impl Networking {
    /// The keys of the networks in which the service has an address.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Joins(keys) => keys.clone(),
            Self::Replaced(_) => vec![DEFAULT_NETWORK.to_owned()],
            _ => Vec::new(),
        }
    }

    /// The same for a relay, which has to be reachable whatever it stands in for.
    pub(super) fn relay_keys(&self) -> Vec<String> {
        match self {
            Self::Joins(keys) => keys.clone(),
            _ => vec![DEFAULT_NETWORK.to_owned()],
        }
    }
}

/// A value such as `service:db`, of `network_mode`, `pid` and `ipc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace<'a> {
    Service(&'a str),
    Container(&'a str),
    Host,
    Other(&'a str),
}

impl<'a> Namespace<'a> {
    pub(super) fn parse(mode: &'a str) -> Self {
        match mode.split_once(':') {
            Some(("service", name)) => Self::Service(name),
            Some(("container", name)) => Self::Container(name),
            _ if mode == "host" => Self::Host,
            _ => Self::Other(mode),
        }
    }
}

/// A scalar as text; null, lists and maps are none.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A scalar or a list of scalars.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(text).collect(),
        Some(other) => text(other).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The keys of a map, or the items of a list.
pub(super) fn keys(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        other => texts(other),
    }
}

/// Undoes the escape of `$`, with which compose protects its output from being read again.
pub(super) fn plain(text: &str) -> String {
    text.replace("$$", "$")
}

/// Protects text from compose's interpolation.
pub(super) fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

/// The labels of a service, network or volume, from a map or a list, unescaped.
pub(super) fn labels(object: &Object) -> BTreeMap<String, String> {
    match object.get("labels") {
        Some(Value::Object(map)) => map
            .iter()
            .map(|(key, value)| (plain(key), plain(&text(value).unwrap_or_default())))
            .collect(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(text)
            .map(|item| {
                let (key, value) = item.split_once('=').unwrap_or((&item, ""));
                (plain(key), plain(value))
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Keeps the labels for which `keep` holds, and sets some.
pub(super) fn relabel(body: &mut Object, keep: impl Fn(&str) -> bool, set: &[(&str, String)]) {
    let mut all = labels(body);
    all.retain(|label, _| keep(label));
    all.extend(set.iter().map(|(label, value)| ((*label).to_owned(), value.clone())));
    if all.is_empty() {
        body.shift_remove("labels");
        return;
    }
    let all: Object = all
        .into_iter()
        .map(|(label, value)| (escaped(&label), Value::String(escaped(&value))))
        .collect();
    body.insert("labels".to_owned(), Value::Object(all));
}

/// One of our labels without its prefix; `dwell.` wins over `cilo.`.
pub(super) fn label(service: &Object, key: &str) -> Option<String> {
    let labels = labels(service);
    ["dwell", "cilo"].iter().find_map(|prefix| labels.get(&format!("{prefix}.{key}")).cloned())
}

/// Whether a label says yes.
pub(super) fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

fn network_keys(service: &Object) -> Vec<String> {
    let found = keys(service.get("networks"));
    if found.is_empty() { vec![DEFAULT_NETWORK.to_owned()] } else { found }
}

/// How many containers a service has.
pub(super) fn replicas(service: &Object) -> u32 {
    let count = |value: &Value| text(value)?.parse().ok();
    let deployed = service.get("deploy").and_then(|deploy| deploy.get("replicas"));
    service.get("scale").and_then(count).or_else(|| deployed.and_then(count)).unwrap_or(1)
}

/// Whether a network, volume, secret or config is made outside the project.
pub(super) fn is_external(object: &Object) -> bool {
    match object.get("external") {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::Object(_)) => true,
        Some(other) => text(other).is_some_and(|value| is_true(&value)),
        None => false,
    }
}

/// The service names in `volumes_from` or `links` entries (`db`, `db:ro`, `db:alias`).
pub(super) fn head(entry: &str) -> &str {
    entry.split_once(':').map_or(entry, |(head, _)| head)
}
