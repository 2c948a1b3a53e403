//! What tests of workspaces ask for again and again.

use crate::home::TestHome;
use crate::process::Ran;

/// Runs a line of shell in a workspace, as its user.
#[track_caller]
pub fn sh(home: &TestHome, workspace: &str, line: &str) -> Ran {
    home.dwell(["ws", "exec", workspace, "--", "sh", "-c", line])
}

/// What `ws show` says of a workspace.
#[track_caller]
pub fn show(home: &TestHome, workspace: &str) -> serde_json::Value {
    home.dwell(["ws", "show", workspace, "--json"]).json()
}
