//! Forwards: ports of this machine that lead to ports of a workspace or of an environment's
//! services. What people write for them, and what is kept of those that the daemon holds.

mod range;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{EnvironmentId, EnvironmentName, ProjectName, ServiceName, WorkspaceId, WorkspaceName};

pub use range::PortRange;

/// Text that is not what a forward looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// A number that is no port.
    #[error("`{0}` is not a port: 1 to 65535 are, and ranges such as 3000-3010")]
    Port(String),
    /// Something else.
    #[error("`{0}` is not [LOCAL:][SERVICE:]PORT, as in 3000, 8080:80 or 8080:web:80")]
    Shape(String),
    /// Two ranges that do not fit.
    #[error("`{text}` has {local} ports on this side and {far} on the other")]
    Length {
        /// What was given.
        text: String,
        /// How many ports on this machine.
        local: usize,
        /// How many there.
        far: usize,
    },
    /// One port for two.
    #[error("port {0} of this machine would lead to two places")]
    Twice(u16),
    /// A service that the environment does not have.
    #[error("the environment has no service `{0}`")]
    NoService(ServiceName),
    /// No service listens there, or several do.
    #[error("which service's port {port}? Say it as in `{example}:{port}`")]
    WhichService {
        /// The port.
        port: u16,
        /// A service, to show how it is said.
        example: String,
    },
    /// A workspace has no services.
    #[error("`{0}` names a service, and a workspace has none")]
    InWorkspace(ServiceName),
}

/// What a person writes: `[LOCAL:][SERVICE:]PORT`, each port a range or a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    local: Option<PortRange>,
    service: Option<ServiceName>,
    ports: PortRange,
    text: String,
}

impl Wish {
    /// The service that it names.
    pub fn service(&self) -> Option<&ServiceName> {
        self.service.as_ref()
    }

    /// Each single port of it.
    fn ports(&self) -> impl Iterator<Item = Wanted> {
        let any = self.local.is_some_and(PortRange::is_any);
        let first = self.local.unwrap_or(self.ports).first();
        self.ports.iter().zip(0..).map(move |(port, place)| Wanted {
            local: if any { 0 } else { first.saturating_add(place) },
            service: self.service.clone(),
            port,
        })
    }
}

impl FromStr for Wish {
    type Err = ForwardError;

    fn from_str(text: &str) -> Result<Self, ForwardError> {
        let shape = || ForwardError::Shape(text.to_owned());
        let parts: Vec<&str> = text.split(':').collect();
        let is_port = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
        let (local, service, port) = match parts.as_slice() {
            [port] => (None, None, port),
            [local, port] if is_port(local) => (Some(*local), None, port),
            [service, port] => (None, Some(*service), port),
            [local, service, port] => (Some(*local), Some(*service), port),
            _ => return Err(shape()),
        };
        let local = local.map(PortRange::local).transpose()?;
        let ports = PortRange::far(port)?;
        if let Some(local) = local.filter(|local| !local.is_any() && local.len() != ports.len()) {
            let (local, far) = (local.len(), ports.len());
            return Err(ForwardError::Length { text: text.to_owned(), local, far });
        }
        let service = service.map(str::parse).transpose().map_err(|_| shape())?;
        Ok(Self { local, service, ports, text: text.to_owned() })
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One port of this machine, and where it is to lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The port here; 0 for one that is free.
    pub local: u16,
    /// The service of the environment.
    pub service: Option<ServiceName>,
    /// The port there.
    pub port: u16,
}

/// The single ports of wishes for a workspace.
pub fn of_workspace(wishes: &[Wish]) -> Result<Vec<Wanted>, ForwardError> {
    if let Some(service) = wishes.iter().find_map(Wish::service) {
        return Err(ForwardError::InWorkspace(service.clone()));
    }
    distinct(wishes.iter().flat_map(Wish::ports).collect())
}

/// The single ports of wishes for an environment, whose services say these ports. One without a
/// service is the service's that says it, where only one does.
pub fn of_environment(
    wishes: &[Wish],
    services: &[(ServiceName, Vec<u16>)],
) -> Result<Vec<Wanted>, ForwardError> {
    let mut all = Vec::new();
    for mut wanted in wishes.iter().flat_map(Wish::ports) {
        match &wanted.service {
            Some(name) if services.iter().any(|(known, _)| known == name) => {}
            Some(name) => return Err(ForwardError::NoService(name.clone())),
            None => wanted.service = Some(service_of(wanted.port, services)?),
        }
        all.push(wanted);
    }
    distinct(all)
}

fn service_of(
    port: u16,
    services: &[(ServiceName, Vec<u16>)],
) -> Result<ServiceName, ForwardError> {
    let mut say = services.iter().filter(|(_, ports)| ports.contains(&port));
    match (say.next(), say.next()) {
        (Some((name, _)), None) => Ok(name.clone()),
        (one, _) => {
            let example =
                one.or(services.first()).map_or("web".into(), |(name, _)| name.to_string());
            Err(ForwardError::WhichService { port, example })
        }
    }
}

fn distinct(all: Vec<Wanted>) -> Result<Vec<Wanted>, ForwardError> {
    let mut seen = BTreeSet::new();
    match all.iter().find(|wanted| wanted.local != 0 && !seen.insert(wanted.local)) {
        Some(twice) => Err(ForwardError::Twice(twice.local)),
        None => Ok(all),
    }
}

/// Where a forward leads. Names are as they were when it was made; identities count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = ForwardPlace))]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Place {
    /// A workspace.
    Workspace {
        /// Its identity.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        id: WorkspaceId,
        /// Its name.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        name: WorkspaceName,
    },
    /// A service of an environment.
    Service {
        /// The environment's identity.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        id: EnvironmentId,
        /// Its name.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        name: EnvironmentName,
        /// Its project.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        project: ProjectName,
        /// The service.
        #[cfg_attr(feature = "schema", schema(value_type = String))]
        service: ServiceName,
    },
}

impl Place {
    /// The identity of the workspace or the environment.
    pub fn id(&self) -> &str {
        match self {
            Self::Workspace { id, .. } => id.as_str(),
            Self::Service { id, .. } => id.as_str(),
        }
    }

    /// Whether people mean it by this name or identity.
    pub fn is_called(&self, word: &str) -> bool {
        let name = match self {
            Self::Workspace { name, .. } => name.as_str(),
            Self::Service { name, .. } => name.as_str(),
        };
        name == word || self.id() == word
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace { name, .. } => write!(f, "{name}"),
            Self::Service { name, service, .. } => write!(f, "{service}.{name}"),
        }
    }
}

/// A forward that the daemon holds until it is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Where it listens, which no two do.
    pub listen: SocketAddr,
    /// Where it leads.
    pub place: Place,
    /// The port there.
    pub port: u16,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
}
