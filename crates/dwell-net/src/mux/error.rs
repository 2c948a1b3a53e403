//! Why a link ended, why a stream is over, and why one cannot be opened.

use std::io;
use std::time::Duration;

use bytes::Bytes;

/// What the other side did that the protocol does not allow; it ends the link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame of a kind that does not exist.
    #[error("frame of unknown kind {kind}")]
    UnknownKind {
        /// The kind's number.
        kind: u8,
    },
    /// A body too short or too long for its kind.
    #[error("frame of kind {kind} with a body of {length} bytes")]
    Length {
        /// The kind's number.
        kind: u8,
        /// The length that the header says.
        length: usize,
    },
    /// A stream's number that its kind of frame, or that side, may not use.
    #[error("stream number {stream} may not be used there")]
    Number {
        /// The number.
        stream: u32,
    },
    /// More data than was allowed to be sent.
    #[error("stream {stream} sent more than its credit")]
    Overrun {
        /// The stream.
        stream: u32,
    },
    /// More credit than can be counted.
    #[error("stream {stream} was given too much credit")]
    Credit {
        /// The stream.
        stream: u32,
    },
    /// Data after the end of data.
    #[error("stream {stream} sent data after its end")]
    AfterEnd {
        /// The stream.
        stream: u32,
    },
    /// It makes us answer faster than it reads.
    #[error("the other side asks without reading the answers")]
    Unread,
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// This side closed it, or has no use for it any more.
    #[error("the link was closed")]
    Closed,
    /// The other side ended it.
    #[error("the other side ended the link")]
    Ended,
    /// Nothing came for so long that the other side must be gone.
    #[error("nothing came over the link for {:.1} s", after.as_secs_f32())]
    Silent {
        /// How long.
        after: Duration,
    },
    /// Reading or writing failed.
    #[error("the link broke: {message}")]
    Broken {
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// Its text.
        message: String,
    },
    /// The other side does not keep to the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

impl Reason {
    pub(crate) fn broken(error: &io::Error) -> Self {
        Self::Broken { kind: error.kind(), message: error.to_string() }
    }
}

/// Why no stream could be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// The link is over.
    #[error(transparent)]
    Over(#[from] Reason),
    /// As many streams as are allowed are open.
    #[error("{limit} streams are open, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The opening message is too long.
    #[error("the opening message has {length} bytes, more than {}", super::HEAD)]
    Head {
        /// Its length.
        length: usize,
    },
}

/// Why a stream that was opened did not come to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The other side does not want it; the reason is as it was given.
    #[error("refused: {}", String::from_utf8_lossy(reason))]
    Refused {
        /// At most [`super::REASON`] bytes.
        reason: Bytes,
    },
    /// The other side ended it before it was taken.
    #[error("the other side reset the stream")]
    Reset,
    /// The link ended first.
    #[error(transparent)]
    Over(#[from] Reason),
}

impl Refusal {
    /// The same as an error of reading or writing.
    pub(crate) fn to_io(&self) -> io::Error {
        let kind = match self {
            Self::Refused { .. } => io::ErrorKind::ConnectionRefused,
            Self::Reset | Self::Over(_) => io::ErrorKind::ConnectionReset,
        };
        io::Error::new(kind, self.clone())
    }
}
