//! From a driver's error to the problem that people see: code, object, reason, what to do.

use dwell_api::{Code, Problem};
use dwell_core::compose::IsolationError;
use dwell_drivers::compose::ComposeError;
use dwell_drivers::docker::{EngineError, StartError};
use dwell_drivers::process::ProcessError;
use dwell_drivers::tree::TreeError;
use dwell_store::StoreError;

/// Turns a result's error into a problem.
pub(crate) trait OrProblem<T> {
    /// The value, or the problem that says why there is none.
    fn or_problem(self) -> Result<T, Problem>;
}

/// An error that says which problem it is.
pub(crate) trait IntoProblem {
    /// The problem.
    fn into_problem(self) -> Problem;
}

impl<T, E: IntoProblem> OrProblem<T> for Result<T, E> {
    fn or_problem(self) -> Result<T, Problem> {
        self.map_err(IntoProblem::into_problem)
    }
}

/// A file operation that failed on a path.
pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Problem {
    let message = format!("{what} {} failed: {error}", path.display());
    if full(error) {
        return Problem::new(Code::DiskFull, message).hint("free some space and try again");
    }
    Problem::new(Code::State, message)
}

fn full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// A tool says "No space left on device" in words.
fn says_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("no space left on device")
}

impl IntoProblem for StoreError {
    fn into_problem(self) -> Problem {
        match &self {
            StoreError::Full => {
                Problem::new(Code::DiskFull, self.to_string()).hint("free some space and try again")
            }
            StoreError::Exists => Problem::new(Code::Exists, self.to_string()),
            StoreError::Newer { .. } => Problem::new(Code::State, self.to_string())
                .hint("install that version again, or move the file away to start afresh"),
            _ => Problem::new(Code::State, self.to_string()).hint("see `dwell node logs`"),
        }
    }
}

impl IntoProblem for EngineError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        match &self {
            EngineError::Unreachable { .. } => Problem::new(Code::EngineUnreachable, message)
                .hint("start Docker (`systemctl start docker`), or set DOCKER_HOST; `dwell doctor` tells more"),
            EngineError::TimedOut { .. } => Problem::new(Code::Timeout, message)
                .hint("the engine may be overloaded or stuck; try again"),
            EngineError::NotFound(_) => Problem::new(Code::NotFound, message),
            EngineError::Conflict(_) => Problem::new(Code::Conflict, message),
            EngineError::Other(text) if says_full(text) => {
                Problem::new(Code::DiskFull, message).hint("free some space, e.g. `docker system prune`")
            }
            EngineError::Other(_) => Problem::new(Code::ToolFailed, message),
        }
    }
}

impl IntoProblem for StartError {
    fn into_problem(self) -> Problem {
        match self {
            StartError::Engine(error) => error.into_problem(),
            StartError::Ended { .. } => Problem::new(Code::ToolFailed, self.to_string()),
            StartError::NotReady { .. } => Problem::new(Code::Timeout, self.to_string()),
        }
    }
}

impl IntoProblem for ProcessError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        match &self {
            ProcessError::Missing { program } => {
                let hint = format!("install `{program}` and try again");
                Problem::new(Code::ToolMissing, message).hint(hint)
            }
            ProcessError::TimedOut { .. } => Problem::new(Code::Timeout, message),
            ProcessError::Io { source, .. } if full(source) => {
                Problem::new(Code::DiskFull, message)
            }
            ProcessError::Failed { stderr, .. } if says_full(stderr) => {
                Problem::new(Code::DiskFull, message).hint("free some space and try again")
            }
            ProcessError::Failed { .. } | ProcessError::Io { .. } => {
                Problem::new(Code::ToolFailed, message)
            }
        }
    }
}

impl IntoProblem for ComposeError {
    fn into_problem(self) -> Problem {
        match self {
            ComposeError::Missing(message) => Problem::new(Code::ToolMissing, message).hint(
                "install Docker with the compose plugin: https://docs.docker.com/compose/install/",
            ),
            ComposeError::Invalid { directory, why } => {
                let place = directory.display();
                let first = why.lines().next().unwrap_or_default().to_owned();
                let message = format!("the compose project in {place} is not valid: {first}");
                Problem::new(Code::InvalidCompose, message)
                    .hint("`docker compose config` in that directory shows the same")
                    .details(why.lines().skip(1))
            }
            ComposeError::Failed { verb, why } => {
                let code = if says_full(&why) { Code::DiskFull } else { Code::ToolFailed };
                let mut lines: Vec<&str> = why.lines().collect();
                let last = lines.pop().unwrap_or("it gave no reason");
                Problem::new(code, format!("`docker compose {verb}` failed: {last}")).details(lines)
            }
            ComposeError::Engine(error) => error.into_problem(),
            ComposeError::Process(error) => error.into_problem(),
        }
    }
}

impl IntoProblem for IsolationError {
    fn into_problem(self) -> Problem {
        Problem::new(Code::InvalidCompose, self.to_string())
    }
}

impl IntoProblem for TreeError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        let paths = |paths: &[std::path::PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.display().to_string()).collect()
        };
        match self {
            Self::Git(error) => error.into_problem(),
            Self::Io { path, source } => file("using", &path, &source),
            Self::Exists { .. } => {
                Problem::new(Code::Exists, message).hint("move it away, or choose another name")
            }
            Self::NoSource { .. } | Self::NoTree { .. } | Self::NoRevision { .. } => {
                Problem::new(Code::NotFound, message)
            }
            Self::Pattern { .. } | Self::InPlace { .. } | Self::Elsewhere { .. } => {
                Problem::new(Code::InvalidArgument, message)
            }
            Self::Busy { .. } => Problem::new(Code::Conflict, message),
            Self::Conflicts { paths: both } | Self::Kept { paths: both, .. } => {
                Problem::new(Code::Conflict, message)
                    .hint("nothing was lost; commit or undo one side's change, then try again")
                    .details(paths(&both))
            }
            Self::Uncommitted { paths: own } => Problem::new(Code::UnsavedWork, message)
                .hint(
                    "commit it in the environment, or have it committed with `--commit <message>`",
                )
                .details(paths(&own)),
            Self::Unsaved(_) => Problem::new(Code::UnsavedWork, message),
            Self::Refused { .. } | Self::Undeletable { .. } | Self::Memory { .. } => {
                Problem::new(Code::ToolFailed, message)
            }
        }
    }
}
