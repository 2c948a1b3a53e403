//! Arguments of the commands about workspaces.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};
use dwell_api::workspace::EnvironmentRef;
use dwell_core::credentials::SignIn;
use dwell_core::idle::{After, Span};
use dwell_core::settings::DotfilesRef;
use dwell_core::workspace::{Docker, ImageRef, Sizing};
use dwell_core::{NameError, NodeName, WorkspaceName};

use super::parse::variable;
use super::snapshot::{Fork, Setup, Snapshot, Upgrade};

/// Make and look after workspaces: persistent machines to work in
#[derive(Debug, Args)]
#[command(after_help = "\
A workspace is a container that lives like a machine: what is installed in it stays over stop and
start, and its home outlives the container itself. It has a network of its own.

Examples:
  dwell ws create box --class small --env red
  dwell ws exec box
  dwell ws suspend box && dwell ws resume box
  dwell ws destroy box && dwell ws restore box")]
pub(crate) struct Workspace {
    #[command(subcommand)]
    pub(crate) action: WorkspaceAction,
}

/// What to do with workspaces.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceAction {
    Create(Create),
    /// List the workspaces
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  dwell ws ls\n  dwell ws ls --all --json"
    )]
    Ls {
        /// Also those that are destroyed and whose homes are kept
        #[arg(short, long)]
        all: bool,
    },
    /// Show one workspace
    #[command(after_help = "Examples:\n  dwell ws show box --json")]
    Show(Named),
    /// Start a workspace that is stopped
    #[command(after_help = "Examples:\n  dwell ws start box")]
    Start(Named),
    /// End what runs in a workspace; its file system stays
    #[command(after_help = "Examples:\n  dwell ws stop box")]
    Stop(Named),
    /// Freeze a workspace as it is, in memory
    #[command(after_help = "\
It takes no processor time until it is resumed, by `dwell ws resume` or by a command in it.

Examples:
  dwell ws suspend box")]
    Suspend(Named),
    /// Let a frozen workspace go on
    #[command(after_help = "Examples:\n  dwell ws resume box")]
    Resume(Named),
    /// Change what a workspace may use, while it runs
    #[command(after_help = "\
What is not named stays as it is. What runs already keeps its DWELL_CPUS and DWELL_MEMORY_MB; what
is started from then on sees the new ones.

Examples:
  dwell ws resize box large
  dwell ws resize box mem=6g")]
    Resize {
        #[command(flatten)]
        it: Named,
        /// small, medium or large, or limits such as cpu=2,mem=4g
        #[arg(value_name = "LIMITS")]
        sizing: Sizing,
    },
    /// Call a workspace something else
    #[command(after_help = "Examples:\n  dwell ws rename box red-box")]
    Rename {
        #[command(flatten)]
        it: Named,
        /// Its new name
        #[arg(value_name = "NAME")]
        to: WorkspaceName,
    },
    /// Let connections to a workspace forward their ssh agent, or refuse that
    #[command(after_help = "\
By default `dwell ssh -A` may. Connections of before keep what they have.

Examples:
  dwell ws ssh-agent box deny
  dwell ws ssh-agent box allow")]
    SshAgent {
        #[command(flatten)]
        it: Named,
        /// Whether they may
        #[arg(value_enum, value_name = "allow|deny", hide_possible_values = true)]
        access: AgentAccess,
    },
    /// Put a workspace on an environment's networks
    #[command(after_help = "\
From then on `<service>.<env>.test` works in it, also after the environment went down and came up.

Examples:
  dwell ws join box red
  dwell ws join box shop/red --tree")]
    Join {
        #[command(flatten)]
        it: Membership,
        /// Also have its source tree there, at the same path; takes a new container
        #[arg(long)]
        tree: bool,
    },
    /// Take a workspace off an environment's networks
    #[command(after_help = "Examples:\n  dwell ws leave box red")]
    Leave(Membership),
    Exec(Exec),
    Idle(Idle),
    /// Show what waits to become a workspace, so that making one is instant
    #[command(after_help = "\
