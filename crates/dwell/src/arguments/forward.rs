//! Arguments of the commands about ports of workspaces and environments.

use std::net::{IpAddr, Ipv4Addr};

use clap::{Args, Subcommand};
use dwell_core::WorkspaceName;
use dwell_core::forward::Wish;

use super::InProject;

/// Reach ports of a workspace or of an environment's services at ports of this machine
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "dwell forward [OPTIONS] <WORKSPACE|ENV> [LOCAL:][SERVICE:]PORT...
       dwell forward ls
       dwell forward stop <LOCAL|WORKSPACE|ENV>...",
    after_help = "\
A port may be a range. It listens on this machine's loopback address only, and a port that is taken
is an error. What listens on the loopback address inside a workspace is reached too. Connections
find their way again after the workspace, the service or the daemon was started anew; a frozen
workspace is woken. It ends with Ctrl-C; with --detach the daemon holds it until it is stopped, and
again after the daemon was started anew.

Ports without a service are those of the workspace of that name; where there is none, of the
environment's service that says such a port.

Examples:
  dwell forward box 3000
  dwell forward box 8080:80 3000-3010
  dwell forward red web:8080 5433:db:5432
  dwell forward box 3000 --detach && dwell forward ls
  dwell forward stop box"
)]
pub(crate) struct Forward {
    #[command(subcommand)]
    pub(crate) action: Option<ForwardAction>,
    /// The workspace or the environment
    #[arg(value_name = "WORKSPACE|ENV", required = true)]
    pub(crate) of: Option<WorkspaceName>,
    /// The ports
    #[arg(value_name = "[LOCAL:][SERVICE:]PORT", required = true)]
    pub(crate) ports: Vec<Wish>,
    /// Return at once; the daemon holds it
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Listen at this address instead, which others may reach
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) bind: IpAddr,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// What to do with forwards that the daemon holds.
#[derive(Debug, Subcommand)]
pub(crate) enum ForwardAction {
    /// List the forwards that the daemon holds
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  dwell forward ls\n  dwell forward ls --json"
    )]
    Ls,
    /// Stop forwards that the daemon holds
    #[command(after_help = "\
Examples:
  dwell forward stop 3000
  dwell forward stop box
  dwell forward stop --all")]
    Stop {
        /// Ports of this machine, or workspaces or environments
        #[arg(value_name = "LOCAL|WORKSPACE|ENV", required_unless_present = "all")]
        which: Vec<String>,
        /// All that there are
        #[arg(long, conflicts_with = "which")]
        all: bool,
    },
}

/// List what listens in a workspace
#[derive(Debug, Args)]
#[command(after_help = "\
A frozen workspace stays frozen; processes are then told as far as they can be seen from outside.

Examples:
  dwell ports box
  dwell ports box --json")]
pub(crate) struct Ports {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
    /// Wake it where it is frozen
    #[arg(long)]
    pub(crate) wake: bool,
}
