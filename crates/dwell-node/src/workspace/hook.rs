//! The command of a workspace's own that runs before it is stopped: to save what is only in memory.

use std::time::Duration;

use dwell_api::Problem;
use dwell_core::observed::State;
use dwell_core::workspace::{USER, Workspace};

use super::{quietly, state};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long it may take before the workspace is stopped all the same.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of what it says is told.
const SAID: usize = 200;

/// Runs the hook where there is one, in the home and as its user.
const SCRIPT: &str =
    r#"hook=$HOME/.config/dwell/pre-stop; [ -x "$hook" ] || exit 0; cd; exec "$hook""#;

/// Runs the hook in a workspace that is about to be stopped; one that is frozen goes on for it.
/// Gives what went wrong, which does not keep it from being stopped.
pub(crate) async fn pre_stop(node: &Node, it: &Workspace) -> Result<Option<String>, Problem> {
    match state(node, it).await? {
        Some(State::Running) => {}
        Some(State::Paused) => node.engine.thaw(&it.container()).await.or_problem()?,
        _ => return Ok(None),
    }
    let command = ["sh", "-c", SCRIPT].map(str::to_owned).into();
    let wrong = match quietly(node, it, USER, command, LIMIT).await {
        Ok(said) if said.ok() => return Ok(None),
        Ok(said) => {
            let text: String = said.error_text().chars().take(SAID).collect();
            let code = said.code.unwrap_or(-1);
            format!("the hook `~/.config/dwell/pre-stop` ended with {code}: {text}")
        }
        Err(error) => format!("the hook `~/.config/dwell/pre-stop` failed: {error}"),
    };
    tracing::warn!(workspace = %it.name, "{wrong}");
    Ok(Some(wrong))
}
