//! Why a project cannot be isolated, or a service not shared.

use ipnet::Ipv4Net;

use crate::name::{NameError, ServiceName};

/// Why a project cannot be isolated, or one of its services not shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// The model is not what `docker compose config --format json` prints.
    #[error("the compose model's {object} is not {expected}")]
    Model {
        /// Which part of it.
        object: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A service's name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A service that was named is not in the project, or its profile is not active.
    #[error("service `{service}` is not in the project, or its profile is not active")]
    UnknownService {
        /// The service asked for.
        service: ServiceName,
    },
    /// A label has a value that it cannot have.
    #[error("service `{service}`: label `{label}` has the value `{value}`: {why}")]
    Label {
        /// The service that carries it.
        service: ServiceName,
        /// The label's key.
        label: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No subnet was given for a network.
    #[error("network `{network}` has no subnet")]
    NoSubnet {
        /// The network's key in the project.
        network: String,
    },
    /// A subnet has too few addresses for the pinned ones.
    #[error("network `{network}`: subnet {subnet} is too small for its pinned addresses")]
    SubnetTooSmall {
        /// The network's key in the project.
        network: String,
        /// The subnet given.
        subnet: Ipv4Net,
    },
    /// A service needs something of another that a relay in its place cannot give.
    #[error("service `{service}` has `{what}`, but `{relay}` runs elsewhere; isolate `{relay}`")]
    NeedsBody {
        /// The service that needs it.
        service: ServiceName,
        /// The service that a relay stands in for.
        relay: ServiceName,
        /// The setting, as compose spells it.
        what: String,
    },
    /// A service waits for a state that a relay never reaches.
    #[error(
        "service `{service}` waits for `{relay}` to be `{condition}`, which its relay never is"
    )]
    NeverReached {
        /// The service that waits.
        service: ServiceName,
        /// The service that a relay stands in for.
        relay: ServiceName,
        /// The condition, as compose spells it.
        condition: &'static str,
    },
    /// A shared service depends on one that is not shared.
    #[error(
        "shared service `{service}` depends on `{dependency}`, which is not shared; share both or neither"
    )]
    DependsOnPrivate {
        /// The shared service.
        service: ServiceName,
        /// What it depends on.
        dependency: ServiceName,
    },
    /// A service cannot run outside its environment.
    #[error("service `{service}` cannot be shared: it has `{what}`")]
    NotShareable {
        /// The service.
        service: ServiceName,
        /// The setting that ties it to its environment, as compose spells it.
        what: String,
    },
}

impl IsolationError {
    pub(super) fn model(object: impl Into<String>, expected: &'static str) -> Self {
        Self::Model { object: object.into(), expected }
    }
}
