//! Arguments of the commands about agents and sessions.

use std::ffi::OsString;

use clap::{Args, Subcommand};
use dwell_core::{EnvironmentName, ServiceName, SessionName, WorkspaceName};

use super::InProject;
use super::environment::Making;
use super::parse::variable;
use super::placement::Placing;

/// Run an agent or a command in an environment, in a session that stays
#[derive(Debug, Args)]
#[command(
    override_usage = "dwell run [OPTIONS] <COMMAND> <ENV> [ARGS]...\n       dwell run [OPTIONS] --in <WORKSPACE> [<ENV>] [-- <COMMAND> [ARGS]...]\n       dwell run --resume[=NAME] <ENV|WORKSPACE>",
    after_help = "\
Makes and starts what is missing. With a terminal it attaches; closing the terminal leaves the
session running. Without one it streams the output and ends with the command's exit code.
Everything after the environment's name belongs to the command.

With --in it runs in a workspace: in the home there or, where an environment is named before `--`,
in that environment's tree, which the workspace has to have. Without a command it is a shell.

Examples:
  dwell run claude agent-1
  dwell run --detach claude agent-2 -p 'fix the failing test'
  dwell run --env CI=1 npm agent-1 test
  dwell run --remote staging claude agent-3
  dwell run --in box claude
  dwell run --in box agent-1 -- claude 'fix the failing test'
  dwell run --resume agent-1"
)]
pub(crate) struct Run {
    /// The agent or the command; with --resume the environment or the workspace
    #[arg(value_name = "COMMAND", required_unless_present = "workspace")]
    pub(crate) command: Option<String>,
    /// The environment, and the command's arguments
    #[arg(value_name = "ENV", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
    /// Run it in this workspace
    #[arg(long = "in", value_name = "WORKSPACE", conflicts_with = "no_session")]
    pub(crate) workspace: Option<WorkspaceName>,
    /// Return at once and print the session's name
    #[arg(short, long, conflicts_with = "no_session")]
    pub(crate) detach: bool,
    /// Run it directly, without a session that stays
    #[arg(long, conflicts_with = "resume")]
    pub(crate) no_session: bool,
    /// Start a lost or ended session again: the last one, or the one named
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    pub(crate) resume: Option<Option<SessionName>>,
    /// The session's name; by default made from the command
    #[arg(long, value_name = "NAME", conflicts_with = "no_session")]
    pub(crate) name: Option<SessionName>,
    /// Set a variable for the command; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, Option<String>)>,
    /// Do not start services
    #[arg(long)]
    pub(crate) no_up: bool,
    /// Fail if the environment does not exist
    #[arg(long)]
    pub(crate) no_create: bool,
    /// Services to use from the project's shared instances
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) shared: Vec<ServiceName>,
    /// Services to keep private although labels say shared
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) isolate: Vec<ServiceName>,
    #[command(flatten)]
    pub(crate) project: InProject,
    #[command(flatten)]
    pub(crate) placing: Placing,
    #[command(flatten)]
    pub(crate) making: Making,
}

/// Attach the terminal to a session
#[derive(Debug, Args)]
#[command(after_help = "\
Detach with Ctrl-b d; the session goes on.

Examples:
  dwell attach agent-1
  dwell attach box
  dwell attach agent-1 claude --read-only")]
pub(crate) struct Attach {
    /// The environment or the workspace; may be left out in an environment's tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// The session; may be left out where only one runs
    #[arg(value_name = "SESSION")]
    pub(crate) session: Option<SessionName>,
    /// Watch without typing
    #[arg(short, long)]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// List sessions, or end one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  dwell sessions
  dwell sessions agent-1 --json
  dwell sessions kill agent-1 claude"
)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    pub(crate) action: Option<SessionsAction>,
    /// Only this environment's, or this workspace's
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsAction {
    /// End a session's command
    #[command(after_help = "Examples:\n  dwell sessions kill agent-1 claude")]
    Kill {
        /// The environment or the workspace
        #[arg(value_name = "ENV")]
        environment: EnvironmentName,
        /// The session; may be left out where only one runs
        #[arg(value_name = "SESSION")]
        session: Option<SessionName>,
        #[command(flatten)]
        project: InProject,
    },
}

/// Type text into a session
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell send agent-1 'now run the tests'
  dwell send --session claude --no-enter agent-1 y")]
pub(crate) struct Send {
    /// The environment or the workspace
    #[arg(value_name = "ENV")]
    pub(crate) environment: EnvironmentName,
    /// The text, typed as it is; several words are joined with blanks
    #[arg(
        value_name = "TEXT",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) text: Vec<String>,
    /// The session; may be left out where only one runs
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<SessionName>,
    /// Do not press Enter after it
    #[arg(long)]
    pub(crate) no_enter: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}
