//! The system's resolver: which of its files and settings lead dwell's suffixes to dwell.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dwell_api::paths::Paths;
use dwell_api::{Code, Problem};
use dwell_core::config::NodeConfig;
use dwell_core::resolver::{Facts, Plan, plan, undo};
use dwell_drivers::process::Program;
use dwell_net::setup;

use crate::output::show::command_line;

/// How long one program of the setup may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Setup changes the machine itself; tests have roots of their own.
const ROOT: &str = "/";

/// The plan for this system's resolver, and the way back.
#[derive(Debug)]
pub(super) struct Resolver {
    facts: Facts,
    plan: Plan,
    binary: PathBuf,
}

impl Resolver {
    /// Looks at the system and plans; nothing is changed.
    pub(super) fn of_system(paths: &Paths) -> Result<Self, Problem> {
        let config = node_config(paths)?;
        let binary = std::env::current_exe().map_err(|e| {
            Problem::new(Code::Internal, format!("dwell's own path is not known: {e}"))
        })?;
        let port = config.dns.port.get();
        let facts = setup::facts(Path::new(ROOT), config.dns.suffixes, port, &binary);
        let plan = plan(&facts).map_err(|e| {
            Problem::new(Code::InvalidConfig, format!("the resolver cannot be set up: {e}")).hint(
                "names also work without it: `dwell url`, the variables of `dwell run` and \
                 `*.localhost`",
            )
        })?;
        Ok(Self { facts, plan, binary })
    }

    /// What doing or undoing it would change, one text each.
    pub(super) fn changes(&self, back: bool) -> Vec<String> {
        if back {
            return undo(&self.facts).iter().map(ToString::to_string).collect();
        }
        let method = format!("by way of {}:", self.plan.method);
        let changes = self.plan.changes.iter().map(ToString::to_string);
        [method].into_iter().chain(changes).collect()
    }

    /// What a person should know about it.
    pub(super) fn notes(&self, back: bool) -> &[String] {
        if back { &[] } else { &self.plan.explain }
    }

    /// Does or undoes it.
    pub(super) async fn apply(&self, back: bool) -> Result<(), Problem> {
        let root = Path::new(ROOT);
        let done = if back {
            setup::apply(root, &undo(&self.facts), run).await
        } else {
            setup::carry_out(root, &self.plan, run).await
        };
        done.map_err(|e| Problem::new(Code::ToolFailed, e.to_string()))
    }

    /// Refuses to begin without the right to finish, and says how to get it.
    pub(super) fn check_rights(&self, back: bool) -> Result<(), Problem> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let variables = ["HOME", "DWELL_HOME", "XDG_CONFIG_HOME"].iter().filter_map(|name| {
            std::env::var(name).ok().map(|value| format!("{name}={value}"))
        });
        let mut words = vec!["sudo".to_owned(), "env".to_owned()];
        words.extend(variables);
        words.push(self.binary.display().to_string());
        words.extend(["setup".to_owned(), "--no-service".to_owned()]);
        if back {
            words.push("--undo".to_owned());
        }
        let message = "only root may change the system's resolver";
        Err(Problem::new(Code::InvalidArgument, message)
            .details([command_line(&words)])
            .hint("run the command above for the resolver; `dwell setup --no-resolver` does the rest"))
    }
}

async fn run(words: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let program = Program::new(program).args(arguments).limit(LIMIT);
    program.run().await.map(drop).map_err(|e| e.to_string())
}

/// The node's own configuration, which says the suffixes and the port.
fn node_config(paths: &Paths) -> Result<NodeConfig, Problem> {
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
