//! Docker inside a workspace: how it has it, and what its container takes for that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The variable that tells those inside, and the first process, how there is Docker.
pub const DOCKER_VARIABLE: &str = "DWELL_DOCKER";
/// Where an engine inside says what it does.
pub const DOCKER_LOG: &str = "/var/log/dwell-docker.log";
/// Where the host's socket is, and that of an engine inside with root.
pub const HOST_SOCKET: &str = "/var/run/docker.sock";
/// Where an engine inside with root keeps its data, which is a volume.
pub const DOCKER_DATA: &str = "/var/lib/docker";

/// How a workspace has Docker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = WorkspaceDocker))]
#[serde(rename_all = "snake_case")]
pub enum Docker {
    /// Not at all.
    #[default]
    None,
    /// An engine of its own that runs without root.
    Rootless,
    /// An engine of its own that runs as root.
    Dind,
    /// The engine of the node.
    Socket,
}

/// Text that names no way to have Docker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no way to have Docker: none, rootless, dind and socket are")]
pub struct DockerError {
    /// What was given.
    pub given: String,
}

impl Docker {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Rootless => "rootless",
            Self::Dind => "dind",
            Self::Socket => "socket",
        }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The programs that an image needs for it.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Rootless => {
                &["docker", "dockerd", "dockerd-rootless.sh", "rootlesskit", "newuidmap", "setcap"]
            }
            Self::Dind => &["docker", "dockerd", "mount"],
            Self::Socket => &["docker"],
        }
    }

    /// Where the client inside finds the engine.
    pub fn host(self) -> Option<String> {
        (self == Self::Rootless).then(|| format!("unix://{}/docker.sock", super::RUNTIME))
    }

    /// What whoever asks for it has to know.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Rootless => Some(
                "its container may use all system calls, so that an engine without root can run; \
                 it has no further capabilities",
            ),
            Self::Dind => Some(
                "its container has nearly all capabilities, so that an engine can run: who is root \
                 in it can become root of this machine",
            ),
            Self::Socket => Some(
                "everything in it can use this machine's Docker, which is to be root of this machine \
                 and to reach every other workspace",
            ),
        }
    }
}

impl FromStr for Docker {
    type Err = DockerError;
    fn from_str(text: &str) -> Result<Self, DockerError> {
        let all = [Self::None, Self::Rootless, Self::Dind, Self::Socket];
        let found = all.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DockerError { given: text.to_owned() })
    }
}

impl fmt::Display for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
