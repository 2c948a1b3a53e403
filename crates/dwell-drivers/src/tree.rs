//! Source trees: the isolated copy of a project that an environment works in, and the ways
//! between it and the source. A git project gets a worktree with a branch of its own; any other
//! directory a faithful copy. The source is never changed except by [`merge`].

mod base;
mod copy;
mod create;
mod diff;
mod directory;
mod error;
mod guest;
pub mod ignore;
mod independent;
mod integrate;
mod manifest;
mod merge;
mod notes;
mod patterns;
mod populate;
mod remove;
mod render;
mod snapshot;
mod sync;
pub mod travel;
mod walk;
mod worktree;

use std::path::{Path, PathBuf};

use dwell_core::EnvironmentName;
use serde::{Deserialize, Serialize};

pub use dwell_core::tree::{Tree, TreeKind};
pub use guest::{GuestError, guest};

pub use create::create;
pub use diff::{DiffOptions, diff};
pub use error::TreeError;
pub use merge::{MergeOptions, merge};
pub use remove::{Removed, Unsaved, remove, unsaved};
pub use render::{Applied, CopyAndRender, apply_copy_and_render};
pub use sync::sync;

/// What a tree starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The source as it is now, with its uncommitted and untracked work.
    Source,
    /// A commit, branch or tag of the source's repository, without uncommitted work.
    Revision(String),
    /// Nothing: an empty directory.
    Empty,
    /// No copy: the source directory itself.
    InPlace,
}

/// An order for a tree.
#[derive(Debug, Clone)]
pub struct CreateTree<'a> {
    /// The project's directory; inside a git repository it may be any directory with tracked
    /// files.
    pub source: &'a Path,
    /// Where the tree goes. Must not exist.
    pub tree: &'a Path,
    /// The environment's state directory, where dwell remembers what the tree started from.
    pub state: &'a Path,
    /// The environment, which names the branch.
    pub environment: &'a EnvironmentName,
    /// What the tree starts from.
    pub start: Start,
    /// Patterns of ignored files to bring along, relative to the project's directory.
    pub copy_patterns: &'a [String],
}

/// What [`merge`] or [`sync`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeReport {
    /// Commits that were brought over.
    pub commits: u32,
    /// Files that changed on the receiving side, relative to its root.
    pub files: Vec<PathBuf>,
    /// The receiving side's commit afterwards, in git.
    pub head: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The files in which dwell remembers a tree, below an environment's state directory.
fn memory(state: &Path) -> PathBuf {
    state.join("tree")
}

/// A directory for temporary files that goes away with its owner.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    /// Makes one below the state directory, private to the user.
    fn new(state: &Path) -> Result<Self, TreeError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| TreeError::io(state, std::io::Error::other(e)))?;
        let path = memory(state).join(format!("scratch-{:016x}", u64::from_le_bytes(random)));
        private_directory(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a directory and those above it that are missing, all only for the user.
fn private_directory(path: &Path) -> Result<(), TreeError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| TreeError::io(path, error))
}

/// Runs work on files away from the async threads.
async fn on_files<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TreeError> + Send + 'static,
) -> Result<T, TreeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(TreeError::io(Path::new(""), std::io::Error::other(error))),
    }
}
