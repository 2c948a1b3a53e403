//! What a command line says about placement, and what is kept of it for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::PlacementError;
use crate::name::{NameError, NodeName, ServiceName};

/// The flags about placement of one command, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Flags {
    /// `--remote`: the node for all services, or for `--remote-services` where those are given.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub remote: Option<NodeName>,
    /// `--remote-services`: the only ones that `--remote` or `--remote-host` is for.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub remote_services: Vec<ServiceName>,
    /// `--remote-host`: the node for `--remote-services`.
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub remote_host: Option<NodeName>,
    /// `--local-services`: these stay here.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub local_services: Vec<ServiceName>,
    /// `--place`: one service, one node.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub place: Vec<Assignment>,
    /// `--reverse`: services here that those on other nodes may reach.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<String>))]
    pub reverse: Vec<ServiceName>,
    /// `--agent`: where the agent works.
    pub agent: Option<AgentPlace>,
}

/// Where the agent of an environment works whose services are all on another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AgentPlace {
    /// On this machine, with the tree.
    Local,
    /// Where the services are.
    Remote,
}

/// One service and its node, written `service=node`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Assignment {
    /// The service.
    pub service: ServiceName,
    /// Its node.
    pub node: NodeName,
}

/// Text that is not `service=node`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// There is no `=`.
    #[error("`{given}` is not SERVICE=NODE")]
    Form {
        /// The text given, escaped.
        given: String,
    },
    /// One of the names cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What was chosen by flags, kept with an environment. A later command without flags finds it,
/// one with flags changes what they name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choices {
    /// The node for every service that is not named below.
    pub every: Option<NodeName>,
    /// Services that were named.
    pub services: BTreeMap<ServiceName, NodeName>,
    /// Services that were opened to other nodes.
    pub reverse: BTreeSet<ServiceName>,
    /// Where the agent works.
    pub agent: Option<AgentPlace>,
}

impl FromStr for Assignment {
    type Err = AssignmentError;
    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        let form = || AssignmentError::Form { given: text.escape_debug().to_string() };
        let (service, node) = text.split_once('=').ok_or_else(form)?;
        Ok(Self { service: service.trim().parse()?, node: node.trim().parse()? })
    }
}

crate::text::as_text!(Assignment);

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.service, self.node)
    }
}

impl FromStr for AgentPlace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "remote" => Ok(Self::Remote),
            _ => Err(format!("`{}` is not local or remote", text.escape_debug())),
        }
    }
}

impl Flags {
    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The services that are named, each with the flag.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &ServiceName)> {
        let of = |flag: &'static str| move |name| (flag, name);
        let place = self.place.iter().map(|assignment| &assignment.service);
        self.remote_services
            .iter()
            .map(of("--remote-services"))
            .chain(self.local_services.iter().map(of("--local-services")))
            .chain(place.map(of("--place")))
            .chain(self.reverse.iter().map(of("--reverse")))
    }

    /// The node of each service that is named for one. `fallback` tells where a service would run
    /// without these flags, for `--remote-services` without a host.
    pub(super) fn assigned(
        &self,
        fallback: impl Fn(&ServiceName) -> Option<NodeName>,
    ) -> Result<BTreeMap<ServiceName, NodeName>, PlacementError> {
        let host = self.host()?;
        let mut all: Vec<(&'static str, &ServiceName, NodeName)> = Vec::new();
        let mut homeless = Vec::new();
        for name in &self.remote_services {
            match host.cloned().or_else(|| fallback(name)) {
                Some(node) => all.push(("--remote-services", name, node)),
                None => homeless.push(name.clone()),
            }
        }
        if !homeless.is_empty() {
            return Err(PlacementError::NoHost { services: homeless });
        }
        let local = self.local_services.iter();
        all.extend(local.map(|name| ("--local-services", name, NodeName::local())));
        let place = self.place.iter();
        all.extend(place.map(|Assignment { service, node }| ("--place", service, node.clone())));

        let mut found: BTreeMap<ServiceName, (&'static str, NodeName)> = BTreeMap::new();
        for (flag, name, node) in all {
            match found.get(name) {
                Some((first, earlier)) if *earlier != node => {
                    return Err(PlacementError::Contradiction {
                        service: name.clone(),
                        first,
                        first_node: earlier.clone(),
                        second: flag,
                        second_node: node,
                    });
                }
                Some(_) => {}
                None => {
                    found.insert(name.clone(), (flag, node));
                }
            }
        }
        Ok(found.into_iter().map(|(name, (_, node))| (name, node)).collect())
    }

    /// The node that `--remote-services` are for.
    fn host(&self) -> Result<Option<&NodeName>, PlacementError> {
        match (&self.remote_host, &self.remote) {
            (Some(host), _) if self.remote_services.is_empty() => {
                Err(PlacementError::HostWithoutServices { node: host.clone() })
            }
            (Some(host), Some(remote)) if host != remote => {
                Err(PlacementError::TwoHosts { remote: remote.clone(), remote_host: host.clone() })
            }
            (host, remote) => Ok(host.as_ref().or(remote.as_ref())),
        }
    }
}

impl Choices {
    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These choices, changed by flags. `--remote` speaks of all services, and forgets what was
    /// chosen before.
    pub(super) fn changed(
        mut self,
        flags: &Flags,
        assigned: BTreeMap<ServiceName, NodeName>,
    ) -> Self {
        if flags.remote.is_some() {
            let every = flags.remote.clone().filter(|_| flags.remote_services.is_empty());
            self = Self { every, services: BTreeMap::new(), ..self };
        }
        self.services.extend(assigned);
        self.reverse.extend(flags.reverse.iter().cloned());
        self.agent = flags.agent.or(self.agent);
        self
    }
}
