//! Why services cannot be placed as asked.

use std::fmt;

use crate::name::{NodeName, ServiceName};

/// Who placed a service where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A flag, now or earlier.
    Flag,
    /// `[place]` in `dwell.toml`.
    Project,
    /// A label of the service.
    Label,
    /// Nobody: services run here where nothing else is said.
    Default,
}

/// Why services cannot be placed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// A flag names a service that the project does not have.
    #[error("{flag} names `{service}`, which is not in the project or its profile is not active{}", meant(suggestion.as_ref()))]
    UnknownService {
        /// The flag.
        flag: &'static str,
        /// The service named.
        service: ServiceName,
        /// What was probably meant.
        suggestion: Option<ServiceName>,
    },
    /// A service is placed on a node that is not known here.
    #[error("service `{service}` is placed on `{node}` by {origin}, but no such node is known{}", meant(suggestion.as_ref()))]
    UnknownNode {
        /// The service.
        service: ServiceName,
        /// The node.
        node: NodeName,
        /// Who places it there.
        origin: Source,
        /// What was probably meant.
        suggestion: Option<NodeName>,
    },
    /// Services are to run elsewhere, but nothing says where.
    #[error("nothing says on which node {} should run", list(services))]
    NoHost {
        /// The services.
        services: Vec<ServiceName>,
    },
    /// `--remote-host` was given alone.
    #[error("--remote-host names `{node}`, but no --remote-services say what should run there")]
    HostWithoutServices {
        /// The node.
        node: NodeName,
    },
    /// `--remote` and `--remote-host` name different nodes.
    #[error("--remote names `{remote}` and --remote-host `{remote_host}`")]
    TwoHosts {
        /// The node of `--remote`.
        remote: NodeName,
        /// The node of `--remote-host`.
        remote_host: NodeName,
    },
    /// Two flags place one service on different nodes.
    #[error(
        "service `{service}` is placed on `{first_node}` by {first} and on `{second_node}` by {second}"
    )]
    Contradiction {
        /// The service.
        service: ServiceName,
        /// The first flag.
        first: &'static str,
        /// Its node.
        first_node: NodeName,
        /// The other flag.
        second: &'static str,
        /// Its node.
        second_node: NodeName,
    },
    /// Services that have to be together are on different nodes.
    #[error(
        "services `{first}` (on `{first_node}`) and `{second}` (on `{second_node}`) have to run on one node: {setting}"
    )]
    Apart {
        /// The one that needs the other, or the first by name.
        first: ServiceName,
        /// Its node.
        first_node: NodeName,
        /// The other.
        second: ServiceName,
        /// Its node.
        second_node: NodeName,
        /// The setting that ties them.
        setting: String,
    },
}

impl PlacementError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownService { .. } => "`dwell status` lists the services".to_owned(),
            Self::UnknownNode { service, node, .. } => format!(
                "add it with `dwell remote add {node} --host HOST`, or keep the service here with `--place {service}=local`"
            ),
            Self::NoHost { .. } => "name the node with `--remote-host NODE`".to_owned(),
            Self::HostWithoutServices { node } => format!(
                "name them with `--remote-services`, or use `--remote {node}` for all services"
            ),
            Self::TwoHosts { .. } => {
                "give one of them, and `--place SERVICE=NODE` for what runs elsewhere".to_owned()
            }
            Self::Contradiction { service, .. } => {
                format!("name `{service}` once")
            }
            Self::Apart { first, first_node, second, second_node, .. } => {
                format!("use `--place {second}={first_node}` or `--place {first}={second_node}`")
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "a flag",
            Self::Project => "dwell.toml",
            Self::Label => "its label",
            Self::Default => "default",
        })
    }
}

fn meant<T: fmt::Display>(suggestion: Option<&T>) -> String {
    suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn list(services: &[ServiceName]) -> String {
    services.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
