//! The HTTP proxy that shows services to other machines of a mesh: a Caddy of the user's own, or
//! the system's nginx. Both change from one configuration to the next as a whole, keep the old one
//! when the new one is wrong, and drop no connections by it.

mod admin;
mod caddy;
mod nginx;

use std::path::PathBuf;

use crate::process::ProcessError;

pub use caddy::Caddy;
pub use nginx::Nginx;

/// Why a proxy does not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// The proxy is not installed.
    #[error("`{program}` is not installed or not on PATH")]
    Missing {
        /// The program.
        program: String,
    },
    /// The proxy refuses the configuration; the one before it holds.
    #[error("`{program}` refuses the configuration: {reason}")]
    Refused {
        /// The program.
        program: String,
        /// What it said.
        reason: String,
    },
    /// The proxy ended, or did not start.
    #[error("`{program}` does not run: {reason}")]
    Ended {
        /// The program.
        program: String,
        /// Its last words.
        reason: String,
    },
    /// A file or socket of the proxy's cannot be used.
    #[error("`{}`: {source}", path.display())]
    Path {
        /// The file or socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The proxy's command failed otherwise.
    #[error(transparent)]
    Process(ProcessError),
}

impl From<ProcessError> for IngressError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Missing { program } => Self::Missing { program },
            other => Self::Process(other),
        }
    }
}
