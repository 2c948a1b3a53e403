//! Arguments of `connect`.

use clap::Args;
use dwell_core::WorkspaceName;

/// Choose a workspace and a session on a screen, and attach to it
#[derive(Debug, Args)]
#[command(after_help = "\
First the workspaces of all nodes, then the sessions of one. After a session is left the list is
back. Arrows or j and k move, Enter opens or attaches, n makes a new one, s stops or starts, d
destroys a workspace after it is confirmed, x ends a session after it is confirmed, / filters, Esc
goes back, q quits. Listing wakes nothing.

Examples:
  dwell connect
  dwell connect box
  dwell connect --plain")]
pub(crate) struct Connect {
    /// Begin with the sessions of this workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: Option<WorkspaceName>,
    /// Print workspaces and their sessions instead
    #[arg(long)]
    pub(crate) plain: bool,
}
