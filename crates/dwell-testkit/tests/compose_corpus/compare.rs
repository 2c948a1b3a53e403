//! Two runs of one project compared by what the engine says of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::project::Copy;

const CONFIG: [&str; 12] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "User",
    "WorkingDir",
    "Healthcheck",
    "StopSignal",
    "StopTimeout",
    "Tty",
    "OpenStdin",
    "ExposedPorts",
    "Volumes",
];

const HOST_CONFIG: [&str; 40] = [
    "RestartPolicy",
    "Memory",
    "MemorySwap",
    "MemoryReservation",
    "NanoCpus",
    "CpuShares",
    "CpusetCpus",
    "PidsLimit",
    "CapAdd",
    "CapDrop",
    "Ulimits",
    "Sysctls",
    "ShmSize",
    "ReadonlyRootfs",
    "Dns",
    "DnsSearch",
    "DnsOptions",
    "ExtraHosts",
    "LogConfig",
    "Tmpfs",
    "PidMode",
    "IpcMode",
    "UTSMode",
    "UsernsMode",
    "CgroupnsMode",
    "CgroupParent",
    "Privileged",
    "Devices",
    "DeviceCgroupRules",
    "SecurityOpt",
    "GroupAdd",
    "OomScoreAdj",
    "OomKillDisable",
    "Init",
    "Runtime",
    "VolumesFrom",
    "MaskedPaths",
    "NetworkMode",
    "Isolation",
    "StorageOpt",
];

/// One run: what its containers, networks and volumes are, in a form free of names and ids.
pub(crate) struct Seen {
    /// By `service replica`, then by field.
    containers: BTreeMap<String, BTreeMap<String, Value>>,
    /// By `network key` and `volume key`, then by field.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
}

fn label<'a>(container: &'a Value, key: &str) -> &'a str {
    container["Config"]["Labels"][format!("com.docker.compose.{key}")].as_str().unwrap_or_default()
}

/// The user's labels: not compose's, and not the ones by which dwell knows its own.
fn user_labels(labels: &Value) -> Value {
    let ours = ["node", "env", "generation", "project", "name", "service", "role"];
    let ours: BTreeSet<_> = ours.iter().map(|key| format!("dwell.{key}")).collect();
    let labels = labels.as_object().cloned().unwrap_or_default();
    let keep = |key: &String| !key.starts_with("com.docker.compose.") && !ours.contains(key);
    Value::Object(labels.into_iter().filter(|(key, _)| keep(key)).collect())
}

pub(crate) fn see(copy: &Copy, containers: &[Value]) -> Result<Seen, String> {
    let named = containers.iter().flat_map(|container| {
        let service = label(container, "service");
        let name = container["Name"].as_str().unwrap().trim_start_matches('/');
        [container["Id"].as_str().unwrap(), name]
            .map(|known| (known.to_owned(), service.to_owned()))
    });
    let services: BTreeMap<String, String> = named.collect();
    let networks = keys(&copy.model, "networks");
    let described = containers.iter().map(|container| {
        let name =
            format!("{} {}", label(container, "service"), label(container, "container-number"));
        (name, describe(container, &services, &networks))
    });
    let mut objects = BTreeMap::new();
    for (kind, fields) in [
        ("network", ["Driver", "Internal", "Attachable", "Options", "EnableIPv6"].as_slice()),
        ("volume", ["Driver", "Options"].as_slice()),
    ] {
        let known = keys(&copy.model, &format!("{kind}s"));
        for object in copy.objects(kind)? {
            let name = object["Name"].as_str().unwrap();
            let Some(key) = known.get(name) else { continue };
            let mut seen: BTreeMap<_, _> =
                fields.iter().map(|field| ((*field).to_owned(), object[*field].clone())).collect();
            seen.insert("Labels".to_owned(), user_labels(&object["Labels"]));
            objects.insert(format!("{kind} {key}"), seen);
        }
    }
    Ok(Seen { containers: described.collect(), objects })
}

/// Docker names of a section's entries, and their keys.
fn keys(model: &Value, section: &str) -> BTreeMap<String, String> {
    let entries = model.get(section).and_then(Value::as_object);
    let entries = entries.into_iter().flatten();
    entries.map(|(key, value)| (value["name"].as_str().unwrap().to_owned(), key.clone())).collect()
}

