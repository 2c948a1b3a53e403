//! Docker Compose, through its command line: it reads projects and brings stacks up, so its
//! semantics are Docker's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::process::{ProcessError, Program};

/// Why compose did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Docker or its compose plugin is not there.
    #[error("{0}")]
    Missing(String),
    /// The project is not valid.
    #[error("the compose project in {} is not valid: {why}", directory.display())]
    Invalid {
        /// The project directory.
        directory: PathBuf,
        /// What compose said.
        why: String,
    },
    /// Bringing it up failed.
    #[error("`docker compose {verb}` failed: {why}")]
    Failed {
        /// What was asked.
        verb: String,
        /// The last lines that compose wrote.
        why: String,
    },
    /// The engine went away under it.
    #[error(transparent)]
    Engine(#[from] crate::docker::EngineError),
    /// It could not be run or did not end in time.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Where packages put the plugins of the `docker` command.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// Where a project's files are and how to read them.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// The project directory.
    pub directory: PathBuf,
    /// Compose files; empty means compose's own defaults.
    pub files: Vec<PathBuf>,
    /// Env files for interpolation; empty means `.env`.
    pub env_files: Vec<PathBuf>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// The caller's `COMPOSE_*` variables.
    pub variables: BTreeMap<String, String>,
}

/// The version of the compose plugin.
pub async fn version() -> Result<String, ComposeError> {
    let finished = compose()
        .args(["version", "--short"])
        .limit(Duration::from_secs(10))
        .finish()
        .await
        .map_err(missing)?;
    if finished.ok() {
        Ok(finished.text())
    } else {
        Err(ComposeError::Missing("the Docker Compose plugin (v2) is not installed".to_owned()))
    }
}

fn missing(error: ProcessError) -> ComposeError {
    match error {
        ProcessError::Missing { program } => {
            ComposeError::Missing(format!("`{program}` is not installed or not on PATH"))
        }
        other => other.into(),
    }
}

/// Compose, without the variables of another compose project that the daemon may have inherited.
/// The plugin's own program is called where it is found, which saves the `docker` command that
/// would look for it and call it twice.
fn compose() -> Program {
    let program = match plugin() {
        Some(plugin) => Program::new(plugin),
        None => Program::new("docker").arg("compose"),
    };
    ["COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES"]
        .into_iter()
        .fold(program, |program, name| program.without_env(name))
        .env("COMPOSE_MENU", "0")
        .env("DOCKER_CLI_HINTS", "false")
}

/// The compose plugin, in the places where the `docker` command looks for it and in its order
/// (https://docs.docker.com/compose/install/linux/#install-the-plugin-manually). Where there is
/// no `docker` command, nobody finds the plugin.
fn plugin() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|directory| directory.join("docker").is_file())?;
    let configured = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let users = configured.or_else(|| Some(std::env::home_dir()?.join(".docker")));
    let places = users.map(|place| place.join("cli-plugins")).into_iter();
    let system = PLUGINS.iter().map(PathBuf::from);
    places.chain(system).map(|place| place.join("docker-compose")).find(|file| file.is_file())
}

impl Project {
    fn program(&self) -> Program {
        let mut program = compose().directory(&self.directory);
        for (name, value) in
            self.variables.iter().filter(|(n, _)| n.as_str() != "COMPOSE_PROJECT_NAME")
        {
            program = program.env(name, value);
        }
        for file in &self.files {
            program = program.arg("-f").arg(file);
        }
        for file in &self.env_files {
            program = program.arg("--env-file").arg(file);
        }
        for profile in &self.profiles {
            program = program.arg("--profile").arg(profile);
        }
        program
    }

    /// Reads the project into compose's canonical model: everything included, extended,
    /// overridden and interpolated, and only active services.
    pub async fn config(&self) -> Result<Value, ComposeError> {
        let program =
            self.program().args(["config", "--format", "json"]).limit(Duration::from_secs(60));
        let finished = program.finish().await.map_err(missing)?;
        let invalid =
            |why: String| ComposeError::Invalid { directory: self.directory.clone(), why };
        if !finished.ok() {
            let why = finished.error_text();
            if why.contains("is not a docker command") || why.contains("unknown shorthand flag") {
                return Err(ComposeError::Missing(
                    "the Docker Compose plugin (v2) is not installed".to_owned(),
                ));
            }
            return Err(invalid(why));
        }
        serde_json::from_slice(&finished.stdout).map_err(|e| {
            invalid(format!("`docker compose config --format json` gave no JSON ({e}); compose 2.26 or later does"))
        })
    }
}

