//! Git, run so that nothing outside the named repository steers it: no inherited repository
//! variables, no prompts, no hooks of the repository, no background work.

pub mod index;
mod object;
mod repository;
pub(crate) mod stream;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Finished, ProcessError, Program};

pub use object::{ObjectFormat, ObjectName, ObjectNameError};
pub use repository::{Discovered, Repository};

/// Variables by which a caller's shell or hook would redirect git to another repository, index,
/// object store or program.
const REDIRECTING: [&str; 26] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ASKPASS",
    "GIT_ATTR_SOURCE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DEFAULT_HASH",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TEMPLATE_DIR",
    "GIT_WORK_TREE",
];

/// Settings for every call. Hooks are commands that a repository may bring, and signing may ask
/// for a passphrase; neither belongs in the background.
const SETTINGS: [&str; 11] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=none",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "commit.gpgSign=false",
    "merge.renormalize=false",
    "worktree.useRelativePaths=false",
    "advice.addEmbeddedRepo=false",
    "safe.bareRepository=all",
];

/// How long one git call may take; checking out a large repository is the longest.
const LIMIT: Duration = Duration::from_secs(600);

/// Git in one directory, with an index or object store of the caller's where wanted.
#[derive(Debug, Clone)]
pub struct Git {
    directory: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl Git {
    /// Git run in this directory.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), variables: Vec::new() }
    }

    /// The directory it runs in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Uses this file in place of the repository's index.
    #[must_use]
    pub fn index(mut self, file: &Path) -> Self {
        self.variables.push(("GIT_INDEX_FILE", file.as_os_str().to_owned()));
        self
    }

    /// Writes new objects to `store`, a directory of the caller's, and reads those of `existing`.
    #[must_use]
    pub fn objects(mut self, store: &Path, existing: &Path) -> Self {
        self.variables.push(("GIT_OBJECT_DIRECTORY", store.as_os_str().to_owned()));
        self.variables.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(existing.as_os_str())));
        self
    }

    /// Signs commits as dwell itself: for snapshots that no branch ever holds.
    #[must_use]
    pub fn as_dwell(mut self) -> Self {
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            self.variables.push((name, "dwell".into()));
        }
        for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
            self.variables.push((name, "dwell@localhost".into()));
        }
        self
    }

    /// Dates commits at the beginning of time, so that equal content gives equal commits.
    #[must_use]
    pub(crate) fn timeless(mut self) -> Self {
        for name in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
            self.variables.push((name, "@0 +0000".into()));
        }
        self
    }

    /// The call with these arguments.
    pub fn program<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Program {
        let mut program = Program::new("git").directory(&self.directory).limit(LIMIT);
        for name in REDIRECTING {
            program = program.without_env(name);
        }
        program = program
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_EDITOR", "true")
            .env("LC_ALL", "C");
        for (name, value) in &self.variables {
            program = program.env(name, value);
        }
        for setting in SETTINGS {
            program = program.arg("-c").arg(setting);
        }
        program.args(arguments)
    }

    /// Runs git to its end; an exit code other than 0 is an error.
    pub async fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Result<Finished, ProcessError> {
        self.program(arguments).run().await
    }

    /// What git prints as one line of text.
    pub async fn line<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Result<String, ProcessError> {
        Ok(self.run(arguments).await?.text())
    }

    /// What git prints as one path, whatever bytes it has.
    pub async fn path<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Result<PathBuf, ProcessError> {
        let mut bytes = self.run(arguments).await?.stdout;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    }

    /// What git prints as paths that end with NUL each.
    pub async fn paths<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Result<Vec<PathBuf>, ProcessError> {
        Ok(split_paths(&self.run(arguments).await?.stdout))
    }

    /// Whether git answers with exit code 0; 1 means no, all else is an error.
    pub async fn test<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
    ) -> Result<bool, ProcessError> {
        let program = self.program(arguments);
        let finished = program.finish().await?;
        match finished.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(program.failed(&finished)),
        }
    }
}

/// Splits NUL-separated output into paths.
pub fn split_paths(bytes: &[u8]) -> Vec<PathBuf> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| PathBuf::from(OsStr::from_bytes(part)))
        .collect()
}

/// The form in which git takes a path with `:` or quotes in a list of paths.
fn quoted(path: &OsStr) -> OsString {
    let mut bytes = vec![b'"'];
    for byte in path.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}
