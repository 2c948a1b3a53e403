//! Servers of the Model Context Protocol of a workspace: the binary looks after them from inside, as
//! the workspace's user.

use std::sync::Arc;
use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_core::agent::mcp::{Answer, Request};
use dwell_core::idle::Source;
use dwell_core::workspace::{HOME, USER};
use dwell_drivers::docker::ExecSpec;

use super::commands::Commands;
use super::{awake, find, given, refuse_unfinished};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long it may take: a package is fetched, or every server is asked.
const LIMIT: Duration = Duration::from_secs(600);

/// Does what is asked.
pub(crate) async fn mcp(node: &Arc<Node>, name: &str, request: Request) -> Result<Answer, Problem> {
    let it = find(node, name).await?;
    refuse_unfinished(&it)?;
    let it = awake(node, it, Source::Task).await?;
    // It may have been started by an older binary.
    given::renew(node, &it).await?;
    let unreadable = |_| Problem::new(Code::Internal, "the servers are not understood");
    let mut input = serde_json::to_vec(&request).map_err(unreadable)?;
    input.push(b'\n');
    let spec = ExecSpec {
        command: vec![given::own_binary(), "workspace-mcp".to_owned()],
        variables: vec![format!("HOME={HOME}")],
        user: Some(USER.to_owned()),
        directory: Some(HOME.to_owned()),
        ..ExecSpec::default()
    };
    let ended = Commands::of(node, &it).run(spec, Some(&input), LIMIT).await.or_problem()?;
    if ended.code == Some(0) {
        return serde_json::from_slice(&ended.stdout).map_err(unreadable);
    }
    // The binary says it as a problem of the API.
    Err(serde_json::from_slice(&ended.stdout)
        .unwrap_or_else(|_| Problem::new(Code::ToolFailed, ended.error_text())))
}
