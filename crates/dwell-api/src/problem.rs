//! Problems: what failed, on which object, why, and what to do. Codes and exit codes are part of
//! the interface and never change meaning.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $text:literal, $exit:literal, $status:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[$meta])* $name,)* }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The exit code of a command that ends with this problem.
            pub fn exit_code(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// The HTTP status of an answer with this problem.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// A failure without a better code.
    Internal = "internal", 1, 500;
    /// The command line or request is not understood.
    Usage = "usage", 2, 400;
    /// A name is not allowed.
    InvalidName = "invalid_name", 2, 400;
    /// An argument is not allowed.
    InvalidArgument = "invalid_argument", 2, 400;
    /// A configuration file is not valid.
    InvalidConfig = "invalid_config", 2, 422;
    /// The compose project is not valid or asks for something that cannot be isolated.
    InvalidCompose = "invalid_compose", 1, 422;
    /// The user or a client cancelled the operation; what it had done was undone.
    Cancelled = "cancelled", 2, 409;
    /// The object does not exist.
    NotFound = "not_found", 3, 404;
    /// The name means more than one object.
    Ambiguous = "ambiguous", 5, 409;
    /// The object exists already.
    Exists = "exists", 5, 409;
    /// Another operation holds the object.
    Busy = "busy", 5, 409;
    /// The two sides changed the same thing.
    Conflict = "conflict", 5, 409;
    /// Work would be lost.
    UnsavedWork = "unsaved_work", 5, 409;
    /// The repository's commands were not trusted yet.
    Untrusted = "untrusted", 6, 403;
    /// The object is not running.
    NotRunning = "not_running", 1, 409;
    /// No free addresses are left in the pool.
    PoolExhausted = "pool_exhausted", 7, 409;
    /// The disk is full.
    DiskFull = "disk_full", 7, 507;
    /// A node has not enough left for what is to start there.
    NoRoom = "no_room", 7, 507;
    /// The machine has no hardware virtualization that can be used.
    NoKvm = "no_kvm", 7, 409;
    /// A program that dwell needs is not installed.
    ToolMissing = "tool_missing", 1, 424;
    /// A program that dwell ran ended with a failure.
    ToolFailed = "tool_failed", 1, 502;
    /// The Docker engine does not answer.
    EngineUnreachable = "engine_unreachable", 8, 503;
    /// The node's daemon does not answer.
    NodeUnreachable = "node_unreachable", 8, 503;
    /// A port that dwell needs is taken.
    PortTaken = "port_taken", 1, 503;
    /// The state could not be read or written.
    State = "state", 1, 500;
    /// It took too long.
    Timeout = "timeout", 124, 504;
    /// The command was interrupted.
    Interrupted = "interrupted", 130, 499;
}

/// One problem, as the API answers it and the CLI prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What kind of problem.
    pub code: Code,
    /// What failed, on which object, and why; one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same call may succeed later without any change.
    #[serde(default)]
    pub retryable: bool,
    /// Further lines: files in conflict, candidates, a tool's own output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

impl Problem {
    /// A problem without hint or details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retryable = matches!(
            code,
            Code::Busy | Code::Timeout | Code::EngineUnreachable | Code::NodeUnreachable
        );
        Self { code, message: message.into(), hint: None, retryable, details: Vec::new() }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds further lines.
    #[must_use]
    pub fn details<I: IntoIterator<Item = S>, S: Into<String>>(mut self, details: I) -> Self {
        self.details.extend(details.into_iter().map(Into::into));
        self
    }
}

/// The body of an answer that is a problem.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The problem.
    pub error: Problem,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_code_is_its_json() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_problem_round_trips() {
        let problem = Problem::new(Code::Exists, "environment `a1` exists").hint("use up");
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
}
