//! Arguments of the command about sign-ins that workspaces share.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dwell_core::credentials::SignIn;

/// Sign-ins of agents that workspaces share
#[derive(Debug, Args)]
#[command(after_help = "\
A workspace that was made with `--credentials claude` shares Claude Code's sign-in with all others that
were. Sign in inside one of them, and all are; whoever renews it renews it for all.

Examples:
  dwell ws create box --credentials claude
  dwell credentials ls
  dwell credentials forget claude")]
pub(crate) struct Credentials {
    #[command(subcommand)]
    pub(crate) action: CredentialsAction,
}

/// What to do with sign-ins.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsAction {
    /// List the sign-ins, and which workspaces share them
    #[command(visible_alias = "list", after_help = "Examples:\n  dwell credentials ls")]
    Ls,
    /// Take over your own sign-in, from a file
    #[command(after_help = "\
Agents give up a sign-in that was renewed elsewhere: where you go on using your own, sign in inside a
workspace instead.

Examples:
  dwell credentials import codex
  dwell credentials import claude --from ~/.claude/.credentials.json")]
    Import {
        /// The agent
        #[arg(value_name = "AGENT")]
        agent: SignIn,
        /// The file; by default where the agent has it in your home
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Forget a sign-in; the workspaces that share it have none then
    #[command(visible_alias = "rm", after_help = "Examples:\n  dwell credentials forget claude")]
    Forget {
        /// The agent
        #[arg(value_name = "AGENT")]
        agent: SignIn,
    },
}
