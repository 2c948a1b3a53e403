//! Why sources did not travel.

use std::io;
use std::path::{Path, PathBuf};

use crate::git::ObjectFormat;
use crate::git::stream::StreamError;
use crate::process::ProcessError;
use crate::tree::TreeError;

/// Why sources did not travel. In every case both sides hold what they held.
#[derive(Debug, thiserror::Error)]
pub enum TravelError {
    /// The stream between the two sides failed or ended early. Trying again sends what is missing.
    #[error("the transfer was cut off: {0}")]
    Cut(io::Error),
    /// What the other side says is not understood.
    #[error("the other side sent what is not understood: {why}")]
    Wire {
        /// What is wrong.
        why: String,
    },
    /// The other side speaks another form of transfers.
    #[error("the other side sends form {theirs} of transfers; this one knows form {ours}")]
    Version {
        /// Its form.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// What came is damaged, incomplete or dangerous.
    #[error("git refuses what was sent: {why}")]
    Rejected {
        /// What git says.
        why: String,
    },
    /// The disk is full.
    #[error("no space is left for {}", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// Two repositories name their objects differently.
    #[error("{} names objects by {has}, what was sent by {sent}", path.display())]
    Format {
        /// The repository.
        path: PathBuf,
        /// What it has.
        has: ObjectFormat,
        /// What was sent.
        sent: ObjectFormat,
    },
    /// The directory is in no git repository.
    #[error("{} is in no git repository", path.display())]
    NoRepository {
        /// The directory.
        path: PathBuf,
    },
    /// A path that cannot be told to another node.
    #[error("{} cannot be sent: {why}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file changed while it was being sent.
    #[error("{} changed while it was being sent", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Most of the source's files have gone, as when its disk is not there.
    #[error("{removed} of {of} files have gone from the source")]
    Vanished {
        /// How many.
        removed: usize,
        /// How many were sent last.
        of: usize,
    },
    /// The environment's tree came from no other node.
    #[error("{} was not made from what another node sent", path.display())]
    NotSent {
        /// The tree.
        path: PathBuf,
    },
    /// What is to be used never came, or was replaced by a later transfer.
    #[error("{commit} is not what was sent last for this environment")]
    NotReceived {
        /// The commit that was offered.
        commit: String,
    },
    /// Another transfer for the same environment goes on.
    #[error("another transfer works on {}", path.display())]
    InProgress {
        /// The state directory of the environment.
        path: PathBuf,
    },
    /// The branch holds commits that what came does not have.
    #[error("branch {branch} has commits of its own, which the environment does not have")]
    Diverged {
        /// The branch.
        branch: String,
    },
    /// The branch is checked out, so it is not moved.
    #[error("branch {branch} is checked out in {}", path.display())]
    CheckedOut {
        /// The branch.
        branch: String,
        /// The work tree.
        path: PathBuf,
    },
    /// An operation on a tree failed.
    #[error(transparent)]
    Tree(TreeError),
}

impl TravelError {
    /// Text that is not understood.
    pub(crate) fn wire(why: &dyn std::fmt::Display) -> Self {
        Self::Wire { why: why.to_string() }
    }

    /// The file system's refusal for a path.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        TreeError::io(path, source).into()
    }

    /// What became of git when it took in what came to `place`.
    pub(crate) fn taking(error: StreamError, place: &Path) -> Self {
        match error {
            StreamError::Stream(error) => Self::Cut(error),
            StreamError::Git(error) => match of_process(error, place) {
                Self::Tree(TreeError::Git(ProcessError::Failed { stderr, .. })) => {
                    Self::Rejected { why: stderr.trim().to_owned() }
                }
                other => other,
            },
        }
    }

    /// What became of git when it made what goes out.
    pub(crate) fn giving(error: StreamError) -> Self {
        match error {
            StreamError::Stream(error) => Self::Cut(error),
            StreamError::Git(error) => error.into(),
        }
    }
}

/// Git says that the disk is full in words only.
fn of_process(error: ProcessError, place: &Path) -> TravelError {
    const WORDS: [&str; 2] = ["No space left on device", "Disk quota exceeded"];
    match &error {
        ProcessError::Failed { stderr, .. } if WORDS.iter().any(|w| stderr.contains(w)) => {
            TravelError::Full { path: place.to_owned() }
        }
        _ => TravelError::Tree(error.into()),
    }
}

impl From<TreeError> for TravelError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Io { path, source }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                Self::Full { path }
            }
            TreeError::Git(error) => error.into(),
            other => Self::Tree(other),
        }
    }
}

impl From<ProcessError> for TravelError {
    fn from(error: ProcessError) -> Self {
        of_process(error, Path::new("the repository"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let failed = |stderr: &str| ProcessError::Failed {
            command: "git".into(),
            code: Some(128),
            stderr: stderr.into(),
        };
        let full = "fatal: write error: No space left on device";
        assert!(matches!(failed(full).into(), TravelError::Full { .. }));
        let taking = |stderr| TravelError::taking(failed(stderr).into(), Path::new("/x"));
        assert!(matches!(taking(full), TravelError::Full { .. }));
        assert!(matches!(taking("fatal: bad pack"), TravelError::Rejected { .. }));
        let error = io::Error::from(io::ErrorKind::StorageFull);
        let error = TravelError::from(TreeError::io(Path::new("/x"), error));
        assert!(matches!(error, TravelError::Full { .. }));
    }
}