`[pool]` in config.toml says how many containers of an image wait, made, started and frozen:

  [pool]
  \"dwell-workspace:latest\" = 3

By default none does. A change of the file is followed at once.

Examples:
  dwell ws pool
  dwell ws pool --json")]
    Pool,
    #[command(visible_alias = "snapshots")]
    Snapshot(Snapshot),
    Fork(Fork),
    Setup(Setup),
    Upgrade(Upgrade),
    Destroy(Destroy),
    /// Make a destroyed workspace again, with its home
    #[command(after_help = "\
The home of a destroyed workspace is kept for 7 days. Everything else is as the image has it.

Examples:
  dwell ws restore box
  dwell ws restore box --name box-2")]
    Restore {
        /// The workspace's name, or its id where several of that name are kept
        #[arg(value_name = "WORKSPACE")]
        name: WorkspaceName,
        /// Call it something else
        #[arg(long = "name", value_name = "NAME")]
        to: Option<WorkspaceName>,
    },
}

/// Make a workspace and start it
#[derive(Debug, Args)]
#[command(after_help = "\
Classes: small has 1 processor and 2 GiB of memory, medium 2 and 4, large 4 and 8.

Examples:
  dwell ws create box
  dwell ws create box --class cpu=2,mem=6g
  dwell ws create box --node big
  dwell ws create box --settings --dotfiles https://github.com/you/dotfiles
  dwell ws create box --credentials claude
  dwell ws create box --image dwell-workspace:docker --docker rootless
  dwell ws create box --image debian:bookworm --env red --env blue")]
pub(crate) struct Create {
    /// Its name
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
    /// A Debian-family image; by default dwell-workspace:latest
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<ImageRef>,
    /// small, medium or large, or limits such as cpu=2,mem=4g,disk=20g; by default medium
    #[arg(long, value_name = "LIMITS")]
    pub(crate) class: Option<Sizing>,
    /// Another node to make it on, see `dwell remote ls`
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeName>,
    /// An environment that it joins; may be repeated
    #[arg(long, value_name = "[PROJECT/]ENV", value_parser = environment)]
    pub(crate) env: Vec<EnvironmentRef>,
    /// Bring your settings of git, ssh and agents, as `dwell config push` does
    #[arg(long, overrides_with = "no_settings")]
    pub(crate) settings: bool,
    /// Bring no settings, whatever `[person]` in config.toml says
    #[arg(long, overrides_with = "settings")]
    pub(crate) no_settings: bool,
    /// A repository of dotfiles to clone and install in it
    #[arg(long, value_name = "REPOSITORY", overrides_with = "no_dotfiles")]
    pub(crate) dotfiles: Option<DotfilesRef>,
    /// Install no dotfiles, whatever `[person]` in config.toml says
    #[arg(long, overrides_with = "dotfiles")]
    pub(crate) no_dotfiles: bool,
    /// Share an agent's sign-in with other workspaces: claude, codex, opencode, gemini; may be repeated
    #[arg(long, value_name = "AGENT", value_delimiter = ',')]
    pub(crate) credentials: Vec<SignIn>,
    /// How it has Docker: none, rootless, dind or socket
    #[arg(long, value_name = "MODE", default_value_t)]
    pub(crate) docker: Docker,
    /// Give it the device that the Android emulator takes; see `dwell android`
    #[arg(long)]
    pub(crate) android: bool,
}

/// Whether connections may forward their ssh agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AgentAccess {
    /// They may.
    Allow,
    /// They may not.
    Deny,
}

/// A workspace by its name or id.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
}

/// A workspace and an environment.
#[derive(Debug, Args)]
pub(crate) struct Membership {
    #[command(flatten)]
    pub(crate) it: Named,
    /// The environment
    #[arg(value_name = "[PROJECT/]ENV", value_parser = environment)]
    pub(crate) environment: EnvironmentRef,
}

/// Run a command in a workspace
#[derive(Debug, Args)]
#[command(
    override_usage = "dwell ws exec [OPTIONS] <WORKSPACE> [COMMAND]...",
    after_help = "\
Without a command it runs a login shell. Everything after the workspace belongs to the command,
whose exit code becomes dwell's. A frozen workspace is woken for it.

