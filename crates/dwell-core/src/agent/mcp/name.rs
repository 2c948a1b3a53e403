//! Names of servers and of the variables with their secrets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

const LONGEST: usize = 40;

/// The name of a server, which every agent takes: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

/// The name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// A text that is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {wanted}")]
pub struct ServerNameError {
    given: String,
    wanted: &'static str,
}

fn refused(given: &str, wanted: &'static str) -> ServerNameError {
    ServerNameError { given: given.escape_debug().take(LONGEST).collect(), wanted }
}

impl FromStr for ServerName {
    type Err = ServerNameError;
    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= LONGEST && text.chars().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(refused(text, "a name of a server: letters, digits, - and _, at most 40"))
    }
}

impl FromStr for SecretName {
    type Err = ServerNameError;
    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if begins && text.chars().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(refused(text, "a name of a variable"))
    }
}

macro_rules! name {
    ($name:ident) => {
        as_text!($name);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(ServerName);
name!(SecretName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_agent_and_shell_takes() {
        for good in ["memory", "my-server_2"] {
            assert_eq!(good.parse::<ServerName>().unwrap().as_str(), good);
        }
        for bad in ["", "-x", "a.b", "a b", "../x", "ä", &"x".repeat(41)] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
        assert!("GITHUB_TOKEN".parse::<SecretName>().is_ok());
        for bad in ["", "1A", "A-B", "A=1", "A\nB"] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
    }
}
