//! Arguments of the commands that use an environment: its services, its names, its work.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use dwell_core::{EnvironmentName, ServiceName, SessionName};

use super::InProject;
use super::parse::variable;

/// Run a command in a service's container
#[derive(Debug, Args)]
#[command(
    override_usage = "dwell exec [OPTIONS] <ENV> <SERVICE> [COMMAND]...",
    after_help = "\
Without a command it runs sh. Everything after the service belongs to the command, whose exit
code becomes dwell's.

Examples:
  dwell exec agent-1 web
  dwell exec agent-1 db psql -U shop
  dwell exec -T agent-1 db pg_dump shop > shop.sql"
)]
pub(crate) struct Exec {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(crate) environment: EnvironmentName,
    /// The service, and the command
    #[arg(
        value_name = "SERVICE",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<OsString>,
    /// Pass standard input on; `-i=false` does not
    #[arg(
        short,
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true,
        value_name = "true|false"
    )]
    pub(crate) interactive: bool,
    /// Use a terminal; by default where stdin and stdout are one
    #[arg(
        short,
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        conflicts_with = "no_tty",
        value_name = "true|false"
    )]
    pub(crate) tty: Option<bool>,
    /// Use no terminal
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
    /// Which replica, from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) index: u32,
    /// Set a variable; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, Option<String>)>,
    /// The user to run it as
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// The directory to run it in
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Show the logs of services, or a session's transcript
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell logs agent-1
  dwell logs agent-1 web -f -n 20
  dwell logs agent-1 --session claude")]
pub(crate) struct Logs {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// Only this service's
    #[arg(value_name = "SERVICE", conflicts_with = "session")]
    pub(crate) service: Option<ServiceName>,
    /// Go on with what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The last lines of each container, or `all`
    #[arg(short = 'n', long, value_name = "LINES", default_value = "100", value_parser = tail)]
    pub(crate) tail: Tail,
    /// With the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// The transcript of this session instead; then ENV may be a workspace
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<SessionName>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// How many lines from the end; `None` is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail(pub(crate) Option<u32>);

pub(crate) fn tail(text: &str) -> Result<Tail, String> {
    if text == "all" {
        return Ok(Tail(None));
    }
    let lines = text.parse().map_err(|_| format!("`{text}` is neither a number nor `all`"))?;
    Ok(Tail(Some(lines)))
}

/// Print where an environment or a service is reached
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell url agent-1
  curl \"$(dwell url agent-1 api)/health\"
  dwell url agent-1 --open")]
pub(crate) struct Url {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// The service; by default the one that the environment's own name leads to
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<ServiceName>,
    /// Only print it (the default)
    #[arg(long, conflicts_with = "open")]
    pub(crate) print: bool,
    /// Open it in the browser
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Print variables that lead to an environment's services
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eval \"$(dwell env agent-1)\"
  dwell env agent-1 --format dotenv > .env.local")]
pub(crate) struct Env {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// How to write them
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "export")]
    pub(crate) format: VariablesFormat,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// How variables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VariablesFormat {
    /// `export` lines for a shell.
    Export,
    /// Lines of a `.env` file.
    Dotenv,
    /// One JSON object.
    Json,
}

/// Run docker compose on an environment
#[derive(Debug, Args)]
#[command(
    override_usage = "dwell compose [OPTIONS] <ENV> [ARGS]...",
    after_help = "\
Everything after the environment's name goes to docker compose; without arguments it runs ps.

Examples:
  dwell compose agent-1
  dwell compose agent-1 top
  dwell compose agent-1 logs -f --since 5m"
)]
pub(crate) struct Compose {
    /// The environment, and the arguments
    #[arg(
        value_name = "ENV",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<OsString>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Print the directory of an environment's source tree
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cd \"$(dwell path agent-1)\"")]
pub(crate) struct Path {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Show an environment's work, committed or not, compared with its source
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dwell diff agent-1
  dwell diff agent-1 --stat
  dwell diff agent-1 --name-only")]
pub(crate) struct Diff {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// Changed lines of each file only
    #[arg(long, conflicts_with = "name_only")]
    pub(crate) stat: bool,
    /// File names only
    #[arg(long)]
    pub(crate) name_only: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Bring an environment's work into its source
#[derive(Debug, Args)]
#[command(after_help = "\
Stops, and changes nothing, where both sides changed the same lines.

Examples:
  dwell merge agent-1
  dwell merge agent-1 --squash --commit 'Add the basket'")]
pub(crate) struct Merge {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// One commit instead of the environment's own
    #[arg(long)]
    pub(crate) squash: bool,
    /// First commit the environment's uncommitted work with this message
    #[arg(short = 'm', long, value_name = "MESSAGE")]
    pub(crate) commit: Option<String>,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Bring the source's work into an environment
#[derive(Debug, Args)]
#[command(after_help = "\
One way and only when asked: at `up`, `run` and `sync`. What was changed in the environment stays;
where both sides changed the same, nothing is changed at all.

Examples:
  dwell sync agent-1
  dwell sync agent-3 --force")]
pub(crate) struct Sync {
    /// The environment; may be left out in its tree
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// Take the source's side where both changed the same, of an environment on another node
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}

/// Bring an environment's work from its node into a branch of its source
#[derive(Debug, Args)]
#[command(after_help = "\
Commits come as they are, uncommitted work as one more commit. The branch is `dwell/<environment>`;
the branch that you are on and your files stay as they are.

Examples:
  dwell pull agent-3
  dwell pull agent-3 && git merge dwell/agent-3")]
pub(crate) struct Pull {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(crate) environment: Option<EnvironmentName>,
    /// Move the branch although it has commits of its own
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) project: InProject,
}
