//! Forwards on the wire: ports of the node's machine that lead into workspaces and environments.

use std::net::SocketAddr;

use dwell_core::ServiceName;
use dwell_core::forward::Place;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::client::ByteStream;
use crate::remote::DIAL;
use crate::workspace::WorkspaceDial;
use crate::{Client, ClientError, endpoint};

/// A forward that the daemon holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forward {
    /// Where it listens.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Where it leads.
    pub place: Place,
    /// The port there.
    pub port: u16,
    /// Why it does not listen at present; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why the last connection led nowhere, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
}

/// A forward that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewForward {
    /// Where it is to listen; port 0 for one that is free.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Where it is to lead.
    pub place: Place,
    /// The port there.
    pub port: u16,
}

/// Has the daemon hold forwards: all of them, or none where one cannot be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StartForwards {
    /// Which.
    pub forwards: Vec<NewForward>,
}

/// Stops forwards that the daemon holds; their connections end.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct StopForwards {
    /// Ports of this machine, names of workspaces and environments, or their identities.
    pub which: Vec<String>,
    /// All that there are.
    #[serde(default)]
    pub all: bool,
}

/// Opens a byte stream to a service of an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceDial {
    /// The service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// Its port.
    pub port: u16,
}

/// Dials a place by the node's API.
///
/// # Errors
/// When nothing takes connections there, or the node does not answer.
pub async fn dial(client: Client, place: &Place, port: u16) -> Result<ByteStream, ClientError> {
    match place {
        Place::Workspace { id, .. } => {
            let path = endpoint::fill(endpoint::WORKSPACE_DIAL, &[id.as_str()]);
            client
                .upgrade(
                    &path,
                    DIAL,
                    &WorkspaceDial { port, inside: true, desktop: false, key: None },
                )
                .await
        }
        Place::Service { id, service, .. } => {
            let path = endpoint::fill(endpoint::SERVICE_DIAL, &[id.as_str()]);
            client.upgrade(&path, DIAL, &ServiceDial { service: service.clone(), port }).await
        }
    }
}
