//! An environment's source tree, as it was made.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a tree is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TreeKind {
    /// A git worktree of the source's repository, with a branch of its own.
    Worktree,
    /// A copy of a directory.
    Copy,
    /// The source itself.
    InPlace,
}

/// A tree as it was made. It is kept with the environment and handed back for every operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// How it is made.
    pub kind: TreeKind,
    /// Where it came from: the root of the source's work tree, or the copied directory.
    pub source: PathBuf,
    /// Its root.
    pub root: PathBuf,
    /// The project's directory: the root, or the directory below it that corresponds to the one
    /// asked for.
    pub project_dir: PathBuf,
    /// Its branch, in a worktree.
    pub branch: Option<String>,
    /// The commit that it started from, in a worktree of a repository that has one.
    pub base_commit: Option<String>,
    /// What a person should know, skipped files for instance.
    pub notes: Vec<String>,
}

/// A path inside a source tree, as text with `/` between its parts; `.` is the root itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

/// Text that is not a path inside a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a path inside the source tree")]
pub struct TreePathError {
    /// The text given, escaped.
    pub given: String,
}

impl TreePath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self(".".to_owned())
    }

    /// The place of an absolute path in the tree with this root; `None` where it is outside, or
    /// is not text. Links are not looked at.
    pub fn of(root: &Path, path: &Path) -> Option<Self> {
        let inner = lexical(path);
        inner.strip_prefix(lexical(root)).ok()?.to_str()?.parse().ok()
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is in the tree with this root.
    pub fn below(&self, root: &Path) -> PathBuf {
        if self.0 == "." { root.to_owned() } else { root.join(&self.0) }
    }

    /// Whether the other path is this one or below it.
    pub fn contains(&self, other: &Self) -> bool {
        self.0 == "." || Path::new(&other.0).starts_with(&self.0)
    }
}

impl FromStr for TreePath {
    type Err = TreePathError;
    fn from_str(text: &str) -> Result<Self, TreePathError> {
        let mut parts = text.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
        let outside = text.starts_with('/') || parts.clone().any(|part| part == "..");
        if outside || text.contains(|c: char| c.is_control()) {
            return Err(TreePathError { given: text.escape_debug().to_string() });
        }
        if parts.peek().is_none() {
            return Ok(Self::root());
        }
        Ok(Self(parts.collect::<Vec<_>>().join("/")))
    }
}

crate::text::as_text!(TreePath);

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path with `.` and `..` resolved by their spelling.
pub(crate) fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_a_tree_cannot_leave_it() {
        let root = Path::new("/t/../tree");
        let of = |path: &str| TreePath::of(root, Path::new(path)).map(String::from);
        assert_eq!(of("/tree/a/./b/../c").as_deref(), Some("a/c"));
        assert_eq!(of("/tree/").as_deref(), Some("."));
        for outside in ["/tree2", "/tree/../x", "/", "tree/a", "/tree/a\nb"] {
            assert_eq!(of(outside), None, "{outside}");
        }
        for bad in ["..", "a/../b", "/a", "a\0b"] {
            assert!(bad.parse::<TreePath>().is_err(), "{bad:?}");
        }
        let path: TreePath = "./a//b/".parse().unwrap();
        assert_eq!(path.below(Path::new("/x")), Path::new("/x/a/b"));
        assert_eq!(TreePath::root().below(Path::new("/x")), Path::new("/x"));
        assert_eq!("".parse::<TreePath>().unwrap(), TreePath::root());
        let inside = |one: &str, other: &str| {
            one.parse::<TreePath>().unwrap().contains(&other.parse().unwrap())
        };
        assert!(inside("a", "a/b") && inside(".", "a") && inside("a", "a"));
        assert!(!inside("a", "ab") && !inside("a/b", "a"));
    }
}
