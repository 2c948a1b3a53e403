//! tmux in a container: every command of it runs there, as the container's user.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{LIMIT, TmuxError};
use crate::command::MISSING;
use crate::docker::{EngineError, ExecSpec};
use crate::process::{Finished, Program};

/// Runs a command in a container to its end, with this as its whole input, within a time.
pub type Run = Arc<
    dyn Fn(ExecSpec, Option<Vec<u8>>, Duration) -> BoxFuture<'static, Result<Finished, EngineError>>
        + Send
        + Sync,
>;

/// The container in which a tmux server runs.
#[derive(Clone)]
pub struct Inside {
    /// What runs commands there.
    pub run: Run,
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

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").field("container", &self.container).finish_non_exhaustive()
    }
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
        let finished = (self.run)(spec, input.map(<[u8]>::to_vec), LIMIT).await?;
        if is_missing(&finished) {
            return Err(TmuxError::MissingInside { container: self.container.clone() });
        }
        Ok(finished)
    }
}

/// Whether who should have started it says that there is no such program, which it does in the
/// program's place.
fn is_missing(finished: &Finished) -> bool {
    let says = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.starts_with(MISSING)
            || (text.starts_with("OCI runtime exec failed")
                && text.contains("executable file not found"))
    };
    matches!(finished.code, Some(126 | 127)) && (says(&finished.stdout) || says(&finished.stderr))
}
