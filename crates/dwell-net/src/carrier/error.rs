//! Why there is no link, and why no stream could be opened.

use std::time::Duration;

use bytes::Bytes;

use crate::mux::{MuxError, Reason};

/// Why an attempt to connect failed, or a link was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The host's key is unknown, or not the one that is known.
    #[error("the host's key cannot be trusted: {why}")]
    HostKey {
        /// What the connector says.
        why: String,
    },
    /// The other side does not let this user in.
    #[error("permission denied: {why}")]
    Denied {
        /// What the connector says.
        why: String,
    },
    /// There is no dwell on the other side, or none that runs.
    #[error("dwell does not run there: {why}")]
    Missing {
        /// What the connector says.
        why: String,
    },
    /// The other side speaks another protocol.
    #[error("it speaks protocol {theirs}, this is {}", super::PROTOCOL)]
    Version {
        /// The number of its protocol.
        theirs: u32,
        /// What it says about itself.
        hello: Bytes,
    },
    /// It said something else than hello, and nothing that helps.
    #[error("it does not answer as dwell does: {said}")]
    Strange {
        /// The end of what it said.
        said: String,
    },
    /// It ended the connection before it said hello.
    #[error("it ended the connection: {said}")]
    Ended {
        /// The end of what it said before.
        said: String,
    },
    /// It did not say hello in time.
    #[error("it did not answer within {} s", limit.as_secs())]
    Silent {
        /// How long was waited.
        limit: Duration,
    },
    /// Connecting took too long.
    #[error("connecting took more than {} s", limit.as_secs())]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
    /// The link was up and ended.
    #[error(transparent)]
    Lost(#[from] Reason),
    /// Anything else: unknown host, no route, refused.
    #[error("{why}")]
    Failed {
        /// What the connector says.
        why: String,
    },
}

impl LinkError {
    /// Whether it may go away by itself. What may not is tried again only now and then.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::HostKey { .. }
            | Self::Denied { .. }
            | Self::Missing { .. }
            | Self::Version { .. } => false,
            Self::Strange { .. }
            | Self::Ended { .. }
            | Self::Silent { .. }
            | Self::TimedOut { .. }
            | Self::Lost(_)
            | Self::Failed { .. } => true,
        }
    }
}

/// What went wrong, and with which connector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{via}: {error}")]
pub struct Failure {
    /// The connector's name.
    pub via: &'static str,
    /// What went wrong.
    pub error: LinkError,
}

/// Why [`super::Carrier::dial`] gave no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// There is no link.
    #[error(transparent)]
    Down(Failure),
    /// The first attempt to connect takes longer than one waits.
    #[error("still connecting after {} s", waited.as_secs())]
    NotYet {
        /// How long was waited.
        waited: Duration,
    },
    /// The link takes no more streams, or the opening message is too long.
    #[error(transparent)]
    Mux(MuxError),
}
