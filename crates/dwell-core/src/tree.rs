//! An environment's source tree, as it was made.

use std::path::PathBuf;

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
