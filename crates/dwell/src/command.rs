//! The commands: each parses nothing and decides nothing, calls the node's API and prints.

mod agent;
mod android;
mod attach;
mod begin;
pub(crate) mod completion;
mod compose;
pub(crate) mod config;
pub(crate) mod connect;
mod credentials;
mod destroy;
mod doctor;
mod environment;
mod exec;
mod far;
mod forward;
mod image;
mod logs;
mod mcp;
mod moving;
mod node;
mod open;
mod operation;
pub(crate) mod remote;
mod run;
mod session;
mod setup;
mod show;
mod ssh;
mod trust;
mod url;
mod vnc;
mod work;
mod workspace;

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use dwell_api::paths::Paths;
use dwell_api::{Client, Code, Problem};
use dwell_core::agent::Agent;
use dwell_core::config::NodeConfig;

use crate::arguments::Command;
use crate::arguments::begin::Begin;
use crate::connect as daemon;
use crate::failure::{Ended, Failure};
use crate::output::Output;

/// What every command works with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) paths: Paths,
}

/// Where this binary is.
fn own_binary() -> Result<PathBuf, Problem> {
    dwell_drivers::own::path()
        .map_err(|e| Problem::new(Code::Internal, format!("the dwell binary is not known: {e}")))
}

impl Context {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, paths: Paths::from_env(variable) }
    }

    /// A connection to the node, whose daemon is started when it does not run.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Ok(daemon::connect(&self.paths).await?)
    }
}

/// A variable of the environment, with what the system knows where it is not set.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).or_else(|| match name {
        "HOME" => std::env::home_dir().map(Into::into),
        "XDG_RUNTIME_DIR" => {
            let directory = format!("/run/user/{}", rustix::process::getuid().as_raw());
            std::fs::metadata(&directory).ok().filter(std::fs::Metadata::is_dir)?;
            Some(directory.into())
        }
        _ => None,
    })
}

/// Runs a command on a runtime of this thread.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|e| Problem::new(Code::Internal, format!("no runtime could be made: {e}")))?;
    let output = runtime.block_on(future);
    // Not waiting for a thread that reads standard input.
    runtime.shutdown_background();
    Ok(output)
}

/// Runs a command that is a client of the node.
pub(crate) async fn run(command: Command, context: &Context) -> Ended {
    match dispatch(command, context).await {
        Err(Failure::Problem(problem)) => {
            Err(daemon::explain(*problem, &context.paths).await.into())
        }
        ended => ended,
    }
}

/// Has an agent work on the project around us.
async fn begin(it: Begin, agent: &str, context: &Context) -> Ended {
    let missing = || Problem::new(Code::Internal, "an agent is not known");
    begin::run(Agent::of(agent).ok_or_else(missing)?, it, context).await
}

