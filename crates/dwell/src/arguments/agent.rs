//! Arguments of the commands about coding agents.

use clap::{Args, Subcommand};
use dwell_core::agent::{Agent, AgentState};
use dwell_core::{EnvironmentName, SessionName, WorkspaceName};

use super::parse::agent;
use super::session::Send;
use super::{InProject, Seconds};

/// Coding agents: which are there, what they are doing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell agent ls --in box
  dwell agent install claude --in box
  dwell agent wait box && dwell agent state box --json
  dwell agent send box 'now run the tests'")]
pub(crate) struct Agents {
    #[command(subcommand)]
    pub(crate) action: AgentAction,
}

/// What to do about agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentAction {
    /// List the agents that dwell knows: whether each is here, or in a workspace
    #[command(
        visible_alias = "list",
        after_help = "Examples:\n  dwell agent ls\n  dwell agent ls --in box --json"
    )]
    Ls(There),
    Install(Install),
    Doctor(Doctor),
    Mcp(super::mcp::Mcp),
    State(State),
    Wait(Wait),
    /// Type text into an agent's session, as `dwell send` does
    #[command(after_help = "Examples:\n  dwell agent send box 'now run the tests'")]
    Send(Send),
}

/// Where agents are looked for.
#[derive(Debug, Args)]
pub(crate) struct There {
    /// In this workspace, not on this machine
    #[arg(long = "in", value_name = "WORKSPACE")]
    pub(crate) workspace: Option<WorkspaceName>,
}

/// Install an agent from its registry, below the home of the user who works there
#[derive(Debug, Args)]
#[command(after_help = "\
Claude Code, Codex, OpenCode and Gemini CLI take npm, Aider takes Python. What is in the home of a
workspace stays over a new image.

Examples:
  dwell agent install codex --in box")]
pub(crate) struct Install {
    /// The agent
    #[arg(value_name = "AGENT", value_parser = agent)]
    pub(crate) agent: &'static Agent,
    #[command(flatten)]
    pub(crate) there: There,
}

/// Tell what keeps an agent from working: whether it is there, starts and is signed in
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  dwell agent doctor claude --in box")]
pub(crate) struct Doctor {
    /// The agent; all that are there when absent
    #[arg(value_name = "AGENT", value_parser = agent)]
    pub(crate) agent: Option<&'static Agent>,
    #[command(flatten)]
    pub(crate) there: There,
}

/// The session of an agent.
#[derive(Debug, Args)]
pub(crate) struct OfAgent {
    /// The environment or the workspace
    #[arg(value_name = "ENV")]
    pub(crate) place: EnvironmentName,
    /// The session; may be left out where one runs
    #[arg(value_name = "SESSION")]
    pub(crate) session: Option<SessionName>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Print what an agent is doing
#[derive(Debug, Args)]
#[command(after_help = "\
One of: starting, working, needs_input, idle, done, error. Claude Code tells it by its hooks, Codex
partly; of others it is known by what their terminal shows and by their end.

Examples:
  dwell agent state box
  dwell agent state red claude --json")]
pub(crate) struct State {
    #[command(flatten)]
    pub(crate) of: OfAgent,
}

/// Wait until an agent has nothing to do, needs a person, or has ended
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the state that it came to. Ends with 1 when the agent ended with an error.

Examples:
  dwell agent wait box
  dwell agent wait box --for needs-input --timeout 10m")]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) of: OfAgent,
    /// The states to wait for; by default needs_input, idle, done and error
    #[arg(long = "for", value_name = "STATE,...", value_delimiter = ',')]
    pub(crate) states: Vec<AgentState>,
    /// Give up after this long, such as 90s or 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Seconds>,
}
