//! One service of the project made one of the environment's. What is not about isolation is not
//! touched.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::image::Images;
use super::model::{Model, Namespace, Networking, Object, head, plain, text, texts};
use super::networks::{Networks, attach};
use super::note::{NoteKind, Notes};
use super::port::expose;
use super::scope::{Role, Scope};
use crate::name::ServiceName;

/// Everything that the services of one environment have in common.
pub(super) struct Rewriter<'a> {
    pub(super) model: &'a Model<'a>,
    pub(super) scope: &'a Scope,
    pub(super) directory: &'a Path,
    pub(super) networks: &'a Networks,
    pub(super) images: &'a Images,
    /// The names that each service's containers answer to, besides the service's own.
    pub(super) aliases: &'a BTreeMap<ServiceName, Vec<String>>,
}

impl Rewriter<'_> {
    /// The service as it runs in the environment.
    pub(super) fn service(&self, name: &ServiceName, body: &Object, notes: &mut Notes) -> Object {
        let mut out = body.clone();
        self.connect(name, &mut out, notes);
        for key in ["ports", "container_name", "profiles"] {
            out.shift_remove(key);
        }
        self.images.apply(name, &mut out);
        self.namespaces(name, &mut out, notes);
        self.links(name, &mut out, notes);
        self.volumes_from(name, &mut out, notes);
        report_machine(self.directory, name, body, notes);
        self.scope.label_service(&mut out, name, Role::Service);
        out
    }

    /// The relay with the service's place in the networks.
    pub(super) fn relay(&self, name: &ServiceName, given: &Object, mut relay: Object) -> Object {
        let keys = self.model.networking(given).relay_keys();
        let mut networks = self.attached(name, &keys, given);
        if let Some(Value::Object(outer)) = relay.shift_remove("networks") {
            networks.extend(outer);
        }
        relay.insert("networks".to_owned(), Value::Object(networks));
        self.scope.label_service(&mut relay, name, Role::Relay);
        relay
    }

    fn attached(&self, name: &ServiceName, keys: &[String], given: &Object) -> Object {
        let aliases = self.aliases.get(name).map_or(&[] as &[String], Vec::as_slice);
        attach(self.networks, keys, given.get("networks"), aliases)
    }

    /// Networks and `expose`, by the way in which the service is connected.
    fn connect(&self, name: &ServiceName, out: &mut Object, notes: &mut Notes) {
        let networking = self.model.networking(out);
        let exposed = expose(out);
        match &networking {
            Networking::Joins(keys) => {
                let networks = self.attached(name, keys, out);
                out.insert("networks".to_owned(), Value::Object(networks));
            }
            Networking::Replaced(mode) => {
                let hint = if mode == "host" {
                    "cannot be had by several environments; it joins the default network instead \
                     (the label `dwell.network=host` keeps the host's)"
                } else {
                    "is the machine's; it joins the default network instead"
                };
                let text = format!("`network_mode: {mode}` {hint}");
                notes.service(NoteKind::Changed, name, text);
                let networks = self.attached(name, &networking.keys(), out);
                out.shift_remove("network_mode");
                out.insert("networks".to_owned(), Value::Object(networks));
            }
            Networking::OfService(owner) => {
                out.insert("network_mode".to_owned(), json!(format!("service:{owner}")));
                return;
            }
            Networking::Host => {
                notes.service(
                    NoteKind::Shared,
                    name,
                    "it uses the host's network, as its label asks",
                );
            }
            Networking::Kept(mode) => {
                let text =
                    format!("`network_mode: {mode}` joins a network outside the environment");
                notes.service(NoteKind::Shared, name, text);
                return;
            }
            Networking::None => return,
        }
        if !exposed.is_empty() {
            out.insert("expose".to_owned(), Value::Array(exposed));
        }
    }

    /// `pid`, `ipc` and their like: containers of this project become services, what belongs to
    /// the machine is reported.
    fn namespaces(&self, name: &ServiceName, out: &mut Object, notes: &mut Notes) {
        for key in ["pid", "ipc", "uts", "userns_mode", "cgroup"] {
            let Some(mode) = out.get(key).and_then(text) else { continue };
            match Namespace::parse(&mode) {
                Namespace::Host => {
                    notes.service(
                        NoteKind::Shared,
                        name,
                        format!("`{key}: host` is the machine's"),
                    );
                }
                Namespace::Container(container) => {
                    if let Some(owner) = self.model.service_of_container(container) {
                        out.insert(key.to_owned(), json!(format!("service:{owner}")));
                    } else {
                        let text =
                            format!("`{key}: {mode}` is a container outside the environment");
                        notes.service(NoteKind::Shared, name, text);
                    }
                }
                Namespace::Service(_) | Namespace::Other(_) => {}
            }
        }
    }

    /// `external_links`: containers of this project become services, others are reported.
    fn links(&self, name: &ServiceName, out: &mut Object, notes: &mut Notes) {
        let mut links = texts(out.get("links"));
        let mut outside = Vec::new();
        for entry in texts(out.get("external_links")) {
            if let Some(service) = self.model.service_of_container(head(&entry)) {
                let alias = entry.rsplit(':').next().unwrap_or(&entry);
                links.push(format!("{service}:{alias}"));
            } else {
                let text = format!("it is linked to `{}`, outside the environment", head(&entry));
                notes.service(NoteKind::Shared, name, text);
                outside.push(entry);
            }
        }
        for (key, entries) in [("links", links), ("external_links", outside)] {
            if entries.is_empty() {
                out.shift_remove(key);
            } else {
                out.insert(key.to_owned(), json!(entries));
            }
        }
    }

    fn volumes_from(&self, name: &ServiceName, out: &mut Object, notes: &mut Notes) {
        let mut entries = texts(out.get("volumes_from"));
        for entry in &mut entries {
            let Some(rest) = entry.strip_prefix("container:") else { continue };
            let container = head(rest);
            if let Some(service) = self.model.service_of_container(container) {
                *entry = rest.replacen(container, service.as_str(), 1);
            } else {
                let text = format!("it uses the volumes of `{container}`, outside the environment");
                notes.service(NoteKind::Shared, name, text);
            }
        }
        if !entries.is_empty() {
            out.insert("volumes_from".to_owned(), json!(entries));
        }
    }
}

