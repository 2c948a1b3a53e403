//! Arguments of the commands about workspace images.

use clap::{Args, Subcommand};
use dwell_core::NodeName;
use dwell_core::image::{BuiltIn, DEFAULT_AGENTS, DEFAULT_BASE, ImageName, REPOSITORY, Variant};

/// Build the images that workspaces are made from, and see whether they are fresh
#[derive(Debug, Args)]
#[command(after_help = "\
What an image is built from is in dwell itself; images are built by the engine of the machine that
they are for.

Examples:
  dwell image build
  dwell image build desktop --base debian:bookworm --agents claude,aider
  dwell image check")]
pub(crate) struct Image {
    #[command(subcommand)]
    pub(crate) action: ImageAction,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageAction {
    Build(Build),
    Ls(Ls),
    Check(Check),
}

/// Build an image, unless the one that is there is fresh
#[derive(Debug, Args)]
#[command(after_help = "\
The image is dwell-workspace:VARIANT, and base is dwell-workspace:latest too. One that a container
has stays until the container goes.

Examples:
  dwell image build
  dwell image build docker --no-agents
  dwell image build --force --pull
  dwell image build --node big")]
pub(crate) struct Build {
    /// What is in it: base, docker (an engine with compose) or desktop (reached with VNC)
    #[arg(value_name = "VARIANT", default_value = "base")]
    pub(crate) variant: Variant,
    /// The image to start from: Debian, Ubuntu or one of their kin
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_BASE)]
    pub(crate) base: ImageName,
    /// The agents in it: claude, codex, opencode, gemini, aider
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_values = DEFAULT_AGENTS)]
    pub(crate) agents: Vec<BuiltIn>,
    /// No agents in it
    #[arg(long, conflicts_with = "agents")]
    pub(crate) no_agents: bool,
    /// Build it also where it is fresh, with the newest packages of the distribution
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Look for a newer image to start from
    #[arg(long)]
    pub(crate) pull: bool,
    /// The repository to tag it in
    #[arg(long, value_name = "NAME", default_value = REPOSITORY)]
    pub(crate) repository: ImageName,
    /// Another node to build it on, see `dwell remote ls`
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeName>,
}

/// List images that dwell built, and whether each is fresh
#[derive(Debug, Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:\n  dwell image ls --json\n  dwell image ls --node big"
)]
pub(crate) struct Ls {
    /// Those of another node, see `dwell remote ls`
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeName>,
}

/// Tell whether images are fresh, and why not
#[derive(Debug, Args)]
#[command(after_help = "\
An image is fresh when building it again with its base and its agents would start from the same
files and the same base. Ends with exit code 1 when one is old or missing.

Examples:
  dwell image check
  dwell image check base desktop
  dwell image check --node big")]
pub(crate) struct Check {
    /// The variants; by default those that are there, and base
    #[arg(value_name = "VARIANT")]
    pub(crate) variants: Vec<Variant>,
    /// The repository that they are tagged in
    #[arg(long, value_name = "NAME", default_value = REPOSITORY)]
    pub(crate) repository: ImageName,
    /// Those of another node, see `dwell remote ls`
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeName>,
}

impl Build {
    /// The agents that are wanted in it.
    pub(crate) fn wanted_agents(&self) -> std::collections::BTreeSet<BuiltIn> {
        if self.no_agents { Default::default() } else { self.agents.iter().cloned().collect() }
    }
}
