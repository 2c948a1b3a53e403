//! A command of dwell's own in a workspace that runs. It neither wakes a workspace nor counts as
//! its use.

use std::time::Duration;

use dwell_core::workspace::Workspace;
use dwell_drivers::docker::{EngineError, ExecSpec};
use dwell_drivers::process::Finished;

use super::commands::Commands;
use crate::node::Node;

/// Runs a command as a user, within a time.
pub(crate) async fn quietly(
    node: &Node,
    it: &Workspace,
    user: &str,
    command: Vec<String>,
    limit: Duration,
) -> Result<Finished, EngineError> {
    let spec = ExecSpec { command, user: Some(user.to_owned()), ..ExecSpec::default() };
    Commands::of(node, it).run(spec, None, limit).await
}
