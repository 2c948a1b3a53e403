//! How a command ends when it does not end well.

use dwell_api::{ClientError, Code, Problem};

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to say to the user.
    Problem(Box<Problem>),
    /// Everything was said already; only the exit code is left.
    Exit(u8),
    /// Nobody reads what we print.
    BrokenPipe,
}

/// What a command gives: its exit code.
pub(crate) type Ended = Result<u8, Failure>;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        error.into_problem().into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Problem::new(Code::Internal, format!("output could not be written: {error}")).into()
    }
}

/// A usage problem: the command line itself is wrong.
pub(crate) fn usage(message: impl Into<String>) -> Problem {
    Problem::new(Code::Usage, message)
}
