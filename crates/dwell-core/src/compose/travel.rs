//! What has to be taken along so that services can run on another node, and what cannot be.
//! `develop` is left aside: it watches files while somebody edits them, which is done elsewhere.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::Value;

pub use error::{Obstacle, TravelError, Why};

use super::bond::pairs;
use super::error::IsolationError;
use super::model::{Model, Namespace, Networking, Object, head, is_external, plain, text, texts};
use super::note::{Note, NoteKind, Notes};
use super::rewrite::bind_source;
use super::storage::named_volumes;
use crate::config::HostPath;
use crate::name::ServiceName;
use crate::tree::{TreePath, lexical};

/// Files of a machine that any node has, and that mean the same there. A directory stands for all
/// below it.
const EVERYWHERE: [&str; 5] = [
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/zoneinfo",
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
];

/// Services that are to run on another node.
#[derive(Debug, Clone, Copy)]
pub struct Journey<'a> {
    /// The canonical model of the project.
    pub model: &'a Value,
    /// The services.
    pub services: &'a BTreeSet<ServiceName>,
    /// The absolute path of the source tree that the model was computed in.
    pub root: &'a Path,
    /// Paths that are the other node's own, each with all below it.
    pub host: &'a [HostPath],
}

/// What services need on another node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Travel {
    /// Paths of the source tree, by service.
    pub needs: Vec<Luggage>,
    /// What will be the other node's own.
    pub notes: Vec<Note>,
}

/// A path that a service needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Luggage {
    /// The service.
    pub service: ServiceName,
    /// The path.
    pub path: TreePath,
    /// What it is for.
    pub reason: Reason,
}

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is mounted.
    Mount,
    /// It is the data of a named volume.
    Volume,
    /// An image is built from it.
    Build,
    /// It says how an image is built.
    Dockerfile,
    /// It is a secret.
    Secret,
    /// It is a config.
    Config,
    /// It has variables.
    EnvFile,
    /// It has labels.
    LabelFile,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mount => "bind mount",
            Self::Volume => "data of a volume",
            Self::Build => "build context",
            Self::Dockerfile => "Dockerfile",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::EnvFile => "env file",
            Self::LabelFile => "label file",
        })
    }
}

/// Finds what services need on another node.
///
/// # Errors
/// When the model is not one, lacks one of the services, or when something cannot be taken along:
/// all of that is listed.
pub fn travel(journey: &Journey<'_>) -> Result<Travel, TravelError> {
    let model = Model::parse(journey.model)?;
    let mut all = Packing::default();
    for name in journey.services {
        let body = model.service(name);
        let body = body.ok_or_else(|| IsolationError::UnknownService { service: name.clone() })?;
        Packer { journey, model: &model, name, all: &mut all }.service(body);
    }
    let Packing { mut needs, mut obstacles, notes } = all;
    if !obstacles.is_empty() {
        obstacles.sort();
        obstacles.dedup();
        return Err(TravelError::Stuck { obstacles });
    }
    needs.sort();
    needs.dedup();
    Ok(Travel { needs, notes: notes.into_vec() })
}

/// The variables of the caller whose values become secrets or configs when containers are made:
/// compose does not write them into the model.
pub fn file_variables(model: &Value) -> BTreeSet<String> {
    let sections =
        ["secrets", "configs"].into_iter().filter_map(|name| model.get(name)?.as_object());
    let files = sections.flat_map(Object::values);
    files.filter_map(|file| file.get("environment").and_then(text)).collect()
}

#[derive(Default)]
struct Packing {
    needs: Vec<Luggage>,
    obstacles: Vec<Obstacle>,
    notes: Notes,
}

/// One service's settings, looked through.
struct Packer<'a> {
    journey: &'a Journey<'a>,
    model: &'a Model<'a>,
    name: &'a ServiceName,
    all: &'a mut Packing,
}

