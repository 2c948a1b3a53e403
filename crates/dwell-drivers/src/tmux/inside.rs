//! tmux in a container: every command of it runs there, by the engine, as the container's user.

use std::path::PathBuf;

use super::{LIMIT, TmuxError};
use crate::docker::{Engine, ExecSpec};
use crate::process::{Finished, Program};

/// The container in which a tmux server runs.
#[derive(Debug, Clone)]
pub struct Inside {
    /// The engine.
    pub engine: Engine,
    /// The container, which runs.
    pub container: String,
    /// As whom.
    pub user: String,
    /// Where windows begin that people open beside sessions.
    pub directory: String,
    /// Variables that the server gets when it starts, as `NAME=value`.
    pub variables: Vec<String>,
    /// The server's configuration, in the container.
    pub config: PathBuf,
}

impl Inside {
    /// Runs a command there, with its words and its input; what it knows of this machine besides
    /// does not hold there.
    pub(super) async fn finish(&self, program: &Program) -> Result<Finished, TmuxError> {
        let (command, input) = program.elsewhere();
        let spec = ExecSpec {
            command,
            variables: self.variables.clone(),
            user: Some(self.user.clone()),
            directory: Some(self.directory.clone()),
            ..ExecSpec::default()
        };
        let finished = self.engine.run_inside(&self.container, spec, input, LIMIT).await?;
        if is_missing(&finished) {
            return Err(TmuxError::MissingInside { container: self.container.clone() });
        }
        Ok(finished)
    }
}

/// Whether the engine says that it found no such program, which it does in the program's place.
fn is_missing(finished: &Finished) -> bool {
    let says = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.starts_with("OCI runtime exec failed") && text.contains("executable file not found")
    };
    matches!(finished.code, Some(126 | 127)) && (says(&finished.stdout) || says(&finished.stderr))
}