/// Reports what a service uses of the machine: directories outside the project, devices, rights.
pub(super) fn report_machine(
    directory: &Path,
    name: &ServiceName,
    service: &Object,
    notes: &mut Notes,
) {
    for mount in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        let Some(source) = bind_source(mount) else { continue };
        let text = if source.ends_with("docker.sock") {
            format!("it is given `{source}`, and with it the whole Docker engine")
        } else if Path::new(&source).starts_with(directory) {
            continue;
        } else {
            format!("it mounts `{source}`, which is outside the project and the same for all")
        };
        notes.service(NoteKind::Shared, name, text);
    }
    for device in service.get("devices").and_then(Value::as_array).into_iter().flatten() {
        let source = device.get("source").and_then(text).or_else(|| text(device));
        let source = source.unwrap_or_default();
        let text = format!("it uses the machine's device `{}`", head(&plain(&source)));
        notes.service(NoteKind::Shared, name, text);
    }
    if service.get("privileged").and_then(Value::as_bool).unwrap_or(false) {
        notes.service(NoteKind::Shared, name, "it is privileged: it can reach all of the machine");
    }
}

/// The directory or file of the machine that a mount shows, from the long or the short form.
pub(super) fn bind_source(mount: &Value) -> Option<String> {
    let source = match mount {
        Value::Object(long) => {
            let kind = long.get("type").and_then(Value::as_str).unwrap_or_default();
            long.get("source").and_then(text).filter(|_| kind == "bind")
        }
        short => text(short).and_then(|short| {
            let (source, _) = short.split_once(':')?;
            source.starts_with(['/', '.', '~']).then(|| source.to_owned())
        }),
    };
    source.map(|source| plain(&source))
}
