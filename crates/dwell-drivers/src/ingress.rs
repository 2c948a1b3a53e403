//! HTTP servers for other machines of a mesh: a Caddy of dwell's own, and an nginx that runs.

mod admin;
mod nginx;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dwell_core::prepare::Version;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

pub use nginx::reload_nginx;

use crate::process::{ProcessError, Program, Running};

/// How long a command of a server may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether a server is there.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a server does not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// It could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file of it could not be written, or its socket not be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It does not take a configuration.
    #[error("{server} does not take its configuration: {why}")]
    Refused {
        /// Which server.
        server: &'static str,
        /// What it says.
        why: String,
    },
    /// It does not answer in time, or ended.
    #[error("Caddy does not serve: {why}")]
    Gone {
        /// What it said last.
        why: String,
    },
}

/// A Caddy of dwell's own, which ends with this.
#[derive(Debug)]
pub struct Caddy {
    admin: PathBuf,
    running: Running,
    said: oneshot::Receiver<String>,
}

impl Caddy {
    /// The version that is installed.
    ///
    /// # Errors
    /// When none is, or it does not tell.
    pub async fn version() -> Result<Version, IngressError> {
        let program = Program::new("caddy").arg("version").limit(LIMIT);
        let said = program.run().await?.text();
        let why = || IngressError::Gone { why: format!("`caddy version` said {said}") };
        Version::find(&said).ok_or_else(why)
    }

    /// Starts one with a configuration that serves nothing, in a directory of its own, and waits
    /// until it answers at the socket that the configuration names. One that an earlier life left
    /// there ends first.
    ///
    /// # Errors
    /// When it is not installed, ends, or does not answer in time.
    pub async fn start(directory: &Path, admin: &Path, idle: &Value) -> Result<Self, IngressError> {
        Self::end_leftover(admin).await;
        let file = directory.join("idle.json");
        let text = serde_json::to_vec(idle).unwrap_or_default();
        tokio::fs::write(&file, text)
            .await
            .map_err(|source| IngressError::File { path: file.clone(), source })?;
        let mut program = Program::new("caddy").args(["run", "--config"]).arg(&file);
        for variable in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"] {
            program = program.env(variable, directory);
        }
        let mut running = program.spawn()?;
        let said = last_words(&mut running);
        let mut caddy = Self { admin: admin.to_owned(), running, said };
        let answers = async {
            while UnixStream::connect(admin).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let why = tokio::select! {
            () = answers => None,
            why = caddy.ended() => Some(why),
            () = tokio::time::sleep(LIMIT) => Some("it did not answer in time".to_owned()),
        };
        match why {
            None => Ok(caddy),
            Some(why) => Err(IngressError::Gone { why }),
        }
    }

    /// Ends one that an earlier life left, which answers at a socket.
    pub async fn end_leftover(admin: &Path) {
        if UnixStream::connect(admin).await.is_err() {
            return;
        }
        // What does not end now is in the way of the next, which then says so.
        let _ = admin::post(admin, "/stop", &[], LIMIT).await;
        let gone = async {
            while UnixStream::connect(admin).await.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(LIMIT, gone).await;
    }

    /// Has it change to a configuration. Connections that are open stay; where it refuses, it goes
    /// on as it was.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub async fn load(&self, config: &Value) -> Result<(), IngressError> {
        let body = serde_json::to_vec(config).unwrap_or_default();
        match admin::post(&self.admin, "/load", &body, LIMIT).await {
            Ok((200, _)) => Ok(()),
            Ok((_, why)) => Err(IngressError::Refused { server: "Caddy", why }),
            Err(source) => Err(IngressError::File { path: self.admin.clone(), source }),
        }
    }

    /// Waits for its end, and gives what it said last.
    pub async fn ended(&mut self) -> String {
        let status = self.running.wait().await;
        let said = (&mut self.said).await.unwrap_or_default();
        match status {
            Ok(status) if said.is_empty() => status.to_string(),
            Ok(_) => said,
            Err(error) => error.to_string(),
        }
    }

    /// Ends it: what it is answering may end first.
    pub async fn stop(mut self) {
        // One that does not take it is killed.
        let _ = admin::post(&self.admin, "/stop", &[], LIMIT).await;
        let _ = tokio::time::timeout(LIMIT, self.running.wait()).await;
    }
}

/// Reads what it says, so that it never waits for a reader, and tells the last line at the end.
fn last_words(running: &mut Running) -> oneshot::Receiver<String> {
    let (tell, told) = oneshot::channel();
    let (_, errors) = running.pipes();
    tokio::spawn(async move {
        let mut last = String::new();
        if let Some(errors) = errors {
            let mut lines = BufReader::new(errors).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                last = line;
            }
        }
        // Nobody may ask.
        let _ = tell.send(last);
    });
    told
}

#[cfg(test)]
mod tests;
