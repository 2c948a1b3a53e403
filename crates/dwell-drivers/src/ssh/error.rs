//! Why ssh did not do what was asked for, read from its exit code and its messages.

use std::time::Duration;

use crate::process::ProcessError;

/// The exit code of ssh itself, as opposed to that of the command on the far side.
const OWN_CODE: i32 = 255;
/// The exit code of a shell that does not find a command.
const NOT_FOUND: i32 = 127;

/// A connection or a command on the far side that failed.
#[derive(Debug, thiserror::Error)]
#[error("ssh to {destination}: {why}")]
pub struct SshError {
    /// Where, as `USER@HOST:PORT` as far as that was given.
    pub destination: String,
    /// What went wrong.
    pub why: Why,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// ssh is not installed here.
    #[error("ssh is not installed or not on PATH")]
    Missing,
    /// ssh could not be started or read.
    #[error(transparent)]
    Process(ProcessError),
    /// Reading from or writing to a file or ssh failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The user has not seen and accepted the host's key yet.
    #[error("the host's key is not known")]
    HostKeyUnknown,
    /// The host has another key than the known one.
    #[error("the host's key is not the one that is known{}", fingerprint.as_ref().map(|f| format!("; it has {f}")).unwrap_or_default())]
    HostKeyChanged {
        /// The fingerprint of the key it has now.
        fingerprint: Option<String>,
        /// The command with which the user forgets the old one.
        forget: Option<String>,
    },
    /// The far side does not let us in.
    #[error("permission denied{}", if methods.is_empty() { String::new() } else { format!(" ({methods})") })]
    PermissionDenied {
        /// The ways to log in that it offers, as ssh writes them.
        methods: String,
    },
    /// No address for the host's name.
    #[error("the name is not resolved: {reason}")]
    NameNotResolved {
        /// What the resolver said.
        reason: String,
    },
    /// No ssh server listens there.
    #[error("connection refused")]
    Refused,
    /// No answer from there.
    #[error("not reachable: {reason}")]
    Unreachable {
        /// What the system said.
        reason: String,
    },
    /// Both sides have no algorithm in common, or the user's ssh configuration is invalid.
    #[error("{reason}")]
    Setup {
        /// What ssh said.
        reason: String,
    },
    /// The far side ended the connection.
    #[error("the connection was ended: {reason}")]
    Ended {
        /// What ssh said.
        reason: String,
    },
    /// The far side has no such program.
    #[error("a program is missing there: {reason}")]
    CommandNotFound {
        /// What the far side's shell said.
        reason: String,
    },
    /// The command on the far side failed.
    #[error("the command there failed{}: {stderr}", code.map(|c| format!(" with exit code {c}")).unwrap_or_default())]
    Failed {
        /// Its exit code.
        code: Option<i32>,
        /// The last of what it wrote.
        stderr: String,
    },
    /// The far side said something else than was expected.
    #[error("an unexpected answer: {reason}")]
    Unexpected {
        /// What came instead.
        reason: String,
    },
    /// It took too long.
    #[error("no answer within {} s", limit.as_secs_f32())]
    TimedOut {
        /// The limit it ran into.
        limit: Duration,
    },
}

impl SshError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        let to = &self.destination;
        match &self.why {
            Why::Missing => "install the OpenSSH client".into(),
            Why::HostKeyUnknown => format!("log in once with `ssh` to {to} and compare the key"),
            Why::HostKeyChanged { forget, .. } => {
                let forget = forget.as_deref().unwrap_or("ssh-keygen -R HOST");
                format!("if the host really has a new key: `{forget}`, then log in with `ssh`")
            }
            Why::PermissionDenied { .. } => format!(
                "`ssh` to {to} has to work without a question: add the key to the agent or give \
                 it with `--ssh-key`, and check the user"
            ),
            Why::NameNotResolved { .. } => "check the host's name and this machine's DNS".into(),
            Why::Refused => "check the port, and that sshd runs there".into(),
            Why::Unreachable { .. } | Why::TimedOut { .. } => {
                "check that the host is up and that the network leads there".into()
            }
            Why::Setup { .. } => format!("`ssh -v` to {to} shows the cause"),
            Why::Ended { .. } => "look at the log of sshd there if it happens again".into(),
            Why::CommandNotFound { .. } => "`dwell remote upgrade` puts dwell there again".into(),
            Why::Process(_) | Why::Io(_) | Why::Failed { .. } | Why::Unexpected { .. } => {
                format!("`ssh` to {to} by hand shows more")
            }
        }
    }

    /// Whether somebody has to act before another attempt can go better.
    pub fn needs_somebody(&self) -> bool {
        match self.why {
            Why::Missing
            | Why::HostKeyUnknown
            | Why::HostKeyChanged { .. }
            | Why::PermissionDenied { .. }
            | Why::Setup { .. }
            | Why::CommandNotFound { .. } => true,
            Why::Process(_)
            | Why::Io(_)
            | Why::NameNotResolved { .. }
            | Why::Refused
            | Why::Unreachable { .. }
            | Why::Ended { .. }
            | Why::Failed { .. }
            | Why::Unexpected { .. }
            | Why::TimedOut { .. } => false,
        }
    }
}

impl From<ProcessError> for Why {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Missing { .. } => Self::Missing,
            ProcessError::TimedOut { limit, .. } => Self::TimedOut { limit },
            other => Self::Process(other),
        }
    }
}

