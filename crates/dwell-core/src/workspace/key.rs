//! Public keys that log in to workspaces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kinds of keys that OpenSSH logs in with.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// More than an RSA key of 16384 bits takes, in characters.
const LONGEST: usize = 4096;

/// A public key as in `authorized_keys`: its kind and its content, without options and comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

/// Text that is not a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a public key of OpenSSH: one line such as `ssh-ed25519 AAAA... name` is")]
pub struct PublicKeyError;

impl PublicKey {
    /// The line, without its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;
    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let is_one_line = !text.trim_end().contains(['\n', '\r']);
        let mut words = text.split_whitespace();
        let (Some(kind), Some(content)) = (words.next(), words.next()) else {
            return Err(PublicKeyError);
        };
        let is_base64 = content.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        let fits = content.starts_with("AAAA") && content.len() <= LONGEST;
        if is_one_line && KINDS.contains(&kind) && is_base64 && fits {
            Ok(Self(format!("{kind} {content}")))
        } else {
            Err(PublicKeyError)
        }
    }
}

crate::text::as_text!(PublicKey);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_without_comments_and_nothing_else_is_a_key() {
        let key: PublicKey = "ssh-ed25519 AAAAC3Nz+/= me@laptop work\n".parse().unwrap();
        assert_eq!(key.as_str(), "ssh-ed25519 AAAAC3Nz+/=");
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-dss AAAAB3",
            "command=\"id\" ssh-ed25519 AAAAC3",
            "ssh-ed25519 BBBB",
            "ssh-ed25519 AAAA$(id)",
            "ssh-ed25519 AAAAC3\nssh-ed25519 AAAAC3",
        ] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }
}
