//! Who owns what is made: the prefix of private names, and the labels.

use serde_json::Value;

use super::model::{Object, escaped, labels};
use crate::id::{EnvironmentId, Generation, NodeId, SharedId};
use crate::name::{EnvironmentName, ProjectName, ServiceName};

/// What a container is to its environment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It runs the service.
    Service,
    /// It stands in for a service that runs elsewhere.
    Relay,
    /// It is a shared instance, which relays point to.
    Shared,
}

impl Role {
    /// The role as the value of the label `dwell.role`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Relay => "relay",
            Self::Shared => "shared",
        }
    }
}

/// The owner of what a model makes.
pub(super) struct Scope {
    prefix: String,
    labels: Vec<(&'static str, String)>,
    generation: Option<Generation>,
    user: Option<String>,
}

impl Scope {
    pub(super) fn environment(
        node: &NodeId,
        id: &EnvironmentId,
        project: &ProjectName,
        name: &EnvironmentName,
        generation: Generation,
        user: Option<&str>,
    ) -> Self {
        let labels = vec![
            ("dwell.node", node.to_string()),
            ("dwell.env", id.to_string()),
            ("dwell.project", project.to_string()),
            ("dwell.name", name.to_string()),
        ];
        let (prefix, user) = (format!("dwell-{id}"), user.map(str::to_owned));
        Self { prefix, labels, generation: Some(generation), user }
    }

    pub(super) fn shared(node: &NodeId, id: &SharedId, project: &ProjectName) -> Self {
        let labels = vec![
            ("dwell.node", node.to_string()),
            ("dwell.shared", id.to_string()),
            ("dwell.project", project.to_string()),
        ];
        Self { prefix: format!("dwell-shared-{id}"), labels, generation: None, user: None }
    }

    /// The Docker name of a network or volume of the owner's. It stays the same through all
    /// generations, so that data is found again.
    pub(super) fn private_name(&self, key: &str) -> String {
        format!("{}-{key}", self.prefix)
    }

    /// The tag of an image that the owner builds. Repository names are lower case.
    pub(super) fn image(&self, label: &str) -> String {
        format!("{}/{label}:latest", self.prefix)
    }

    /// Labels a network or volume. They carry no generation, because they outlive it, and a
    /// changed label would make newer versions of compose want to create them anew.
    pub(super) fn label(&self, object: &mut Object) {
        write(object, &self.labels);
    }

    /// Labels a container.
    pub(super) fn label_service(&self, service: &mut Object, name: &ServiceName, role: Role) {
        let mut all = self.labels.clone();
        if let Some(generation) = self.generation {
            all.push(("dwell.generation", generation.to_string()));
        }
        if let Some(user) = &self.user {
            all.push(("dwell.user", escaped(user)));
        }
        all.push(("dwell.service", name.to_string()));
        all.push(("dwell.role", role.as_str().to_owned()));
        write(service, &all);
    }
}

/// The labels by which dwell knows its own. A project cannot set them.
const IDENTITY: [&str; 9] = [
    "dwell.node",
    "dwell.env",
    "dwell.shared",
    "dwell.project",
    "dwell.name",
    "dwell.generation",
    "dwell.service",
    "dwell.role",
    "dwell.user",
];

/// Sets labels besides the user's own, which become a map if they were a list.
fn write(object: &mut Object, ours: &[(&str, String)]) {
    let mut all: Object = labels(object)
        .into_iter()
        .filter(|(key, _)| !IDENTITY.contains(&key.as_str()))
        .map(|(key, value)| (escaped(&key), Value::String(escaped(&value))))
        .collect();
    for (key, value) in ours {
        all.insert((*key).to_owned(), Value::String(value.clone()));
    }
    object.insert("labels".to_owned(), Value::Object(all));
}

/// The compose project name of one generation of an environment.
pub fn project_name(name: &EnvironmentName, id: &EnvironmentId, generation: Generation) -> String {
    format!("dwell-{name}-{id}-{generation}")
}

/// The compose project name of a shared instance.
pub fn shared_project_name(service: &ServiceName, id: &SharedId) -> String {
    format!("dwell-shared-{}-{id}", service.label())
}