impl Why {
    /// Reads the cause from how ssh ended: its exit code (`None` when a signal ended it) and what
    /// it and the far side wrote.
    pub(super) fn read(code: Option<i32>, stderr: &str) -> Self {
        match code {
            Some(OWN_CODE) => own(stderr),
            Some(NOT_FOUND) => Self::CommandNotFound { reason: last(stderr) },
            None => Self::Ended { reason: "ssh was killed".into() },
            _ => Self::Failed { code, stderr: stderr.trim().to_owned() },
        }
    }
}

/// The cause of a failure of ssh's own. The most telling message counts and not the last one: a
/// jump host's troubles come first, what follows from them later.
fn own(stderr: &str) -> Why {
    let lines = || stderr.lines().map(str::trim);
    let after = |mark: &str| lines().find_map(|line| Some(line.split_once(mark)?.1.to_owned()));
    let line = |marks: &[&str]| {
        let found = lines().find(|line| marks.iter().any(|mark| line.contains(mark)));
        found.map(str::to_owned)
    };
    if line(&["REMOTE HOST IDENTIFICATION HAS CHANGED", "REVOKED HOST KEY"]).is_some() {
        return Why::HostKeyChanged {
            fingerprint: lines().find(|l| l.starts_with("SHA256:")).map(trim_stop),
            forget: lines().find(|l| l.starts_with("ssh-keygen ")).map(str::to_owned),
        };
    }
    if line(&["Host key verification failed"]).is_some() {
        return Why::HostKeyUnknown;
    }
    if let Some(methods) = after(": Permission denied (") {
        return Why::PermissionDenied { methods: methods.trim_end_matches([')', '.']).to_owned() };
    }
    if line(&["Too many authentication failures"]).is_some() {
        return Why::PermissionDenied { methods: "too many keys were tried".into() };
    }
    if let Some(reason) = after("Could not resolve hostname ") {
        return Why::NameNotResolved { reason };
    }
    if line(&[": Connection refused"]).is_some() {
        return Why::Refused;
    }
    if let Some(reason) = line(&["Connection timed out", " timed out", "No route to host"])
        .or_else(|| line(&["Network is unreachable", "Host is down", "not responding"]))
    {
        return Why::Unreachable { reason: plain(&reason) };
    }
    let setup = ["onfiguration option", "Bad owner or permissions", "Unable to negotiate"];
    if let Some(reason) = line(&setup).or_else(|| line(&["contains invalid characters"])) {
        return Why::Setup { reason };
    }
    let reason = last(stderr);
    Why::Ended { reason: if reason.is_empty() { "without a word".into() } else { reason } }
}

/// ssh's message without the words before the part that tells something.
fn plain(line: &str) -> String {
    line.strip_prefix("ssh: ").unwrap_or(line).to_owned()
}

fn trim_stop(line: &str) -> String {
    line.trim_end_matches('.').to_owned()
}

/// The last line that says something.
fn last(stderr: &str) -> String {
    let line = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shown(code: i32, stderr: &str, expected: &str) {
        assert_eq!(Why::read(Some(code), stderr).to_string(), expected);
    }

    // Messages of OpenSSH 9.2 that take a network to provoke; tests/ssh meets the others.
    #[test]
    fn messages_that_a_loopback_does_not_bring() {
        shown(
            255,
            "ssh: connect to host 10.9.9.9 port 22: Connection timed out\r\n",
            "not reachable: connect to host 10.9.9.9 port 22: Connection timed out",
        );
        shown(
            255,
            "ssh: connect to host 10.9.9.9 port 22: No route to host\n",
            "not reachable: connect to host 10.9.9.9 port 22: No route to host",
        );
        shown(
            255,
            "Timeout, server 10.9.9.9 not responding.\n",
            "not reachable: Timeout, server 10.9.9.9 not responding.",
        );
        shown(
            255,
            "client_loop: send disconnect: Broken pipe\n",
            "the connection was ended: client_loop: send disconnect: Broken pipe",
        );
        shown(
            255,
            "Received disconnect from 10.9.9.9 port 22:2: Too many authentication failures\n\
             Disconnected from 10.9.9.9 port 22\n",
            "permission denied (too many keys were tried)",
        );
    }

    #[test]
    fn a_jump_host_s_trouble_is_the_cause() {
        shown(
            255,
            "channel 0: open failed: connect failed: Connection refused\n\
             stdio forwarding failed\n\
             kex_exchange_identification: Connection closed by remote host\n\
             Connection closed by UNKNOWN port 65535\n",
            "connection refused",
        );
        shown(
            255,
            "No ED25519 host key is known for jump and you have requested strict checking.\n\
             Host key verification failed.\n\
             kex_exchange_identification: Connection closed by remote host\n",
            "the host's key is not known",
        );
    }

    #[test]
    fn what_the_far_side_s_command_writes_is_not_taken_for_ssh() {
        let denied = "me@host: Permission denied (publickey).";
        shown(1, denied, &format!("the command there failed with exit code 1: {denied}"));
        shown(
            127,
            "sh: 1: dwell: not found\n",
            "a program is missing there: sh: 1: dwell: not found",
        );
        shown(255, "", "the connection was ended: without a word");
    }
}
