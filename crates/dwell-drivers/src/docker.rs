//! The Docker engine, through its API: what is there, and taking it away. Bringing stacks up is
//! [`crate::compose`]'s.

mod container;
mod exec;
mod gate;
mod image;
mod machine;
mod network;
mod quota;
mod volume;

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;

pub use container::{Change, LogChunk, LogOptions};
pub use exec::{Exec, ExecOutput, ExecSpec};
pub use image::Image;
pub use machine::{Directory, MachineSpec, Resources, Rights, StartError};
pub use network::Network;
pub use quota::{Quotas, size_option};
pub use volume::{ArchiveError, Holder, Volume};

use crate::process::Program;

/// How long a quick call to the engine may take.
const QUICK: Duration = Duration::from_secs(20);

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers at the engine's address.
    #[error("the Docker engine at {address} does not answer: {why}")]
    Unreachable {
        /// The engine's address.
        address: String,
        /// What the system said.
        why: String,
    },
    /// The engine did not answer in time.
    #[error("the Docker engine did not answer `{call}` within {} s", limit.as_secs())]
    TimedOut {
        /// What was asked.
        call: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The object does not exist.
    #[error("Docker knows no such object: {0}")]
    NotFound(String),
    /// The object is in the way or in use.
    #[error("Docker refused: {0}")]
    Conflict(String),
    /// Anything else that the engine says.
    #[error("Docker failed: {0}")]
    Other(String),
}

impl EngineError {
    /// Whether the object was not there, which is as good as removed.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

/// The engine's version and settings that matter.
#[derive(Debug, Clone)]
pub struct EngineInfo {
    /// The engine's version.
    pub version: String,
    /// Whether containers survive a restart of the engine.
    pub live_restore: bool,
    /// Where it keeps images and volumes.
    pub root: Option<PathBuf>,
    /// The processors of its machine.
    pub processors: u32,
}

/// A Docker engine. Its socket need not exist yet; every call says so while it does not.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Arc<OnceLock<Docker>>,
    address: String,
    gates: gate::Gates,
}

impl Engine {
    /// The engine that the `docker` command would use: `DOCKER_HOST`, else the current context,
    /// else the default socket. Nothing is asked of it yet.
    pub async fn locate() -> Result<Self, EngineError> {
        let address = match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => host,
            _ => {
                context_address().await.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
            }
        };
        Self::at(&address)
    }

    /// The engine at an address such as `unix:///var/run/docker.sock`.
    pub fn at(address: &str) -> Result<Self, EngineError> {
        if !address.starts_with("unix://") {
            let why = "only unix:// addresses are supported".to_owned();
            return Err(EngineError::Unreachable { address: address.to_owned(), why });
        }
        Ok(Self {
            docker: Arc::default(),
            address: address.to_owned(),
            gates: gate::Gates::default(),
        })
    }

    /// The client, which is made once the socket is there.
    fn docker(&self) -> Result<&Docker, EngineError> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
        let path = self.address.trim_start_matches("unix://");
        let docker = Docker::connect_with_unix(path, 600, &version).map_err(|e| {
            EngineError::Unreachable { address: self.address.clone(), why: chain(&e) }
        })?;
        Ok(self.docker.get_or_init(|| docker))
    }

    /// The engine's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks whether it answers, and what it is.
    pub async fn info(&self) -> Result<EngineInfo, EngineError> {
        let info = self.call("info", Duration::from_secs(10), self.docker()?.info()).await?;
        Ok(EngineInfo {
            version: info.server_version.unwrap_or_default(),
            live_restore: info.live_restore_enabled.unwrap_or_default(),
            root: info.docker_root_dir.map(PathBuf::from),
            processors: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        })
    }

    /// Asks whether it answers within a time.
    pub async fn ping(&self, limit: Duration) -> Result<(), EngineError> {
        self.call("ping", limit, self.docker()?.ping()).await.map(drop)
    }

    async fn call<T>(
        &self,
        call: &'static str,
        limit: Duration,
        future: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, future).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(error)),
            Err(_) => Err(EngineError::TimedOut { call, limit }),
        }
    }

    fn error(&self, error: bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code: 404, message } => {
                EngineError::NotFound(message)
            }
            Error::DockerResponseServerError { status_code: 409, message } => {
                EngineError::Conflict(message)
            }
            Error::DockerResponseServerError { message, .. } => EngineError::Other(message),
            Error::SocketNotFoundError { .. }
            | Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::IOError { .. } => {
                EngineError::Unreachable { address: self.address.clone(), why: chain(&error) }
            }
            other => EngineError::Other(chain(&other)),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

async fn context_address() -> Option<String> {
    let finished = Program::new("docker")
        .args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
        .limit(Duration::from_secs(5))
        .run()
        .await
        .ok()?;
    Some(finished.text()).filter(|text| text.starts_with("unix://"))
}
