//! What cannot be taken to another node.

use std::fmt;

use super::super::error::IsolationError;
use crate::name::ServiceName;

/// Why something cannot be taken along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is a file or directory outside the project.
    Outside,
    /// It is a socket.
    Socket,
    /// It is a device.
    Device,
    /// It is a named pipe.
    Pipe,
    /// It is a container that is not the project's.
    Container,
    /// It is the ssh agent, or a key, of whoever builds.
    SshAgent,
    /// It is an image in a directory, which is not looked into.
    ImageDirectory,
}

/// One thing that cannot be taken along.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// The service that needs it.
    pub service: ServiceName,
    /// The setting that names it, as compose spells it.
    pub key: String,
    /// The path or name.
    pub value: String,
    /// Why it has to stay.
    pub why: Why,
}

/// Why services cannot run on another node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TravelError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] IsolationError),
    /// They need what cannot be taken along.
    #[error("what the services need cannot be taken to another node: {}", list(obstacles))]
    Stuck {
        /// All of it, by service.
        obstacles: Vec<Obstacle>,
    },
}

impl TravelError {
    /// What to do about it.
    pub const HINT: &'static str = "keep these services on this node, or list paths that the \
        other node has itself under `[sync] host` in dwell.toml";
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "is outside the project",
            Self::Socket => "is a socket of this machine",
            Self::Device => "is a device of this machine",
            Self::Pipe => "is a pipe of this machine",
            Self::Container => "is a container of this machine",
            Self::SshAgent => "is an ssh agent or key of this machine",
            Self::ImageDirectory => "is an image directory of this machine",
        })
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, key, value, why } = self;
        write!(f, "service `{service}`: {key}: `{}` {why}", value.escape_debug())
    }
}

fn list(obstacles: &[Obstacle]) -> String {
    obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
