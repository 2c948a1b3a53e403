//! Arguments of the commands about the daemon, and of the roles that dwell starts itself in.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dwell_core::{EnvironmentName, NodeName, ProjectName, WorkspaceName};

use super::work::Tail;

/// Start, stop and look at the daemon
#[derive(Debug, Args)]
#[command(after_help = "\
Commands start the daemon when it does not run; stopping it leaves environments and sessions
running.

Examples:
  dwell node status
  dwell node logs -f")]
pub(crate) struct Node {
    #[command(subcommand)]
    pub(crate) action: NodeAction,
}

/// What to do with the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeAction {
    /// Start it
    #[command(after_help = "Examples:\n  dwell node start")]
    Start,
    /// Stop it; environments and sessions stay
    #[command(after_help = "Examples:\n  dwell node stop")]
    Stop,
    /// Show it and its parts
    #[command(after_help = "Examples:\n  dwell node status --json")]
    Status,
    /// Show its log
    #[command(after_help = "Examples:\n  dwell node logs -f -n 20")]
    Logs {
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
        /// The last lines, or `all`
        #[arg(short = 'n', long, value_name = "LINES", default_value = "100", value_parser = super::work::tail)]
        tail: Tail,
    },
    /// Be the daemon, in the foreground
    #[command(after_help = "Examples:\n  dwell node run")]
    Run {
        /// Leave the terminal's session first
        #[arg(long, hide = true)]
        background: bool,
    },
    /// Hand standard input and output over to the daemon, for another node that speaks to it
    #[command(hide = true)]
    Bridge,
    /// Print the OpenAPI document of its API
    #[command(after_help = "Examples:\n  dwell node openapi > dwell.openapi.json")]
    Openapi,
}

/// Call the workspace that this runs in something else
#[derive(Debug, Args)]
pub(crate) struct WorkspaceHostname {
    /// What it is called from now on
    pub(crate) name: WorkspaceName,
    /// What it was called
    pub(crate) before: Vec<String>,
}

/// Watches over the command of one session.
#[derive(Debug, Args)]
pub(crate) struct SessionShim {
    /// The session's directory.
    pub(crate) directory: PathBuf,
}

/// Keeps what an agent says that it is doing.
#[derive(Debug, Args)]
pub(crate) struct AgentHook {
    /// The directory of its session.
    pub(crate) directory: PathBuf,
    /// What it says, where that is not on the standard input.
    pub(crate) told: Option<String>,
}

/// Shows a session of a workspace on a terminal at the far end of the standard streams.
#[derive(Debug, Args)]
pub(crate) struct SessionTerminal {
    /// Columns and rows.
    #[arg(long, value_parser = size)]
    pub(crate) size: (u16, u16),
    /// Shows it only.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// The session's directory.
    pub(crate) directory: PathBuf,
    /// What tmux calls it.
    pub(crate) session: String,
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parsed = text
        .split_once('x')
        .and_then(|(columns, rows)| Some((columns.parse().ok()?, rows.parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is not COLUMNSxROWS"))
}

/// Stands in for a service in an environment's network.
#[derive(Debug, Args)]
pub(crate) struct Relay {
    /// Passes PROTOCOL:PORT on to HOST:PORT.
    #[arg(long, value_name = "PROTOCOL:PORT=HOST:PORT")]
    pub(crate) forward: Vec<String>,
    /// Only tells whether HOST:PORT answers.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) probe: Option<String>,
    /// Waits until the job behind a socket of the daemon is done.
    #[arg(long = "await", value_name = "unix:/PATH")]
    pub(crate) until: Option<String>,
    /// Stands in for a job that is done.
    #[arg(long)]
    pub(crate) completed: bool,
}

/// Empties a directory.
#[derive(Debug, Args)]
pub(crate) struct EmptyDirectory {
    /// The directory, which stays.
    pub(crate) directory: PathBuf,
}

/// Is rsync's way to another node.
#[derive(Debug, Args)]
pub(crate) struct RsyncShell {
    /// The daemon's socket.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// The node.
    pub(crate) node: NodeName,
    /// The project there.
    pub(crate) project: ProjectName,
    /// The environment there.
    pub(crate) environment: EnvironmentName,
    /// What is brought; without it the environment's files are fetched.
    #[arg(long)]
    pub(crate) offer: Option<String>,
    /// What rsync appends: a host, the program, its arguments.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

impl Node {
    /// Whether this is the daemon itself, and if so whether it leaves the terminal's session.
    pub(crate) fn as_daemon(&self) -> Option<bool> {
        match self.action {
            NodeAction::Run { background } => Some(background),
            _ => None,
        }
    }
}
