//! The system's OpenSSH: the user's configuration, agent, jump hosts and known hosts hold for
//! every connection. Nothing is asked in the background, and no unknown host key is ever accepted.

mod bridge;
mod error;
mod hostkey;
mod name;
mod once;
mod script;
mod tail;
mod terminal;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use dwell_core::remote::{Remote, SshPort};

use crate::process::Program;

pub use bridge::{Bridge, Link, bridge};
pub use error::{SshError, Why};
pub use hostkey::make_host_key;
pub use name::host_name;
pub use once::{Answer, run, upload};
pub use script::quoted;
pub use terminal::{in_terminal, interactive_check};

/// Settings of every connection. The user's own do not hold for these: a question nobody sees, a
/// forward, or a connection shared with a terminal would break what dwell does with it.
const SETTINGS: [&str; 12] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ConnectTimeout=10",
    "ConnectionAttempts=1",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=2",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlMaster=no",
    // Lower levels hide why a connection ended.
    "LogLevel=INFO",
];

/// Where to log in, and how; what is missing is ssh's own choice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// A host name, an address, or an alias of the user's ssh configuration.
    pub host: String,
    /// The user there.
    pub user: Option<String>,
    /// The port of the ssh server.
    pub port: Option<u16>,
    /// The private key to log in with; only those of the ssh configuration are tried besides.
    pub key: Option<PathBuf>,
    /// The ssh program, by name or path.
    pub program: PathBuf,
}

impl Destination {
    /// This host, with everything else as ssh chooses.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), user: None, port: None, key: None, program: "ssh".into() }
    }

    /// The words that say where: `-l USER -p PORT -i KEY -- HOST`. No part can be read as an
    /// option.
    fn address(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(user) = &self.user {
            words.extend(["-l".into(), user.into()]);
        }
        if let Some(port) = self.port {
            words.extend(["-p".into(), port.to_string().into()]);
        }
        if let Some(key) = &self.key {
            words.extend(["-i".into(), key.into(), "-o".into(), "IdentitiesOnly=yes".into()]);
        }
        words.extend(["--".into(), OsString::from(&self.host)]);
        words
    }

    /// ssh running this POSIX shell script there, whatever the user's shell is, with these
    /// settings before the usual ones.
    fn program(&self, settings: &[&str], script: &str) -> Program {
        let options = settings.iter().chain(&SETTINGS).flat_map(|setting| ["-o", setting]);
        Program::new(&self.program)
            .args(["-T", "-a", "-x"])
            .args(options)
            .args(self.address())
            .arg(script::command(script))
            // A jump host's ssh knows nothing of our settings; this keeps it from asking.
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force")
    }
}

impl From<&Remote> for Destination {
    fn from(remote: &Remote) -> Self {
        Self {
            user: remote.user.as_ref().map(|user| user.as_str().to_owned()),
            port: remote.port.map(SshPort::get),
            key: remote.key.as_ref().map(|key| key.as_path().to_owned()),
            ..Self::new(remote.host.as_str())
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_destination_is_read_as_an_option() {
        let mut odd = Destination::new("-oProxyCommand=x");
        odd.user = Some("-v".into());
        odd.key = Some("-F".into());
        let words = odd.address();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let expected =
            ["-l", "-v", "-i", "-F", "-o", "IdentitiesOnly=yes", "--", "-oProxyCommand=x"];
        assert_eq!(words, expected);
    }

    #[test]
    fn a_destination_reads_as_people_write_it() {
        let mut destination = Destination::new("fd00::1");
        assert_eq!(destination.to_string(), "fd00::1");
        destination.port = Some(22);
        destination.user = Some("me".into());
        assert_eq!(destination.to_string(), "me@[fd00::1]:22");
    }
}
