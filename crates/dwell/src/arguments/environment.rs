//! Arguments of the commands that make, move and show environments.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dwell_core::{EnvironmentName, NodeName, ServiceName};

use super::placement::Placing;
use super::{Format, InProject, Seconds};

/// How to make an environment that does not exist yet.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Making it")]
pub(crate) struct Making {
    /// The directory to copy; by default the project that you are in
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Start with an empty tree
    #[arg(long, conflicts_with_all = ["from", "in_place"])]
    pub(crate) empty: bool,
    /// Use the directory itself instead of a copy
    #[arg(long)]
    pub(crate) in_place: bool,
    /// Also copy ignored files that match; may be repeated
    #[arg(long, visible_alias = "include", value_name = "GLOB")]
    pub(crate) copy: Vec<String>,
    /// A compose file instead of the default ones; may be repeated
    #[arg(long = "compose", value_name = "FILE")]
    pub(crate) compose_files: Vec<PathBuf>,
    /// A file of variables for the compose file; may be repeated
    #[arg(long = "env-file", value_name = "FILE")]
    pub(crate) env_files: Vec<PathBuf>,
    /// A compose profile to activate; may be repeated
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
}

/// Make an environment: an isolated copy of a compose project
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell create agent-1
  dwell create review --from ~/src/shop --copy '.env*'")]
pub(crate) struct Create {
    /// The new environment's name
    #[arg(value_name = "ENV")]
    pub(crate) name: EnvironmentName,
    #[command(flatten)]
    pub(crate) making: Making,
    #[command(flatten)]
    pub(crate) placing: Placing,
    #[command(flatten)]
    pub(crate) project: InProject,
    /// Give up after this long: 90s, 5m
    #[arg(long, value_name = "TIME", env = "DWELL_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Option<Seconds>,
}

/// Bring an environment up, making it first if it is missing
#[derive(Debug, Args)]
#[command(after_help = "\
Doing it again is safe: what runs already and did not change stays as it is.

Examples:
  dwell up agent-1
  dwell up agent-1 --build --wait
  dwell up agent-2 --shared db,cache
  dwell up agent-3 --remote staging
  dwell up agent-4 --remote-services db,search --remote-host staging")]
pub(crate) struct Up {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) name: Option<EnvironmentName>,
    /// Build images even where they exist
    #[arg(long)]
    pub(crate) build: bool,
    /// Make all containers anew
    #[arg(long)]
    pub(crate) recreate: bool,
    /// Services to use from the project's shared instances
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) shared: Vec<ServiceName>,
    /// Services to keep private although labels say shared
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub(crate) isolate: Vec<ServiceName>,
    /// Wait until healthchecks pass
    #[arg(long)]
    pub(crate) wait: bool,
    /// Let other machines of a mesh reach its HTTP services, from now on
    #[arg(long)]
    pub(crate) ingress: bool,
    /// Let them no more
    #[arg(long, conflicts_with = "ingress")]
    pub(crate) no_ingress: bool,
    /// Fail if it does not exist
    #[arg(long)]
    pub(crate) no_create: bool,
    /// Overwrite what was changed on the other node, where both sides changed the same
    #[arg(long)]
    pub(crate) force: bool,
    /// Give up after this long: 90s, 5m
    #[arg(long, value_name = "TIME", env = "DWELL_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Option<Seconds>,
    #[command(flatten)]
    pub(crate) project: InProject,
    #[command(flatten)]
    pub(crate) placing: Placing,
    #[command(flatten)]
    pub(crate) making: Making,
}

/// Stop an environment; its tree and volumes stay
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell down agent-1
  dwell down agent-1 --ignore-not-found")]
pub(crate) struct Down {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) name: Option<EnvironmentName>,
    /// Succeed if it does not exist
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Move an environment, or services of it, to another node
#[derive(Debug, Args)]
#[command(after_help = "\
It is made where it goes, under the same names, and runs there before anything of the old is
removed; a failure leaves it where it was. A whole environment takes its tree and all git work
along. Data in named volumes goes along only with --with-volumes; without it, dwell says what
becomes of it and asks.

Examples:
  dwell move agent-1 --to staging
  dwell move agent-1 --to local --with-volumes
  dwell move agent-1 db --to staging --with-volumes
  dwell move agent-1 db search --to local --dry-run")]
pub(crate) struct Move {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(crate) name: EnvironmentName,
    /// Move only these services; the environment's home stays where it is
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<ServiceName>,
    /// The node; `local` is this machine
    #[arg(long, value_name = "NODE")]
    pub(crate) to: NodeName,
    /// Carry the data in named volumes along
    #[arg(long)]
    pub(crate) with_volumes: bool,
    /// Do not ask; stop if sessions would be ended or work lost
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Do not ask; end sessions, and replace volumes that are there already
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only show what would become of data and sessions
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Refuse a node that has not enough left, instead of a warning
    #[arg(long)]
    pub(crate) strict: bool,
    /// Give up after this long: 90s, 5m
    #[arg(long, value_name = "TIME", env = "DWELL_TIMEOUT", hide_env_values = true)]
    pub(crate) timeout: Option<Seconds>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Remove an environment and everything of it
#[derive(Debug, Args)]
#[command(after_help = "\
It names the work, the sessions and the volumes that would be lost and asks first.

Examples:
  dwell destroy agent-1
  dwell destroy agent-1 --keep-workspace
  dwell destroy --all --dry-run")]
pub(crate) struct Destroy {
    /// The environments
    #[arg(value_name = "ENV", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) names: Vec<EnvironmentName>,
    /// All environments of the project, or of the machine outside of any project
    #[arg(long)]
    pub(crate) all: bool,
    /// Keep the source tree
    #[arg(long)]
    pub(crate) keep_workspace: bool,
    /// Do not ask, and lose what would be lost
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Do not ask; stop if work would be lost
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what would be lost
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Succeed if it does not exist
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// List environments
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell ls
  dwell ls --project shop --json
  dwell ls -q | xargs -n1 dwell down")]
pub(crate) struct Ls {
    /// How to print them
    #[arg(long, value_enum, value_name = "table|json|quiet", hide_possible_values = true)]
    pub(crate) format: Option<Format>,
    /// All projects', whatever --project or DWELL_PROJECT say
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Show one environment and its services
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell status agent-1
  dwell status --json")]
pub(crate) struct Status {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) name: Option<EnvironmentName>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Wait until an environment is in a state
#[derive(Debug, Args)]
#[command(after_help = "\
Ends with exit code 124 when the time is over.

Examples:
  dwell wait agent-1 --for ready --timeout 2m
  dwell wait agent-1 --for idle && dwell diff agent-1")]
pub(crate) struct Wait {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) name: Option<EnvironmentName>,
    /// running: every service runs; ready: and is healthy; stopped: none runs; idle: no session
    #[arg(long = "for", value_enum, value_name = "STATE", default_value = "ready")]
    pub(crate) state: WaitState,
    /// Give up after this long: 90s, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", env = "DWELL_TIMEOUT")]
    pub(crate) timeout: Seconds,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// A state to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitState {
    Running,
    Ready,
    Stopped,
    Idle,
}
