//! How another node is reached: what `dwell remote add` takes, parsed once, and the record of it.
//! Every part is safe as a word of an `ssh` command line and as a value in its configuration.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::NodeName;

/// The longest host name (RFC 1035, section 2.3.4).
const HOST_MAX: usize = 253;
/// The longest user name that Linux takes is 32 characters; other systems have longer ones.
const USER_MAX: usize = 64;

/// Why a part of a remote node's address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` {why}")]
pub struct RemoteError {
    /// Which part.
    pub what: &'static str,
    /// The text given, escaped.
    pub given: String,
    /// The reason.
    pub why: &'static str,
}

impl RemoteError {
    fn new(what: &'static str, given: &str, why: &'static str) -> Self {
        Self { what, given: given.escape_debug().to_string(), why }
    }
}

/// A host as `ssh` takes it: a name, an address, or an alias of the user's ssh configuration.
/// IPv6 addresses are without brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteHost(String);

/// A user on a remote node.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RemoteUser(String);

/// The absolute path of a private key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPath(String);

/// A port on which an ssh server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SshPort(NonZeroU16);

/// The address of one machine in a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "IpAddr", into = "IpAddr")]
pub struct MeshAddress(IpAddr);

/// What carries the connection to a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// The mesh where it is there and answers, else ssh.
    #[default]
    Auto,
    /// Always ssh.
    Ssh,
    /// The mesh; ssh while it is down.
    Mesh,
}

/// Where an ssh server is and who logs in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SshAddress {
    /// The user; ssh's own choice where missing.
    pub user: Option<RemoteUser>,
    /// The host.
    pub host: RemoteHost,
    /// The port; ssh's own choice where missing.
    pub port: Option<SshPort>,
}

/// A remote node as it was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// What people call it.
    pub name: NodeName,
    /// Its host.
    pub host: RemoteHost,
    /// The user there; ssh's own choice where missing.
    #[serde(default)]
    pub user: Option<RemoteUser>,
    /// The port of its ssh server; ssh's own choice where missing.
    #[serde(default)]
    pub port: Option<SshPort>,
    /// The private key to use; ssh's own choice where missing.
    #[serde(default)]
    pub key: Option<KeyPath>,
    /// Its mesh address, where it was given by hand.
    #[serde(default)]
    pub mesh_ip: Option<MeshAddress>,
    /// What is to carry the connection.
    #[serde(default)]
    pub transport: Transport,
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        crate::text::as_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(RemoteHost);
text!(RemoteUser);
text!(KeyPath);

/// Whether all characters are those of host and user names, and none makes it an option.
fn is_word(text: &str) -> bool {
    !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

impl RemoteHost {
    /// The address, where it is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl FromStr for RemoteHost {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let refuse = |why| Err(RemoteError::new("host", text, why));
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self(address.to_string()));
        }
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > HOST_MAX {
            return refuse("is longer than 253 characters");
        }
        if text.contains('@') {
            return refuse("names a user too; give that with `--user`");
        }
        if text.contains(':') {
            return refuse("is neither an address nor a name; a port is given with `--port`");
        }
        if !is_word(text) || text.starts_with('.') || text.contains("..") {
            return refuse("is not a host name, an address or an alias of the ssh configuration");
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for RemoteUser {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        if text.is_empty() || text.len() > USER_MAX || !is_word(text) {
            return Err(RemoteError::new("user", text, "is not a user name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl KeyPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for KeyPath {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let refuse = |why| Err(RemoteError::new("key", text, why));
        if !text.starts_with('/') {
            return refuse("is not an absolute path");
        }
        // ssh expands these in names of key files.
        if text.contains(|c: char| c.is_control() || matches!(c, '%' | '$' | '"' | '\\')) {
            return refuse("contains a character that ssh does not take as it is");
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<KeyPath> for PathBuf {
    fn from(path: KeyPath) -> Self {
        Self::from(path.0)
    }
}

impl SshPort {
    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl FromStr for SshPort {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let digits = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| RemoteError::new("port", text, "is not a number 1 to 65535"))
    }
}

impl fmt::Display for SshPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MeshAddress {
    /// The address.
    pub fn get(self) -> IpAddr {
        self.0
    }
}

impl TryFrom<IpAddr> for MeshAddress {
    type Error = RemoteError;
    fn try_from(address: IpAddr) -> Result<Self, RemoteError> {
        let broadcast = matches!(address, IpAddr::V4(four) if four.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            let why = "is not the address of one machine";
            return Err(RemoteError::new("mesh address", &address.to_string(), why));
        }
        Ok(Self(address))
    }
}

impl FromStr for MeshAddress {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let refused = || RemoteError::new("mesh address", text, "is not an IP address");
        text.parse::<IpAddr>().map_err(|_| refused())?.try_into()
    }
}

impl From<MeshAddress> for IpAddr {
    fn from(address: MeshAddress) -> Self {
        address.0
    }
}

impl fmt::Display for MeshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Transport {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ssh => "ssh",
            Self::Mesh => "mesh",
        }
    }
}

impl FromStr for Transport {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let all = [Self::Auto, Self::Ssh, Self::Mesh];
        let found = all.into_iter().find(|transport| transport.as_str() == text);
        found.ok_or_else(|| RemoteError::new("transport", text, "is not auto, ssh or mesh"))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SshAddress {
    type Err = RemoteError;
    /// Reads `ssh://[USER@]HOST[:PORT]`, or the same without `ssh://`. An IPv6 address with a
    /// port is in brackets.
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let plain = text.strip_prefix("ssh://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let plain = plain.unwrap_or(text);
        let (user, place) = match plain.split_once('@') {
            Some((user, place)) => (Some(user.parse()?), place),
            None => (None, plain),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
                (host, Some(port.parse()?))
            }
            _ => (place, None),
        };
        Ok(Self { user, host: host.parse()?, port })
    }
}

impl Remote {
    /// A remote node that is reached as ssh's own configuration says.
    ///
    /// # Errors
    /// When the name is the one that means this machine.
    pub fn new(name: NodeName, address: SshAddress) -> Result<Self, RemoteError> {
        if name.is_local() {
            let why = "always means this machine; take another name";
            return Err(RemoteError::new("node", NodeName::LOCAL, why));
        }
        let SshAddress { user, host, port } = address;
        let transport = Transport::default();
        Ok(Self { name, host, user, port, key: None, mesh_ip: None, transport })
    }

    /// `user@host:port` as far as it is known, for people.
    pub fn place(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match self.port {
            Some(port) if self.host.as_str().contains(':') => {
                format!("{user}[{}]:{port}", self.host)
            }
            Some(port) => format!("{user}{}:{port}", self.host),
            None => format!("{user}{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests;
