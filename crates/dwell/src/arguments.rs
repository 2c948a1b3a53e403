//! The command line, as types. Names are parsed here, once; nothing is decided here.

pub(crate) mod agent;
pub(crate) mod android;
pub(crate) mod begin;
pub(crate) mod connect;
pub(crate) mod credentials;
pub(crate) mod environment;
pub(crate) mod forward;
pub(crate) mod image;
pub(crate) mod mcp;
pub(crate) mod node;
pub(crate) mod open;
mod parse;
pub(crate) mod placement;
#[cfg(test)]
mod reference;
pub(crate) mod remote;
pub(crate) mod session;
pub(crate) mod setup;
pub(crate) mod snapshot;
pub(crate) mod ssh;
#[cfg(test)]
mod tests;
pub(crate) mod vnc;
pub(crate) mod work;
pub(crate) mod workspace;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dwell_core::ProjectName;

pub(crate) use parse::{EnvironmentAndRest, Seconds};

/// The help of `dwell` itself; every visible command is in one of its groups.
const HELP: &str = "\
{about}

{usage-heading} {usage}

Environments:
  create       Make an environment: an isolated copy of a compose project
  up           Bring an environment up, making it first if it is missing
  down         Stop an environment; its tree and volumes stay
  move         Move an environment, or services of it, to another node
  destroy      Remove an environment and everything of it
  ls           List environments
  status       Show one environment and its services
  wait         Wait until an environment is in a state

Agents and sessions:
  run          Run an agent or a command in an environment, in a session that stays
  attach       Attach the terminal to a session
  sessions     List sessions, or end one
  send         Type text into a session
  agent        Coding agents: which are there, what they are doing

An agent at work on this project, in a workspace of its own:
  claude       Have Claude Code work on the project that you are in
  codex        Have Codex work on the project that you are in
  opencode     Have OpenCode work on the project that you are in
  aider        Have Aider work on the project that you are in
  gemini       Have Gemini CLI work on the project that you are in

Workspaces:
  workspace    Make and look after workspaces: persistent machines to work in
  keep         Keep a workspace awake for a time
  connect      Choose a workspace and a session on a screen, and attach to it
  ssh          Log in to a workspace with ssh
  credentials  Sign-ins of agents that workspaces share
  config-ssh   Have ssh, scp, rsync, git and editors find workspaces as <name>.dwell
  vnc          See the desktop of a workspace in a browser
  android      Run the Android emulator on the desktop of a workspace
  open         Open a workspace in an editor of this machine, over ssh
  tunnel       Reach a workspace through a tunnel of an editor's maker
  forward      Reach ports of a workspace or an environment at ports of this machine
  ports        List what listens in a workspace

Services:
  exec         Run a command in a service's container
  logs         Show the logs of services, or a session's transcript
  url          Print where an environment or a service is reached
  env          Print variables that lead to an environment's services
  compose      Run docker compose on an environment

Work:
  path         Print the directory of an environment's source tree
  diff         Show an environment's work
  merge        Bring an environment's work into its source
  sync         Bring the source's work into an environment
  pull         Bring the work of an environment on another node into a branch

Project and machine:
  init         Write a dwell.toml for the project
  config       Show the project's configuration, or have your own settings follow you
  trust        Trust the commands that a project wants to run
  setup        Let the system resolve dwell's names, and start dwell with the machine
  doctor       Look for what does not work, and say what to do
  node         Start, stop and look at the daemon
  remote       Register other machines as nodes, and look after them
  image        Build the images that workspaces are made from
  completion   Print a completion script for a shell

Options:
{options}{after-help}";

const EXAMPLES: &str = "\
Examples:
  dwell run claude agent-1            an agent in a fresh copy of this project
  dwell up agent-2 && dwell url       another copy, and where to look at it
  dwell exec agent-2 db psql -U shop  a command in one of its containers
  dwell destroy agent-1

`dwell <command> --help` shows each command's options and examples.";

