//! Paths that a repository's configuration may name: inside the project, nowhere else.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a path was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {why}", given.escape_debug())]
pub struct PathError {
    /// The text given.
    pub given: String,
    /// The reason.
    pub why: &'static str,
}

/// A path below the project's root, as text with `/` between its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectPath(String);

/// A pattern of files below the project's root: `*`, `?`, `[...]` within a part, `**` for any
/// depth, `!` in front to leave files out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CopyPattern(String);

/// An absolute path that a node has itself, whichever project runs there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(String);

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
    };
}

text!(ProjectPath);
text!(CopyPattern);
text!(HostPath);

impl ProjectPath {
    /// The path, relative to the project's root.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for ProjectPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let parts = confined(text, text)?;
        if parts.is_empty() {
            return Err(PathError { given: text.to_owned(), why: "names no file" });
        }
        Ok(Self(parts.join("/")))
    }
}

impl HostPath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for HostPath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let refuse = |why| Err(PathError { given: text.to_owned(), why });
        let Some(below) = text.strip_prefix('/') else { return refuse("has to be absolute") };
        let parts = confined(text, below.trim_start_matches('/'))?;
        if parts.is_empty() {
            return refuse("names the whole machine");
        }
        Ok(Self(format!("/{}", parts.join("/"))))
    }
}

impl FromStr for CopyPattern {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let refuse = |why| PathError { given: text.to_owned(), why };
        let (sign, pattern) = match text.strip_prefix('!') {
            Some(rest) => ("!", rest),
            None => ("", text),
        };
        let parts = confined(text, pattern)?;
        if parts.is_empty() {
            return Err(refuse("names no file"));
        }
        if parts.contains(&".git") {
            return Err(refuse("names a repository's own files, which are not copied"));
        }
        let pattern = parts.join("/");
        if globset::Glob::new(&pattern).is_err() {
            return Err(refuse("is not a pattern that can be understood"));
        }
        Ok(Self(format!("{sign}{pattern}")))
    }
}

/// The parts of a relative path that stays where it starts.
fn confined<'a>(given: &str, text: &'a str) -> Result<Vec<&'a str>, PathError> {
    let refuse = |why| Err(PathError { given: given.to_owned(), why });
    if text.starts_with(['/', '~']) {
        return refuse("has to be relative to the project");
    }
    if text.contains(|c: char| c.is_control()) {
        return refuse("contains a control character");
    }
    let parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        return refuse("leads out of the project");
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_project() {
        let path = |text: &str| text.parse::<ProjectPath>().map(String::from);
        assert_eq!(path("./a//b.yml").unwrap(), "a/b.yml");
        assert_eq!(path("a..b").unwrap(), "a..b");
        for bad in ["/etc/passwd", "~/x", "../x", "a/../../x", "a/..", "", ".", "a\0b", "a\nb"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_nodes_own_paths_are_absolute() {
        let path = |text: &str| text.parse::<HostPath>().map(String::from);
        assert_eq!(path("//data//models/").unwrap(), "/data/models");
        for bad in ["data", "/", "//", "/./", "/a/../b", "~/x", "/a\nb", "/~", ""] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn patterns_stay_in_the_project() {
        let pattern = |text: &str| text.parse::<CopyPattern>().map(String::from);
        assert_eq!(pattern("config/*.local.json").unwrap(), "config/*.local.json");
        assert_eq!(pattern("!./.env.production").unwrap(), "!.env.production");
        for bad in ["/x", "!/x", "../.env", "**/../x", ".git/config", "a/.git", "[", ""] {
            assert!(pattern(bad).is_err(), "{bad:?}");
        }
    }
}
