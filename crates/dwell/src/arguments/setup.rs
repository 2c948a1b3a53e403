//! Arguments of the commands about the project's configuration and the machine.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use dwell_core::{ProjectName, Suffix};

/// Write a dwell.toml for the project
#[derive(Debug, Args)]
#[command(after_help = "\
dwell needs no dwell.toml; write one to change a default.

Examples:
  dwell init
  dwell init --name shop --compose deploy/compose.yaml")]
pub(crate) struct Init {
    /// The project's name; by default the directory's
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<ProjectName>,
    /// A compose file instead of the default ones; may be repeated
    #[arg(long = "compose", value_name = "FILE")]
    pub(crate) compose_files: Vec<PathBuf>,
    /// A file of variables for the compose file; may be repeated
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// The DNS suffix of its environments' names
    #[arg(long, value_name = "SUFFIX")]
    pub(crate) dns_suffix: Option<Suffix>,
    /// Replace a dwell.toml that exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// Show the project's configuration, or have your own settings follow you
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  dwell config
  dwell config --schema > dwell.schema.json
  dwell config init --name shop
  dwell config push --dry-run"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) action: Option<ConfigAction>,
    /// Print the JSON Schema of dwell.toml
    #[arg(long)]
    pub(crate) schema: bool,
    /// The project's directory; by default the project that you are in
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    Init(Init),
    Push(Push),
}

/// Bring your settings of git, ssh and coding agents into workspaces
#[derive(Debug, Args)]
#[command(after_help = "\
It takes git's and ssh's configuration, known hosts, public keys, and what agents document as their
settings; never credentials, transcripts or caches. Paths of your home become the workspace's.
Files that were changed inside since the last time stay as they are. Workspaces that do not run get
theirs when they run again.

Examples:
  dwell config push --dry-run
  dwell config push --to box
  dwell config push --to box --force
  dwell config push --home /Users/jane")]
pub(crate) struct Push {
    /// A workspace, a node for all of its workspaces, or `all`; may be repeated
    #[arg(long, value_name = "WORKSPACE|NODE|all", default_value = "all")]
    pub(crate) to: Vec<String>,
    /// Only show what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Also replace files that were changed inside
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Also bring private ssh keys and secrets that settings hold; asks first
    #[arg(long)]
    pub(crate) include_keys: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// A home of yours on another machine, which settings name as well; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) home: Vec<String>,
}

/// Trust the commands that a project wants to run
#[derive(Debug, Args)]
#[command(after_help = "\
Trust holds for exactly these commands; a change asks again.

Examples:
  dwell trust --show
  dwell trust --yes ~/src/shop
  dwell trust --revoke")]
pub(crate) struct Trust {
    /// The project's directory; by default the project that you are in
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Only show the commands
    #[arg(long, conflicts_with = "revoke")]
    pub(crate) show: bool,
    /// Take the trust back
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Let the system resolve dwell's names and dwell use ports below 1024, and start it with the machine
#[derive(Debug, Args)]
#[command(after_help = "\
Shows every change before it makes it; --undo takes all of them back. On Linux a new binary has to be
given the right to ports below 1024 again: repeat it after an upgrade.

Examples:
  dwell setup --dry-run
  dwell setup
  dwell setup --undo")]
pub(crate) struct Setup {
    /// Take everything back
    #[arg(long)]
    pub(crate) undo: bool,
    /// Only show what would change
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Leave the system's resolver alone
    #[arg(long)]
    pub(crate) no_resolver: bool,
    /// Give dwell no right to ports below 1024
    #[arg(long)]
    pub(crate) no_ports: bool,
    /// Do not start dwell with the machine
    #[arg(long)]
    pub(crate) no_service: bool,
}

/// Look for what does not work, and say what to do
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with exit code 1 when something needs attention. Other nodes are looked at from here to the
services there; nothing on them is ever changed.

Examples:
  dwell doctor
  dwell doctor dns
  dwell doctor staging
  dwell doctor --fix")]
pub(crate) struct Doctor {
    /// First try links again, publish names anew, and listen where nothing does
    #[arg(long)]
    pub(crate) fix: bool,
    /// Only findings about these: engine, dns, ...
    #[arg(value_name = "SECTION")]
    pub(crate) sections: Vec<String>,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell completion bash > ~/.local/share/bash-completion/completions/dwell
  dwell completion fish > ~/.config/fish/completions/dwell.fish")]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}
