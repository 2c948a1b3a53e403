//! Ways to a registered node: ssh, and the mesh where there is one.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dwell_api::remote::Hello;
use dwell_core::remote::{Remote, Transport};
use dwell_drivers::ssh::{self, Destination, Why};
use dwell_net::carrier::{BoxFuture, Connector, Guard, Link, LinkError, Settings};
use dwell_net::mux;
use tokio::process::{ChildStdin, ChildStdout};

use super::acquaint::{Mesh, Way};
use crate::node::{Node, now};

/// What is run on the node: the binary that `dwell remote add` put there.
const BRIDGE: &str = r#"exec "${XDG_DATA_HOME:-$HOME/.local/share}/dwell/bin/dwell" node bridge"#;

/// The exit code of a dwell that does not understand its arguments.
const USAGE: i32 = 2;
/// What people call the way that needs no mesh.
pub(super) const SSH: &str = "ssh";

/// The ways to a node, best first.
pub(super) fn connectors(way: &Arc<Way>, remote: &Remote) -> Vec<Arc<dyn Connector>> {
    let ssh = Arc::new(Ssh { destination: destination(remote) });
    match remote.transport {
        Transport::Ssh => vec![ssh],
        Transport::Auto | Transport::Mesh => vec![Arc::new(Mesh(way.clone())), ssh],
    }
}

/// Where ssh is to go.
pub(crate) fn destination(remote: &Remote) -> Destination {
    let mut destination = Destination::new(remote.host.as_str());
    destination.user = remote.user.as_ref().map(ToString::to_string);
    destination.port = remote.port.map(dwell_core::remote::SshPort::get);
    destination.key = remote.key.as_ref().map(|key| key.as_path().to_owned());
    destination
}

/// What this node says of itself.
pub(super) fn hello(node: &Node) -> Bytes {
    let hello = Hello {
        node: node.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        user: node.user.clone(),
        clock: now(),
    };
    serde_json::to_vec(&hello).unwrap_or_default().into()
}

/// The limits of links.
pub(super) fn settings() -> Settings {
    Settings::default()
}

struct Ssh {
    destination: Destination,
}

impl Connector for Ssh {
    fn name(&self) -> &'static str {
        SSH
    }

    fn connect(&self) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(async {
            let bridge = ssh::bridge(&self.destination, BRIDGE).map_err(|e| link_error(&e.why))?;
            let (read, write) = pipes(bridge.reader, bridge.writer)
                .map_err(|error| LinkError::Failed { why: error.to_string() })?;
            let guard = Box::new(Process(bridge.link));
            Ok(Link { read: Box::new(read), write: Box::new(write), guard })
        })
    }
}

/// The process's streams as what the mux is fastest with.
fn pipes(read: ChildStdout, write: ChildStdin) -> io::Result<(mux::PipeReader, mux::PipeWriter)> {
    mux::pipes(read.into_owned_fd()?, write.into_owned_fd()?)
}

struct Process(ssh::Link);

impl Guard for Process {
    fn explain(&mut self) -> BoxFuture<'_, Option<LinkError>> {
        Box::pin(async { Some(link_error(&self.0.ended().await.why)) })
    }
}

fn link_error(why: &Why) -> LinkError {
    let text = why.to_string();
    match why {
        Why::HostKeyUnknown | Why::HostKeyChanged { .. } => LinkError::HostKey { why: text },
        Why::PermissionDenied { .. } => LinkError::Denied { why: text },
        Why::CommandNotFound { .. } => LinkError::Missing { why: text },
        // A dwell that does not know what it is asked for is an older one.
        Why::Failed { code: Some(USAGE), .. } => LinkError::Missing { why: text },
        _ => LinkError::Failed { why: text },
    }
}

/// What to do about a link that does not come up.
pub(super) fn fix(name: &dwell_core::NodeName, error: &LinkError) -> Option<String> {
    match error {
        LinkError::HostKey { .. } => Some(
            "look at the host's key and accept it with ssh itself, as the same user".to_owned(),
        ),
        LinkError::Denied { .. } => {
            Some("let ssh log in without asking: an agent, or a key with --ssh-key".to_owned())
        }
        LinkError::Missing { .. } | LinkError::Version { .. } => {
            Some(format!("`dwell remote upgrade {name}` puts this version there"))
        }
        _ => None,
    }
}