/// Places for coding agents and people: isolated, named copies of a compose project.
#[derive(Debug, Parser)]
#[command(
    name = "dwell",
    version,
    about = "Isolated, named environments of a compose project, and agent sessions that stay up",
    help_template = HELP,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Print results and errors as JSON on stdout
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// How to print results
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        env = "DWELL_OUTPUT",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "table|json",
        help_heading = "Global options"
    )]
    pub(crate) output: Option<Format>,
    /// Print names only, and no progress
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Never ask; fail and say what to pass instead
    #[arg(
        long,
        global = true,
        env = "DWELL_NO_INPUT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) no_input: bool,
    /// Show everything that tools say during operations
    #[arg(
        long,
        global = true,
        env = "DWELL_VERBOSE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) verbose: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// Names only.
    Quiet,
}

/// Narrows a name to a project.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InProject {
    /// The project; needed only where the environment's name alone is ambiguous
    #[arg(long, env = "DWELL_PROJECT", hide_env_values = true, value_name = "NAME")]
    pub(crate) project: Option<ProjectName>,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(environment::Create),
    Up(environment::Up),
    Down(environment::Down),
    Move(environment::Move),
    #[command(visible_aliases = ["rm", "delete"])]
    Destroy(environment::Destroy),
    #[command(visible_alias = "list")]
    Ls(environment::Ls),
    Status(environment::Status),
    Wait(environment::Wait),
    Run(session::Run),
    Attach(session::Attach),
    Sessions(session::Sessions),
    Send(session::Send),
    /// Have Claude Code work on the project that you are in
    Claude(begin::Begin),
    /// Have Codex work on the project that you are in
    Codex(begin::Begin),
    /// Have OpenCode work on the project that you are in
    Opencode(begin::Begin),
    /// Have Aider work on the project that you are in
    Aider(begin::Begin),
    /// Have Gemini CLI work on the project that you are in
    Gemini(begin::Begin),
    #[command(visible_alias = "agents")]
    Agent(agent::Agents),
    Exec(work::Exec),
    Logs(work::Logs),
    Url(work::Url),
    Env(work::Env),
    Compose(work::Compose),
    Path(work::Path),
    Diff(work::Diff),
    Merge(work::Merge),
    Sync(work::Sync),
    Pull(work::Pull),
    Init(setup::Init),
    Config(setup::Config),
    Trust(setup::Trust),
    Setup(setup::Setup),
    Doctor(setup::Doctor),
    Node(node::Node),
    #[command(visible_alias = "host")]
    Remote(remote::Remote),
    Image(image::Image),
    #[command(visible_alias = "ws")]
    Workspace(workspace::Workspace),
    Keep(workspace::Keep),
    Connect(connect::Connect),
    Ssh(ssh::Ssh),
    ConfigSsh(ssh::ConfigSsh),
    Vnc(vnc::Vnc),
    Android(android::Android),
    Open(open::Open),
    Tunnel(open::Tunnel),
    Forward(forward::Forward),
    Ports(forward::Ports),
    Credentials(credentials::Credentials),
    Completion(setup::Completion),
    #[command(hide = true)]
    SessionShim(node::SessionShim),
    #[command(hide = true)]
    AgentHook(node::AgentHook),
    #[command(hide = true)]
    SessionTerminal(node::SessionTerminal),
    #[command(hide = true)]
    Relay(node::Relay),
    #[command(hide = true)]
    RsyncShell(node::RsyncShell),
    #[command(hide = true)]
    WorkspaceInit,
    #[command(hide = true)]
    WorkspaceCommands,
    #[command(hide = true)]
    WorkspaceInside,
    #[command(hide = true)]
    WorkspaceListening,
    #[command(hide = true)]
    WorkspaceViewer,
    #[command(hide = true)]
    WorkspaceSettings,
    #[command(hide = true)]
    WorkspaceMcp,
    #[command(hide = true)]
    WorkspaceBrowser,
    #[command(hide = true)]
    WorkspaceCredentials,
    #[command(hide = true)]
    WorkspaceSigns,
    #[command(hide = true)]
    WorkspaceHostname(node::WorkspaceHostname),
    #[command(hide = true)]
    EmptyDirectory(node::EmptyDirectory),
}

impl Arguments {
    /// How to print, the last and most specific wish first.
    pub(crate) fn format(&self) -> Format {
        let own = match &self.command {
            Command::Ls(ls) => ls.format,
            _ => None,
        };
        match (self.common.json, own.or(self.common.output), self.common.quiet) {
            (true, _, _) => Format::Json,
            (_, _, true) => Format::Quiet,
            (_, format, _) => format.unwrap_or(Format::Table),
        }
    }
}
