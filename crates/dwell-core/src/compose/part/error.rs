//! Why a project cannot be divided as it is placed.

use super::super::error::IsolationError;
use crate::name::{NodeName, ServiceName};

/// Why a project cannot be divided as it is placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] IsolationError),
    /// A service cannot do without another's container, which is on another node.
    #[error("service `{service}` has `{setting}`, but `{other}` runs on `{node}`")]
    Tied {
        /// The service.
        service: ServiceName,
        /// The other.
        other: ServiceName,
        /// The other's node.
        node: NodeName,
        /// The setting, as compose spells it.
        setting: String,
    },
    /// A service waits for the end of one that it cannot reach.
    #[error(
        "service `{service}` waits for `{other}` to complete, which runs on `{node}` and cannot be reached from there"
    )]
    Waits {
        /// The service.
        service: ServiceName,
        /// The other.
        other: ServiceName,
        /// The other's node.
        node: NodeName,
    },
    /// Nothing tells the ports of a service that is needed from another node.
    #[error(
        "service `{service}` on `{node}` cannot be reached by `{other}`: nothing tells its ports"
    )]
    NoPorts {
        /// The service without ports.
        service: ServiceName,
        /// Its node.
        node: NodeName,
        /// The one that needs it.
        other: ServiceName,
    },
    /// Two services have names that differ only in how a DNS label spells them.
    #[error(
        "service `{service}` has the same DNS label as another one; they have to run on one node, or one needs another name"
    )]
    Names {
        /// The service.
        service: ServiceName,
    },
}

impl PartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Model(_) => None,
            Self::Tied { service, other, node, .. } => Some(format!(
                "place both on one node: `--place {service}={node}`, or `--place` for `{other}`"
            )),
            Self::Waits { other, .. } => {
                Some(format!("`--reverse {other}` makes it reachable, or place both on one node"))
            }
            Self::NoPorts { service, .. } => {
                Some(format!("add `expose: [\"<port>\"]` to `{service}` in the compose file"))
            }
            Self::Names { .. } => Some("rename one of them in the compose file".to_owned()),
        }
    }
}
