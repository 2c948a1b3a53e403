//! Arguments of the commands around ssh.

use std::ffi::OsString;

use clap::Args;
use dwell_core::{NameError, WorkspaceName};

/// What the names of workspaces end with for ssh.
pub(crate) const SUFFIX: &str = ".dwell";

/// Log in to a workspace with ssh
#[derive(Debug, Args)]
#[command(
    override_usage = "dwell ssh [OPTIONS] <WORKSPACE> [-- COMMAND...]",
    after_help = "\
The system's ssh does it, through the node's daemon: no port is published and no host key is asked
about, as the node knows it. A frozen workspace is woken. The exit code is ssh's: the command's, and
255 where there was no connection.

Examples:
  dwell ssh box
  dwell ssh box -- make test
  dwell ssh -A box"
)]
pub(crate) struct Ssh {
    /// The workspace
    #[arg(value_name = "WORKSPACE", value_parser = host)]
    pub(crate) name: WorkspaceName,
    /// The command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
    /// Let programs there use your ssh agent as long as this connection lasts
    #[arg(short = 'A', long)]
    pub(crate) forward_agent: bool,
    /// Carry the connection on standard input and output, as ssh's ProxyCommand
    #[arg(long, conflicts_with_all = ["words", "forward_agent"])]
    pub(crate) stdio: bool,
}

/// Have ssh, scp, rsync, git and editors find workspaces as <name>.dwell
#[derive(Debug, Args)]
#[command(after_help = "\
It writes ~/.ssh/dwell.conf and has ~/.ssh/config include it in its first lines.

Examples:
  dwell config-ssh --dry-run
  dwell config-ssh && ssh box.dwell
  dwell config-ssh --undo")]
pub(crate) struct ConfigSsh {
    /// Only show what would be written
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Take it back
    #[arg(long)]
    pub(crate) undo: bool,
}

fn host(text: &str) -> Result<WorkspaceName, NameError> {
    text.strip_suffix(SUFFIX).unwrap_or(text).parse()
}