/// An isolated stack: one self-contained compose file under a project name of its own.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The compose project name.
    pub name: String,
    /// The compose file.
    pub file: PathBuf,
    /// The directory that relative paths start from.
    pub directory: PathBuf,
}

/// How to bring a stack up.
#[derive(Clone, Default)]
pub struct UpOptions {
    /// Variables whose values become secrets or configs.
    pub variables: BTreeMap<String, String>,
    /// Builds images even where they exist.
    pub build: bool,
    /// Makes all containers anew.
    pub recreate: bool,
    /// Waits until healthchecks pass.
    pub wait: bool,
}

impl Stack {
    /// The arguments after `docker` that select this stack.
    pub fn arguments(&self) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        ["compose", "-p", &self.name, "-f", &text(&self.file), "--project-directory"]
            .into_iter()
            .map(str::to_owned)
            .chain([text(&self.directory)])
            .collect()
    }

    fn program(&self, verb: &[&str]) -> Program {
        compose().args(self.arguments().iter().skip(1)).args(verb).directory(&self.directory)
    }

    /// Brings the stack up; every line that compose writes goes to `line`. Dropping the future
    /// kills compose.
    pub async fn up(
        &self,
        options: UpOptions,
        mut line: impl FnMut(String),
    ) -> Result<(), ComposeError> {
        let mut verb =
            vec!["--ansi", "never", "--progress", "plain", "up", "--detach", "--remove-orphans"];
        for (flag, on) in [
            ("--build", options.build),
            ("--force-recreate", options.recreate),
            ("--wait", options.wait),
        ] {
            if on {
                verb.push(flag);
            }
        }
        let mut program = self.program(&verb);
        for (name, value) in &options.variables {
            program = program.env(name, value);
        }
        let mut child = program.spawn().map_err(missing)?;
        let mut tail: Vec<String> = Vec::new();
        let (out, err) = child.pipes();
        let mut out = out.map(|pipe| BufReader::new(pipe).lines());
        let mut err = err.map(|pipe| BufReader::new(pipe).lines());
        let read = async {
            while out.is_some() || err.is_some() {
                let next = tokio::select! {
                    text = next_line(&mut out) => text,
                    text = next_line(&mut err) => text,
                };
                if let Some(text) = next.filter(|text| !text.trim().is_empty()) {
                    tail.push(text.clone());
                    line(text);
                }
            }
            child.wait().await
        };
        let limit = Duration::from_secs(30 * 60);
        let status = tokio::time::timeout(limit, read)
            .await
            .map_err(|_| ProcessError::TimedOut { command: program.line(), limit })?
            .map_err(|source| ProcessError::Io { program: program.name(), source })?;
        if status.success() {
            return Ok(());
        }
        Err(ComposeError::Failed { verb: "up".to_owned(), why: reason(&tail) })
    }
}

/// The lines that tell why: those after the last progress line, or the last few.
fn reason(lines: &[String]) -> String {
    let telling: Vec<&str> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| {
            let lower = line.to_ascii_lowercase();
            ["error", "fail", "denied", "not found", "invalid", "unhealthy", "cannot", "exited"]
                .iter()
                .any(|word| lower.contains(word))
        })
        .collect();
    let telling: Vec<&str> =
        telling.into_iter().filter(|line| !line.starts_with("Container ")).collect();
    let chosen: Vec<&str> =
        if telling.is_empty() { lines.iter().map(|l| l.trim()).collect() } else { telling };
    let start = chosen.len().saturating_sub(6);
    chosen.get(start..).unwrap_or_default().join("\n")
}

type Lines<R> = Option<tokio::io::Lines<BufReader<R>>>;

/// The next line of a pipe that may have ended; sets it to `None` when it does.
async fn next_line<R: tokio::io::AsyncRead + Unpin>(pipe: &mut Lines<R>) -> Option<String> {
    let Some(lines) = pipe else {
        return std::future::pending().await;
    };
    match lines.next_line().await {
        Ok(Some(text)) => Some(text),
        Ok(None) | Err(_) => {
            *pipe = None;
            None
        }
    }
}
