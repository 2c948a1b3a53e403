//! Why an operation on a tree was refused or failed.

use std::io;
use std::path::{Path, PathBuf};

use super::copy::At;
use super::remove::Unsaved;
use crate::process::ProcessError;

/// Why an operation on a tree was refused or failed. In every case both sides hold what they held.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is something where the tree should go.
    #[error("{} exists already", path.display())]
    Exists {
        /// The place.
        path: PathBuf,
    },
    /// The source is not a directory.
    #[error("the source {} is not a directory", path.display())]
    NoSource {
        /// The place.
        path: PathBuf,
    },
    /// The tree is gone.
    #[error("the tree {} does not exist", path.display())]
    NoTree {
        /// The place.
        path: PathBuf,
    },
    /// Git refuses the source's repository because another user owns it.
    #[error("git refuses the repository of {}: {advice}", path.display())]
    Refused {
        /// The source.
        path: PathBuf,
        /// What git says to do.
        advice: String,
    },
    /// A revision that the repository does not have.
    #[error("{} has no revision `{revision}`", path.display())]
    NoRevision {
        /// The source.
        path: PathBuf,
        /// What was asked for.
        revision: String,
    },
    /// A copy pattern that is not allowed or not understood.
    #[error("copy pattern `{pattern}`: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The operation means nothing for an environment that uses the source directory itself.
    #[error("the environment uses {} itself; there is nothing to {verb}", path.display())]
    InPlace {
        /// The directory.
        path: PathBuf,
        /// What was asked for.
        verb: &'static str,
    },
    /// The operation needs the source, which is on another node.
    #[error("the source of {} is on another node; {verb} from there", path.display())]
    Elsewhere {
        /// The tree.
        path: PathBuf,
        /// What was asked for.
        verb: &'static str,
    },
    /// A side is in the middle of something that has to be finished first.
    #[error("{} is in the middle of {what}; finish or abort it first", path.display())]
    Busy {
        /// The work tree.
        path: PathBuf,
        /// What it is in the middle of.
        what: &'static str,
    },
    /// The two sides changed the same things; nothing was changed.
    #[error("both sides changed {}", listed(paths))]
    Conflicts {
        /// The files, relative to the roots.
        paths: Vec<PathBuf>,
    },
    /// The two sides changed the same things, and the receiving side now holds git's unfinished
    /// merge, as it was asked to.
    #[error("both sides changed {}; the merge waits in {} to be finished", listed(paths), path.display())]
    Kept {
        /// The work tree with the unfinished merge.
        path: PathBuf,
        /// The files, relative to the root.
        paths: Vec<PathBuf>,
    },
    /// The environment has work that is not committed.
    #[error("the environment has uncommitted work in {}", listed(paths))]
    Uncommitted {
        /// The files, relative to the root.
        paths: Vec<PathBuf>,
    },
    /// Removing the tree would lose work.
    #[error("the tree holds work that exists nowhere else: {0}")]
    Unsaved(Unsaved),
    /// Files that could not be deleted, mostly because containers made them as root.
    #[error(
        "{} of the tree could not be deleted ({why}); they belong to another user",
        listed(paths)
    )]
    Undeletable {
        /// The highest such files or directories, absolute.
        paths: Vec<PathBuf>,
        /// What the system said about the first.
        why: io::Error,
    },
    /// What dwell remembers of the tree's start is missing or damaged.
    #[error("the record of the tree's start in {} cannot be used: {why}", path.display())]
    Memory {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl TreeError {
    /// The file system's refusal for a path.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl From<At> for TreeError {
    fn from(At(path, source): At) -> Self {
        Self::Io { path, source }
    }
}

/// A few paths in words.
fn listed(paths: &[PathBuf]) -> String {
    const MOST: usize = 10;
    let mut text: Vec<String> =
        paths.iter().take(MOST).map(|path| path.display().to_string()).collect();
    if paths.len() > MOST {
        text.push(format!("{} more", paths.len() - MOST));
    }
    text.join(", ")
}
