//! A custom name of an environment, relative to it: `pc` or `admin.api`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A custom host name, in lower case, of one or more DNS labels. It is published below the
/// environment's name, never bare.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// Text that is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a host name: {}", Self::WHY)]
pub struct HostnameError {
    /// What was given.
    pub given: String,
}

impl HostnameError {
    /// What a host name may be.
    pub const WHY: &'static str =
        "it must be labels of letters, digits and inner `-`, joined by dots";
}

impl Hostname {
    /// The name without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host name has to leave room for the environment's, the project's and the suffix.
const LENGTH_MAX: usize = 128;

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl FromStr for Hostname {
    type Err = HostnameError;
    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let plain = text.trim().to_ascii_lowercase();
        if plain.len() <= LENGTH_MAX && plain.split('.').all(is_label) {
            Ok(Self(plain))
        } else {
            Err(HostnameError { given: text.escape_default().to_string() })
        }
    }
}

crate::text::as_text!(Hostname);

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_inject_are_refused() {
        for bad in
            ["", ".", "a..b", "a.", "-a", "a-", "a b", "a/b", "*.a", "a\nb", "a$b", "ä", "a:1"]
        {
            assert!(bad.parse::<Hostname>().is_err(), "{bad:?}");
        }
        assert_eq!(" Admin.API ".parse::<Hostname>().unwrap().as_str(), "admin.api");
        assert!("a.".repeat(80).parse::<Hostname>().is_err());
    }
}