Examples:
  dwell ws exec box
  dwell ws exec box -- make test
  dwell ws exec -u root box apt-get install -y ripgrep"
)]
pub(crate) struct Exec {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) name: WorkspaceName,
    /// The command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
    /// Use no terminal, where stdin and stdout are one
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
    /// Set a variable; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, Option<String>)>,
    /// The user to run it as; by default dev
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// The directory to run it in; by default the home
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
}

/// Remove workspaces; their homes are kept for 7 days
#[derive(Debug, Args)]
#[command(after_help = "\
It names what runs and the work that is nowhere else, and asks first.

Examples:
  dwell ws destroy box
  dwell ws destroy box --dry-run
  dwell ws destroy box --force --purge")]
pub(crate) struct Destroy {
    /// The workspaces
    #[arg(value_name = "WORKSPACE", required = true)]
    pub(crate) names: Vec<WorkspaceName>,
    /// Do not ask, and lose what would be lost
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Do not ask; stop if work would be lost
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what would be lost
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Remove the home at once, for good
    #[arg(long)]
    pub(crate) purge: bool,
    /// Succeed if it does not exist
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
}

/// `red`, or `shop/red` where the name alone is ambiguous.
fn environment(text: &str) -> Result<EnvironmentRef, NameError> {
    match text.split_once('/') {
        Some((project, name)) => {
            Ok(EnvironmentRef { name: name.parse()?, project: Some(project.parse()?) })
        }
        None => Ok(EnvironmentRef { name: text.parse()?, project: None }),
    }
}

/// Show what holds a workspace awake and when it is put to sleep, or change when
#[derive(Debug, Args)]
#[command(after_help = "\
A workspace that nobody uses is frozen, and stopped when it was frozen for long. Both are undone by
whoever asks for something of it: ssh, a command, a connection to one of its ports. Use is typing,
connections with traffic, commands that run, output on terminals, and work of its processes. Asking
here is none.

Examples:
  dwell ws idle box
  dwell ws idle box --freeze-after 30m --stop-after off
  dwell ws idle box --off
  dwell ws idle box --reset")]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) it: Named,
    /// Freeze it when nothing happened for so long, or `off`
    #[arg(long, value_name = "TIME|off")]
    pub(crate) freeze_after: Option<After>,
    /// Stop it when it was frozen for so long, or `off`
    #[arg(long, value_name = "TIME|off")]
    pub(crate) stop_after: Option<After>,
    /// How long an agent that waits for a person, or a silent program in a terminal, counts as use
    #[arg(long, value_name = "TIME")]
    pub(crate) needs_input: Option<Span>,
    /// How long a silent terminal counts as use
    #[arg(long, value_name = "TIME")]
    pub(crate) attached: Option<Span>,
    /// Stop it when it has run for so long, whatever it does, or `off`
    #[arg(long, value_name = "TIME|off")]
    pub(crate) lifetime: Option<After>,
    /// Never put it to sleep
    #[arg(long, conflicts_with_all = ["freeze_after", "stop_after"])]
    pub(crate) off: bool,
    /// Forget what was set for it, so that the node's settings hold
    #[arg(long)]
    pub(crate) reset: bool,
}

/// Keep a workspace awake for a time
#[derive(Debug, Args)]
#[command(after_help = "\
It is not put to sleep before the time is over, whatever happens in it. Time in which the machine
itself sleeps does not count.

Examples:
  dwell keep box 2h --reason \"long build\"
  dwell keep box --release")]
pub(crate) struct Keep {
    #[command(flatten)]
    pub(crate) it: Named,
    /// How long: 90s, 30m, 2h, 1h30m, 3d
    #[arg(value_name = "TIME", required_unless_present = "release")]
    pub(crate) time: Option<Span>,
    /// Why, for those who ask what holds it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Take it back
    #[arg(long, conflicts_with_all = ["time", "reason"])]
    pub(crate) release: bool,
}
