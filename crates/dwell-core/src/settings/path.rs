//! A path below a home, which cannot lead out of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const LONGEST: usize = 1024;
const DEEPEST: usize = 24;

/// A path below a home: names with slashes between them, none of them `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HomePath(String);

/// Text that is no path below a home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a path below a home")]
pub struct HomePathError {
    /// What was given.
    pub given: String,
}

impl HomePath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names of the directories on the way, and of the file.
    pub fn split(&self) -> (Vec<&str>, &str) {
        let mut names: Vec<&str> = self.0.split('/').collect();
        let last = names.pop().unwrap_or_default();
        (names, last)
    }
}

impl FromStr for HomePath {
    type Err = HomePathError;
    fn from_str(text: &str) -> Result<Self, HomePathError> {
        let is_name =
            |name: &str| !matches!(name, "" | "." | "..") && !name.contains(char::is_control);
        let fits = text.len() <= LONGEST && text.split('/').count() <= DEEPEST;
        if fits && text.split('/').all(is_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(HomePathError { given: text.escape_debug().take(LONGEST).collect() })
        }
    }
}

crate::text::as_text!(HomePath);

impl fmt::Display for HomePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_home_are_taken() {
        for good in [".gitconfig", ".claude/hooks/a b.sh", "ä/..b"] {
            assert_eq!(good.parse::<HomePath>().unwrap().as_str(), good);
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a\nb", "a\0b"] {
            assert!(bad.parse::<HomePath>().is_err(), "{bad:?}");
        }
        let path: HomePath = "a/b/c".parse().unwrap();
        assert_eq!(path.split(), (vec!["a", "b"], "c"));
    }
}