async fn dispatch(command: Command, context: &Context) -> Ended {
    match command {
        Command::Create(it) => environment::create(it, context).await,
        Command::Up(it) => environment::up(it, context).await,
        Command::Down(it) => environment::down(it, context).await,
        Command::Move(it) => moving::run(it, context).await,
        Command::Destroy(it) => destroy::run(it, context).await,
        Command::Ls(it) => show::ls(it, context).await,
        Command::Status(it) => show::status(it, context).await,
        Command::Wait(it) => show::wait(it, context).await,
        Command::Path(it) => show::path(it, context).await,
        Command::Run(it) => run::run(it, context).await,
        Command::Attach(it) => attach::run(it, context).await,
        Command::Sessions(it) => session::run(it, context).await,
        Command::Send(it) => session::send(it, context).await,
        Command::Claude(it) => begin(it, "claude", context).await,
        Command::Codex(it) => begin(it, "codex", context).await,
        Command::Opencode(it) => begin(it, "opencode", context).await,
        Command::Aider(it) => begin(it, "aider", context).await,
        Command::Gemini(it) => begin(it, "gemini", context).await,
        Command::Agent(it) => agent::run(it, context).await,
        Command::Android(it) => android::run(it, context).await,
        Command::Exec(it) => exec::run(it, context).await,
        Command::Logs(it) => logs::run(it, context).await,
        Command::Url(it) => url::run(it, context).await,
        Command::Env(it) => url::env(it, context).await,
        Command::Compose(it) => compose::run(it, context).await,
        Command::Diff(it) => work::diff(it, context).await,
        Command::Merge(it) => work::merge(it, context).await,
        Command::Sync(it) => work::sync(it, context).await,
        Command::Pull(it) => work::pull(it, context).await,
        Command::Config(it) => config::run(it, context).await,
        Command::Trust(it) => trust::run(it, context).await,
        Command::Setup(it) => setup::run(it, context).await,
        Command::Doctor(it) => doctor::run(it, context).await,
        Command::Node(it) => node::run(it, context).await,
        Command::Remote(it) => remote::run(it, context).await,
        Command::Image(it) => image::run(it, context).await,
        Command::Init(it) => config::init(&it, context),
        Command::Completion(it) => completion::run(&it, &context.output),
        Command::SessionShim(it) => crate::roles::session_shim(&it),
        Command::AgentHook(it) => crate::roles::agent_hook(&it),
        Command::SessionTerminal(it) => crate::roles::session_terminal(&it),
        Command::Relay(it) => crate::roles::relay(&it),
        Command::RsyncShell(it) => crate::roles::rsync_shell(&it),
        Command::Workspace(it) => workspace::run(it, context).await,
        Command::Keep(it) => workspace::keep(it, context).await,
        Command::Connect(it) => connect::run(it, context).await,
        Command::Ssh(it) => ssh::run(it, context).await,
        Command::ConfigSsh(it) => ssh::configure(&it, context),
        Command::Vnc(it) => vnc::run(it, context).await,
        Command::Open(it) => open::run(it, context).await,
        Command::Tunnel(it) => open::tunnel(it, context).await,
        Command::Forward(it) => forward::run(it, context).await,
        Command::Ports(it) => forward::ports(it, context).await,
        Command::WorkspaceInit => crate::roles::workspace_init(),
        Command::WorkspaceCommands => crate::roles::workspace_commands(),
        Command::WorkspaceInside => crate::roles::workspace_inside(),
        Command::WorkspaceViewer => crate::roles::workspace_viewer(context),
        Command::WorkspaceListening => crate::roles::workspace_listening(context),
        Command::WorkspaceSettings => crate::roles::workspace_settings(),
        Command::WorkspaceMcp => crate::roles::mcp::workspace(),
        Command::WorkspaceBrowser => crate::roles::mcp::browser(),
        Command::WorkspaceCredentials => crate::roles::workspace_credentials(),
        Command::Credentials(it) => credentials::run(it, context).await,
        Command::WorkspaceSigns => crate::roles::workspace_signs(context),
        Command::WorkspaceHostname(it) => crate::roles::workspace_hostname(&it),
        Command::EmptyDirectory(it) => crate::roles::empty_directory(&it),
    }
}

/// The node's own configuration, as its file has it now.
pub(crate) fn node_config(paths: &Paths) -> Result<NodeConfig, Problem> {
    let path = paths.config_file();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => {
            let message = format!("`{}` cannot be read: {e}", path.display());
            return Err(Problem::new(Code::InvalidConfig, message));
        }
    };
    NodeConfig::from_toml(&text)
        .map_err(|e| Problem::new(Code::InvalidConfig, format!("{}: {e}", path.display())))
}

/// A key that makes one call safe to repeat.
fn idempotency_key() -> Result<String, Problem> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Problem::new(Code::Internal, format!("no random bytes: {e}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Microseconds since the Unix epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Takes the absence of an object for success where the user said so.
fn unless_missing<T>(result: Result<T, Failure>, ignore: bool) -> Result<Option<T>, Failure> {
    match result {
        Err(Failure::Problem(problem)) if ignore && problem.code == Code::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The exit code of a child as ours.
fn child_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(1)
}

/// The variables that a command was given: those without a value get the shell's, or are left
/// out where the shell has none.
fn given_variables(given: Vec<(String, Option<String>)>) -> Vec<(String, String)> {
    let value = |(name, value): (String, Option<String>)| {
        let value = value.or_else(|| std::env::var(&name).ok())?;
        Some((name, value))
    };
    given.into_iter().filter_map(value).collect()
}
