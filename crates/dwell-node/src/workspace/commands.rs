//! Commands in workspaces, all of them: by the process of ours that waits for them inside, which
//! takes milliseconds, else by the engine. Who is root inside can be in that process's place, so
//! nothing that comes from there is trusted.

mod serve;
mod socket;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use dwell_core::workspace::Workspace;
use dwell_drivers::docker::{Engine, EngineError, ExecSpec};
use dwell_drivers::process::Finished;
use serde::{Deserialize, Serialize};

use super::given;
use crate::node::Node;
use crate::running::Running;

pub use serve::serve as serve_commands;

/// What the process inside says first. Another one is spoken to by the engine.
const GREETING: &[u8] = b"dwell commands 1\n";
/// The longest command, as it is sent.
const REQUEST_MAX: u32 = 4 << 20;
/// The size of a terminal that nobody told.
const SIZE: (u16, u16) = (80, 24);

/// A command, as it is sent: its length in four bytes (big endian), then JSON. Frames of `exec`
/// follow both ways; that the connection ends means that nobody wants it any more.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    command: Vec<String>,
    #[serde(default)]
    terminal: Option<(u16, u16)>,
    #[serde(default)]
    variables: Vec<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    directory: Option<String>,
}

/// Where the commands of a workspace run.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    engine: Engine,
    container: String,
    directory: PathBuf,
}

impl Commands {
    pub(crate) fn of(node: &Node, it: &Workspace) -> Self {
        let (engine, container) = (node.engine.clone(), it.container());
        Self { engine, container, directory: given::sessions(node, it) }
    }

    /// Starts a command, with a terminal of this size where it has one.
    pub(crate) async fn start(
        &self,
        spec: ExecSpec,
        size: Option<(u16, u16)>,
    ) -> Result<Running, EngineError> {
        match socket::start(&self.directory, &spec, size).await {
            Ok(running) => Ok(running),
            Err(error) => {
                let container = &self.container;
                match error.kind() {
                    // It does not run, or was started by an older daemon.
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused => {}
                    _ => tracing::warn!(%error, container, "the engine starts its commands"),
                }
                Running::by_engine(&self.engine, &self.container, spec, size).await
            }
        }
    }

    /// Runs a command to its end, with this as its whole input.
    pub(crate) async fn run(
        &self,
        mut spec: ExecSpec,
        input: Option<&[u8]>,
        limit: Duration,
    ) -> Result<Finished, EngineError> {
        spec.stdin = input.is_some();
        self.start(spec, None).await?.finish(input, limit).await
    }
}
