//! What a workspace is called inside. A container keeps the host name that it was made with; where
//! its workspace is called something else by now, the kernel is told so whenever it was started.

use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::observed::label;
use dwell_core::workspace::Workspace;
use dwell_drivers::hostname::{Running, change};
use dwell_drivers::process::Program;

use super::{current, given};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long a command in a container may take for it.
const LIMIT: Duration = Duration::from_secs(10);

/// Calls it inside as it is called outside, where its container was made under another name.
pub(super) async fn settle(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let made_as = current(it, node.world.of_workspace(&it.id))
        .and_then(|container| container.labels.get(label::NAME).cloned());
    match made_as {
        Some(made_as) if made_as != it.name.as_str() => again(node, it, &[]).await,
        _ => Ok(()),
    }
}

/// Calls it so, whatever it was called before.
pub(super) async fn again(node: &Node, it: &Workspace, before: &[&str]) -> Result<(), Problem> {
    match node.engine.running(&it.container()).await.or_problem()? {
        Some(running) => call(&running, before, it.name.as_str()).await,
        None => Ok(()),
    }
}

/// Calls a running container so: from outside where this user may, which takes no time, else by a
/// command in it that has the right to.
pub(super) async fn call(running: &Running, before: &[&str], name: &str) -> Result<(), Problem> {
    let own = std::iter::once(running.hostname.as_str());
    let before: Vec<&str> = own.chain(before.iter().copied()).collect();
    if rustix::process::geteuid().is_root() && change(running, &before, name).is_ok() {
        return Ok(());
    }
    if running.paused {
        let message = "a frozen container cannot be called something else here";
        return Err(Problem::new(Code::NotRunning, message));
    }
    let binary = given::own_binary();
    let words = ["exec", "--privileged", "--user", "0:0", &running.id, &binary];
    let change = Program::new("docker").args(words).arg("workspace-hostname").arg(name);
    change.args(before).limit(LIMIT).run().await.or_problem()?;
    Ok(())
}
