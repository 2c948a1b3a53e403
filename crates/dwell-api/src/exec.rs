//! The byte protocol of `exec` after the HTTP upgrade: frames of one type byte, a length of four
//! bytes (big endian) and a payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dwell_core::{ProjectName, ServiceName, SessionName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::environment::Variables;

/// The value of the `upgrade` header.
pub const PROTOCOL: &str = "dwell-exec";

/// The largest payload of a frame, in bytes.
pub const FRAME_MAX: usize = 1 << 20;

/// Runs a command in a service's container.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Exec {
    /// The project; needed only where the environment's name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// The service.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// Which replica, from 1.
    #[serde(default = "first")]
    pub index: u32,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
    /// Columns and rows of the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
    /// Further environment variables.
    #[serde(default)]
    pub variables: Vec<(String, String)>,
    /// The user to run it as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The directory to run it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// Runs a command in an environment's tree, on the node that has it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Command {
    /// The project; needed only where the environment's name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// What runs.
    pub what: CommandKind,
    /// Columns and rows of the terminal; pipes instead of one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<(u16, u16)>,
    /// Variables over those of a login on the node.
    #[serde(default)]
    pub variables: Variables,
}

/// What a command in an environment's tree is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandKind {
    /// A program with its arguments.
    Program {
        /// They.
        arguments: Vec<String>,
    },
    /// `docker compose` on the environment.
    Compose {
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// A terminal of a session.
    Attach {
        /// The session.
        #[schema(value_type = String)]
        session: SessionName,
        /// Shows it without typing into it.
        read_only: bool,
    },
}

fn first() -> u32 {
    1
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes for the command; empty means the end of input.
    Stdin(Bytes),
    /// The terminal's new size: columns, rows.
    Resize(u16, u16),
    /// Bytes that the command wrote to stdout.
    Stdout(Bytes),
    /// Bytes that the command wrote to stderr.
    Stderr(Bytes),
    /// The command ended with this exit code.
    Exit(i32),
    /// It could not be run; a problem as JSON.
    Failed(Bytes),
}

/// A byte stream that is not made of frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the exec stream is broken: {0}")]
pub struct FrameError(pub &'static str);

impl Frame {
    /// Appends the frame to a buffer. Payloads over [`FRAME_MAX`] are split by the caller.
    pub fn encode(&self, into: &mut BytesMut) {
        let (kind, payload) = match self {
            Self::Stdin(bytes) => (0, bytes.clone()),
            Self::Stdout(bytes) => (1, bytes.clone()),
            Self::Stderr(bytes) => (2, bytes.clone()),
            Self::Failed(bytes) => (3, bytes.clone()),
            Self::Exit(code) => (4, Bytes::copy_from_slice(&code.to_be_bytes())),
            Self::Resize(columns, rows) => {
                let mut size = BytesMut::with_capacity(4);
                size.put_u16(*columns);
                size.put_u16(*rows);
                (5, size.freeze())
            }
        };
        into.put_u8(kind);
        into.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        into.extend_from_slice(&payload);
    }

    /// Takes the next whole frame off a buffer; `None` while it is incomplete.
    pub fn decode(from: &mut BytesMut) -> Result<Option<Self>, FrameError> {
        let mut head = from.as_ref();
        if head.remaining() < 5 {
            return Ok(None);
        }
        let kind = head.get_u8();
        let length = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(FrameError("a frame is too long"));
        }
        if head.remaining() < length {
            return Ok(None);
        }
        from.advance(5);
        let mut payload = from.split_to(length).freeze();
        match kind {
            0 => Ok(Some(Self::Stdin(payload))),
            1 => Ok(Some(Self::Stdout(payload))),
            2 => Ok(Some(Self::Stderr(payload))),
            3 => Ok(Some(Self::Failed(payload))),
            4 if length == 4 => Ok(Some(Self::Exit(payload.get_i32()))),
            5 if length == 4 => Ok(Some(Self::Resize(payload.get_u16(), payload.get_u16()))),
            _ => Err(FrameError("a frame of unknown kind")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_in_any_pieces() {
        let frames = [
            Frame::Stdin(Bytes::from_static(b"in")),
            Frame::Stdin(Bytes::new()),
            Frame::Stdout(Bytes::from_static(b"out\0\xff")),
            Frame::Stderr(Bytes::from_static(b"err")),
            Frame::Resize(120, 40),
            Frame::Failed(Bytes::from_static(b"{}")),
            Frame::Exit(-1),
        ];
        let mut wire = BytesMut::new();
        for frame in &frames {
            frame.encode(&mut wire);
        }
        let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
        for byte in wire {
            buffer.put_u8(byte);
            while let Some(frame) = Frame::decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn hostile_frames_are_refused() {
        assert!(Frame::decode(&mut BytesMut::from(&[1, 0xff, 0, 0, 0][..])).is_err());
        assert!(Frame::decode(&mut BytesMut::from(&[9, 0, 0, 0, 0][..])).is_err());
        assert!(Frame::decode(&mut BytesMut::from(&[4, 0, 0, 0, 1, 7][..])).is_err());
    }
}
