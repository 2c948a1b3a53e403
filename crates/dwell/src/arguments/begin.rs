//! Arguments of the commands that have an agent work on a project.

use clap::Args;
use dwell_core::workspace::ImageRef;
use dwell_core::{EnvironmentName, NodeName};

use super::parse::variable;

/// Have an agent work on the project that you are in
#[derive(Debug, Args)]
#[command(after_help = "\
Makes what is missing: an environment of the project, called like the agent; a workspace with its tree,
its networks and your settings; the agent in it. Then it attaches: Ctrl-b d leaves the agent at work, the
same command or `dwell attach` returns to it. `dwell merge` brings the work into your project, `dwell
pull` from another node. A prompt for an agent that is at work already is typed to it.

Examples:
  dwell claude
  dwell codex 'fix the failing test' --detach
  dwell claude --name agent-2 --node staging 'review the last commit'")]
pub(crate) struct Begin {
    /// What it is to do; several words are joined with blanks
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,
    /// The environment's name; by default the agent's
    #[arg(long, value_name = "ENV")]
    pub(crate) name: Option<EnvironmentName>,
    /// The node where all of it is
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeName>,
    /// The workspace's image, where it has to be made
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<ImageRef>,
    /// Bring none of your settings of git, ssh and agents into a new workspace
    #[arg(long)]
    pub(crate) no_settings: bool,
    /// Set a variable for the agent; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, Option<String>)>,
    /// Return at once and print the session's name
    #[arg(short, long)]
    pub(crate) detach: bool,
}
