//! Where a directory stands in git: its repository, work tree and commit.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::Git;
use crate::process::ProcessError;

/// What git says about a directory.
#[derive(Debug)]
pub enum Discovered {
    /// It belongs to a repository.
    Repository(Box<Repository>),
    /// No repository holds it.
    None,
    /// A repository holds it that git refuses because another user owns it; the advice is git's.
    Refused(String),
}

/// A repository as seen from one of its work trees (or from itself where it is bare).
#[derive(Debug, Clone)]
pub struct Repository {
    /// The work tree's root; the repository's own directory where it is bare.
    pub root: PathBuf,
    /// The asked directory below the root, empty when it is the root.
    pub prefix: PathBuf,
    /// The directory with `HEAD` and the index of this work tree.
    pub git_dir: PathBuf,
    /// The directory with objects and refs, shared by all work trees.
    pub common_dir: PathBuf,
    /// The commit that is checked out; `None` before the first one.
    pub head: Option<String>,
    /// Whether it has no work tree.
    pub bare: bool,
    /// The length of an object name in bytes: 20 for SHA-1, 32 for SHA-256.
    pub hash_length: usize,
}

impl Repository {
    /// Asks git about a directory.
    pub async fn discover(directory: &Path) -> Result<Discovered, ProcessError> {
        let git = Git::at(directory);
        let bare = match git.line(["rev-parse", "--is-bare-repository"]).await {
            Ok(answer) => answer == "true",
            Err(ProcessError::Failed { stderr, .. }) if stderr.contains("dubious ownership") => {
                return Ok(Discovered::Refused(stderr));
            }
            Err(ProcessError::Failed { stderr, .. }) if stderr.contains("not a git repository") => {
                return Ok(Discovered::None);
            }
            Err(error) => return Err(error),
        };
        let absolute = "--path-format=absolute";
        let (git_dir, common_dir, format, head) = tokio::try_join!(
            git.path(["rev-parse", absolute, "--git-dir"]),
            git.path(["rev-parse", absolute, "--git-common-dir"]),
            git.line(["rev-parse", "--show-object-format"]),
            git.head(),
        )?;
        let (root, prefix) = if bare {
            (git_dir.clone(), PathBuf::new())
        } else {
            match git.path(["rev-parse", "--show-toplevel"]).await {
                Ok(root) => (root, git.path(["rev-parse", "--show-prefix"]).await?),
                // Inside a `.git` directory there is no work tree to copy.
                Err(ProcessError::Failed { .. }) => return Ok(Discovered::None),
                Err(error) => return Err(error),
            }
        };
        let hash_length = if format == "sha256" { 32 } else { 20 };
        let repository = Self {
            root,
            prefix: without_slash(prefix),
            git_dir,
            common_dir,
            head,
            bare,
            hash_length,
        };
        Ok(Discovered::Repository(Box::new(repository)))
    }

    /// Git in the root of this work tree.
    pub fn git(&self) -> Git {
        Git::at(&self.root)
    }

    /// The directory that holds the objects.
    pub fn objects(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// What the work tree is in the middle of, as words for people (`a merge`).
    pub fn busy_with(&self) -> Option<&'static str> {
        const STATES: [(&str, &str); 6] = [
            ("MERGE_HEAD", "a merge"),
            ("rebase-merge", "a rebase"),
            ("rebase-apply", "a rebase"),
            ("CHERRY_PICK_HEAD", "a cherry-pick"),
            ("REVERT_HEAD", "a revert"),
            ("BISECT_LOG", "a bisection"),
        ];
        STATES.iter().find(|(file, _)| self.git_dir.join(file).exists()).map(|(_, words)| *words)
    }
}

impl Git {
    /// The commit that is checked out; `None` before the first one.
    pub async fn head(&self) -> Result<Option<String>, ProcessError> {
        self.commit("HEAD").await
    }

    /// The commit that a revision names; `None` where it names none.
    pub async fn commit(&self, revision: &str) -> Result<Option<String>, ProcessError> {
        let wanted = format!("{revision}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted];
        let finished = self.program(arguments).finish().await?;
        Ok(finished.ok().then(|| finished.text()).filter(|text| !text.is_empty()))
    }
}

fn without_slash(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    match bytes.strip_suffix(b"/") {
        Some(short) => PathBuf::from(OsString::from_vec(short.to_vec())),
        None => path,
    }
}