impl Packer<'_> {
    fn service(&mut self, body: &Object) {
        for mount in entries(body.get("volumes")) {
            if mount.get("type").and_then(Value::as_str) == Some("npipe") {
                let source = mount.get("source").and_then(text).unwrap_or_default();
                self.obstacle("volumes", source, Why::Pipe);
            }
            if let Some(source) = bind_source(mount) {
                self.path("volumes", &source, Reason::Mount);
            }
        }
        self.volumes(body);
        for (key, reason) in [("env_file", Reason::EnvFile), ("label_file", Reason::LabelFile)] {
            let listed = body.get(key).map(|files| match files {
                Value::Array(files) => files.iter().collect(),
                file => vec![file],
            });
            for file in listed.into_iter().flatten() {
                if let Some(path) = file.get("path").and_then(text).or_else(|| text(file)) {
                    self.path(key, &plain(&path), reason);
                }
            }
        }
        self.files(body);
        if let Some(build) = body.get("build") {
            self.build(build);
        }
        for device in entries(body.get("devices")) {
            let source = device.get("source").and_then(text).or_else(|| text(device));
            let source = plain(head(&source.unwrap_or_default()));
            if !self.is_there("devices", &source) {
                self.obstacle("devices", source, Why::Device);
            }
        }
        self.containers(body);
        self.machine(body);
    }

    fn obstacle(&mut self, key: impl Into<String>, value: impl Into<String>, why: Why) {
        let (service, key, value) = (self.name.clone(), key.into(), value.into());
        self.all.obstacles.push(Obstacle { service, key, value, why });
    }

    fn note(&mut self, text: String) {
        self.all.notes.service(NoteKind::Shared, self.name, text);
    }

    /// A path of this machine that a setting names: taken along where it is in the tree.
    fn path(&mut self, key: &str, given: &str, reason: Reason) -> Option<TreePath> {
        let path = Path::new(given);
        let is_socket = given.ends_with(".sock") || given.ends_with(".socket");
        match TreePath::of(self.journey.root, path) {
            Some(path) if !is_socket => {
                let service = self.name.clone();
                self.all.needs.push(Luggage { service, path: path.clone(), reason });
                Some(path)
            }
            _ if self.is_there(key, given) => None,
            _ => {
                let clean = lexical(path);
                let why = if is_socket {
                    Why::Socket
                } else if clean.starts_with("/dev") {
                    Why::Device
                } else {
                    Why::Outside
                };
                self.obstacle(key, given, why);
                None
            }
        }
    }

    /// Whether a path is one that the other node has itself.
    fn is_there(&mut self, key: &str, given: &str) -> bool {
        let clean = lexical(Path::new(given));
        let said = self.journey.host.iter().any(|path| clean.starts_with(path.as_path()));
        let there = said || EVERYWHERE.iter().any(|path| clean.starts_with(path));
        if there {
            self.note(format!("{key}: `{}` is the other node's", given.escape_debug()));
        }
        there
    }

    /// Named volumes: those that are a directory of the machine, and external ones.
    fn volumes(&mut self, body: &Object) {
        let mounted = named_volumes(body);
        let volumes: BTreeMap<_, _> =
            self.model.section("volumes").filter(|(key, _)| mounted.contains(*key)).collect();
        for (key, volume) in volumes {
            if is_external(&volume) {
                self.all.notes.add(
                    NoteKind::Shared,
                    format!("volume `{key}`"),
                    "it is external: the other node has to have it, with data of its own",
                );
            }
            let option = |name| {
                volume
                    .get("driver_opts")
                    .and_then(|o| o.get(name))
                    .and_then(text)
                    .map(|t| plain(&t))
            };
            let bound =
                option("o").is_some_and(|o| o.split(',').any(|word| word.ends_with("bind")));
            if let Some(device) = option("device").filter(|_| bound) {
                self.path(&format!("volumes.{key}.driver_opts.device"), &device, Reason::Volume);
            }
        }
    }

    /// Secrets and configs that the service or its build uses.
    fn files(&mut self, body: &Object) {
        let build = body.get("build").and_then(|build| build.get("secrets"));
        for (section, reason) in [("secrets", Reason::Secret), ("configs", Reason::Config)] {
            let mut used = sources(body.get(section));
            if section == "secrets" {
                used.extend(sources(build));
            }
            for (key, file) in self.model.section(section).filter(|(key, _)| used.contains(*key)) {
                if let Some(path) = file.get("file").and_then(text) {
                    self.path(&format!("{section}.{key}.file"), &plain(&path), reason);
                }
            }
        }
    }

    fn build(&mut self, build: &Value) {
        let context = build.get("context").and_then(text).or_else(|| text(build));
        let context = plain(&context.unwrap_or_default());
        // Anything else than an absolute path is fetched from somewhere by the engine.
        if context.starts_with('/') {
            let within = self.path("build.context", &context, Reason::Build);
            if let Some(file) = build.get("dockerfile").and_then(text) {
                self.dockerfile(&context, within.as_ref(), &plain(&file));
            }
        }
        for (key, value) in pairs(build.get("additional_contexts")) {
            let value = plain(&value);
            let setting = format!("build.additional_contexts.{key}");
            if value.starts_with('/') {
                self.path(&setting, &value, Reason::Build);
            } else if value.starts_with("oci-layout:") {
                self.obstacle(setting, value, Why::ImageDirectory);
            }
        }
        let agents = match build.get("ssh") {
            Some(Value::Object(map)) => map.keys().cloned().collect(),
            other => texts(other),
        };
        for agent in agents {
            self.obstacle("build.ssh", plain(&agent), Why::SshAgent);
        }
    }

    fn dockerfile(&mut self, context: &str, within: Option<&TreePath>, file: &str) {
        let path = lexical(&Path::new(context).join(file));
        let inside = TreePath::of(self.journey.root, &path)
            .is_some_and(|path| within.is_some_and(|context| context.contains(&path)));
        if !inside && !path.starts_with(lexical(Path::new(context))) {
            self.path("build.dockerfile", &path.to_string_lossy(), Reason::Dockerfile);
        }
    }

    /// Containers outside the project.
    fn containers(&mut self, body: &Object) {
        let mut found = Vec::new();
        if let Networking::Kept(mode) = self.model.networking(body) {
            found.extend(mode.strip_prefix("container:").map(|c| ("network_mode", c.to_owned())));
        }
        for key in ["pid", "ipc"] {
            let mode = body.get(key).and_then(text).unwrap_or_default();
            if let Namespace::Container(container) = Namespace::parse(&mode) {
                found.push((key, container.to_owned()));
            }
        }
        for entry in texts(body.get("volumes_from")) {
            let container = entry.strip_prefix("container:").map(|rest| head(rest).to_owned());
            found.extend(container.map(|container| ("volumes_from", container)));
        }
        for entry in texts(body.get("external_links")) {
            found.push(("external_links", head(&entry).to_owned()));
        }
        for (key, container) in found {
            if self.model.service_of_container(&container).is_none() {
                self.obstacle(key, container, Why::Container);
            }
        }
    }

    /// What means another machine there than here.
    fn machine(&mut self, body: &Object) {
        if texts(body.get("extra_hosts")).iter().any(|host| host.ends_with("host-gateway")) {
            self.note("`host-gateway` is the other node, not this machine".to_owned());
        }
        let networks: BTreeMap<_, _> = self.model.section("networks").collect();
        for key in self.model.networking(body).keys() {
            if networks.get(&key).is_some_and(is_external) {
                let text = "it is external: the other node has to have it";
                self.all.notes.network(NoteKind::Shared, &key, text);
            }
        }
        for (key, value) in pairs(body.get("environment")) {
            let value = plain(&value);
            if value.starts_with('/')
                && TreePath::of(self.journey.root, Path::new(&value)).is_some()
            {
                self.note(format!("its variable `{key}` holds a path of this machine"));
            }
        }
    }
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The sources of `secrets` or `configs` entries, from the long or the short form.
fn sources(value: Option<&Value>) -> BTreeSet<String> {
    entries(value)
        .filter_map(|entry| entry.get("source").and_then(text).or_else(|| text(entry)))
        .collect()
}