fn describe(
    container: &Value,
    services: &BTreeMap<String, String>,
    networks: &BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    let mut seen = BTreeMap::new();
    for field in CONFIG {
        seen.insert(format!("Config.{field}"), sorted(field, &container["Config"][field]));
    }
    for field in HOST_CONFIG {
        let value = nameless(&container["HostConfig"][field], services, networks);
        seen.insert(format!("HostConfig.{field}"), sorted(field, &value));
    }
    let hostname = container["Config"]["Hostname"].as_str().unwrap_or_default();
    let given = container["HostConfig"]["NetworkMode"] == "host" || is_id(hostname);
    seen.insert("Config.Hostname".to_owned(), if given { Value::Null } else { json!(hostname) });
    seen.insert("Config.Domainname".to_owned(), container["Config"]["Domainname"].clone());
    seen.insert("Config.Labels".to_owned(), user_labels(&container["Config"]["Labels"]));
    seen.insert("State".to_owned(), container["State"]["Status"].clone());
    seen.insert("ExitCode".to_owned(), container["State"]["ExitCode"].clone());
    let mounts = container["Mounts"].as_array().unwrap().iter().map(|mount| {
        let named = mount["Name"].as_str().is_some_and(|name| name.len() != 64);
        let parts = [
            &mount["Type"],
            &mount["Destination"],
            &mount["RW"],
            &mount["Driver"],
            &mount["Propagation"],
        ];
        format!("{} {named}", parts.map(Value::to_string).join(" "))
    });
    let mounts: BTreeSet<_> = mounts.collect();
    seen.insert("Mounts".to_owned(), json!(mounts));
    let joined = container["NetworkSettings"]["Networks"].as_object().unwrap();
    let mut hosts = Map::new();
    for (name, endpoint) in joined {
        let key = networks.get(name).unwrap_or(name);
        let pinned = endpoint["IPAMConfig"]["IPv4Address"].as_str();
        let host = pinned.map(|address| address.rsplit('.').next().unwrap().to_owned());
        hosts.insert(key.clone(), json!(host));
    }
    seen.insert("Networks".to_owned(), Value::Object(hosts));
    seen.insert("Aliases".to_owned(), aliases(container, joined, networks));
    seen
}

/// Whether text is a short container id, which the engine gives as host name and alias.
fn is_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The names a container answers to in each network, without the engine's own and container
/// names made of the compose project's.
fn aliases(
    container: &Value,
    joined: &Map<String, Value>,
    networks: &BTreeMap<String, String>,
) -> Value {
    let project = label(container, "project");
    let mut all = Map::new();
    for (name, endpoint) in joined {
        let mut names = BTreeSet::new();
        for alias in endpoint["Aliases"].as_array().into_iter().flatten() {
            let alias = alias.as_str().unwrap();
            if !is_id(alias) && !alias.starts_with(project) {
                names.insert(alias.to_owned());
            }
        }
        all.insert(networks.get(name).unwrap_or(name).clone(), json!(names));
    }
    Value::Object(all)
}

/// Container ids and network names replaced by services and keys.
fn nameless(
    value: &Value,
    services: &BTreeMap<String, String>,
    networks: &BTreeMap<String, String>,
) -> Value {
    match value {
        Value::String(text) => {
            if let Some(key) = networks.get(text) {
                return json!(format!("network {key}"));
            }
            let mut text = text.clone();
            for (id, service) in services {
                text = text.replace(id, service);
            }
            json!(text)
        }
        Value::Array(items) => {
            items.iter().map(|item| nameless(item, services, networks)).collect()
        }
        other => other.clone(),
    }
}

/// Lists whose order says nothing, in order.
fn sorted(field: &str, value: &Value) -> Value {
    let ordered = matches!(field, "Cmd" | "Entrypoint" | "Healthcheck" | "Dns" | "DnsSearch");
    match value {
        Value::Array(items) if !ordered => {
            let mut items = items.clone();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// Whether one run's aliases are all there in the other's, which has more.
fn has_aliases(plain: &Value, isolated: &Value) -> bool {
    plain.as_object().unwrap().iter().all(|(network, names)| {
        let there = isolated[network].as_array().cloned().unwrap_or_default();
        names.as_array().unwrap().iter().all(|name| there.contains(name))
    })
}

/// What differs between the plain run and an environment, one line each.
pub(crate) fn differences(plain: &Seen, isolated: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    for (mine, theirs) in
        [(&plain.containers, &isolated.containers), (&plain.objects, &isolated.objects)]
    {
        let names: BTreeSet<_> = mine.keys().chain(theirs.keys()).collect();
        for name in names {
            match (mine.get(name), theirs.get(name)) {
                (Some(a), Some(b)) => {
                    for (field, value) in a {
                        let other = &b[field];
                        let same = if field == "Aliases" {
                            has_aliases(value, other)
                        } else {
                            value == other
                        };
                        if !same {
                            found.push(format!("{name}: {field}: {value} is {other}"));
                        }
                    }
                }
                (Some(_), None) => found.push(format!("{name}: is missing")),
                _ => found.push(format!("{name}: is extra")),
            }
        }
    }
    found
}
