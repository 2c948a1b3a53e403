//! A service that runs on another node, and the relay that stands in for it. The relay reaches
//! its own node's daemon through unix sockets in one directory, a socket for each port: it can
//! get at these ports and nothing else.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::port::Port;
use super::super::relay::{Mount, RelaySpec};
use crate::name::NodeName;

/// Where a relay finds its sockets.
pub const DIAL_DIRECTORY: &str = "/dial";
/// The socket that says of the far end when it is ready.
pub const HEALTH_SOCKET: &str = "health.sock";
/// The socket that says of the far end when it has ended well.
pub const DONE_SOCKET: &str = "done.sock";

/// A service that runs on another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    /// Its node.
    pub node: NodeName,
    /// Its TCP and UDP ports.
    pub ports: Vec<Port>,
    /// Whether it is a job, of which others wait for the end.
    pub completes: bool,
}

/// The name of the socket that leads to a port.
pub fn port_socket(port: Port) -> String {
    format!("{}-{}.sock", port.number, port.protocol)
}

impl Away {
    /// The relay for it: of this image, with its sockets in this directory of the machine, run as
    /// the user (`uid:gid`) who may connect to them. A job's relay ends when the job has.
    pub fn relay(&self, image: &str, sockets: &Path, user: &str) -> RelaySpec {
        let socket = |name: &str| format!("unix:{DIAL_DIRECTORY}/{name}");
        let mut command = vec!["relay".to_owned()];
        let mut healthcheck = None;
        if self.completes {
            command.push(format!("--await={}", socket(DONE_SOCKET)));
        } else {
            command.extend(self.ports.iter().map(|port| {
                format!(
                    "--forward={}:{}={}",
                    port.protocol,
                    port.number,
                    socket(&port_socket(*port))
                )
            }));
            let probe = format!("--probe={}", socket(HEALTH_SOCKET));
            healthcheck = Some(vec!["/dwell".to_owned(), "relay".to_owned(), probe]);
        }
        RelaySpec {
            image: image.to_owned(),
            command,
            healthcheck,
            completes: self.completes,
            networks: Vec::new(),
            mounts: vec![Mount { source: sockets.to_owned(), target: DIAL_DIRECTORY.to_owned() }],
            user: Some(user.to_owned()),
        }
    }
}
