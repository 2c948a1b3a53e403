//! Arguments of the command about servers of the Model Context Protocol.

use clap::{Args, Subcommand};
use dwell_core::WorkspaceName;
use dwell_core::agent::mcp::{SecretName, ServerName};

/// Servers of the Model Context Protocol (MCP) for the agents of a workspace
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell agent mcp add box filesystem memory
  dwell agent mcp ls box
  dwell agent mcp rm box memory")]
pub(crate) struct Mcp {
    #[command(subcommand)]
    pub(crate) action: McpAction,
}

/// What to do about servers.
#[derive(Debug, Subcommand)]
pub(crate) enum McpAction {
    /// List the servers of a workspace: whether each answers, and which agents know it
    #[command(
        visible_alias = "list",
        after_help = "\
Each is started in the workspace and asked for its tools, as an agent would.

Examples:
  dwell agent mcp ls box
  dwell agent mcp ls box --json"
    )]
    Ls {
        /// The workspace
        #[arg(value_name = "WORKSPACE")]
        workspace: WorkspaceName,
    },
    Add(Add),
    /// Remove servers from a workspace and from the settings of its agents
    #[command(
        visible_alias = "remove",
        after_help = "\
What else is in those settings stays as it is, and so does an entry that was changed since.

Examples:
  dwell agent mcp rm box memory"
    )]
    Rm {
        /// The workspace
        #[arg(value_name = "WORKSPACE")]
        workspace: WorkspaceName,
        /// The servers
        #[arg(value_name = "SERVER", required = true)]
        servers: Vec<ServerName>,
        /// Also entries that were changed
        #[arg(long)]
        force: bool,
    },
}

/// Install servers in a workspace and tell its agents of them
#[derive(Debug, Args)]
#[command(after_help = "\
Offered are:
  filesystem  files of the workspace: its home, or what --dir names
  memory      a graph of facts, kept in the home
  github      GitHub's own server, with a token of yours
  playwright  a browser without a window: Playwright, with Chromium installed as a setup step
Any other is a command, after --.

Claude Code, Codex, OpenCode and Gemini CLI are told in their own settings, where they are installed;
Aider takes no servers. Adding one again brings it to the version of this dwell, and to agents that
came later. A secret is taken from the variable of its name, or asked for; it is kept in a file that
only the workspace's user reads. For github it is GITHUB_PERSONAL_ACCESS_TOKEN, GITHUB_TOKEN or
GH_TOKEN.

Examples:
  dwell agent mcp add box filesystem memory
  dwell agent mcp add box filesystem --dir /home/dev/work --dir /srv/data
  GITHUB_TOKEN=$(gh auth token) dwell agent mcp add box github
  dwell agent mcp add box tickets --secret TICKETS_KEY -- npx -y tickets-mcp@1.2.0")]
pub(crate) struct Add {
    /// The workspace
    #[arg(value_name = "WORKSPACE")]
    pub(crate) workspace: WorkspaceName,
    /// The servers
    #[arg(value_name = "SERVER", required = true)]
    pub(crate) servers: Vec<ServerName>,
    /// A directory that `filesystem` may use; may be given several times
    #[arg(long = "dir", value_name = "DIRECTORY")]
    pub(crate) directories: Vec<String>,
    /// Where `github` is, for GitHub Enterprise
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A variable with a secret that the server gets; may be given several times
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<SecretName>,
    /// In place of another one of the name
    #[arg(long)]
    pub(crate) force: bool,
    /// The command that the server is
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
