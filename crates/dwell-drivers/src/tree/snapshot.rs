//! The content of a work tree as a git tree, taken without touching its repository: the index is
//! a copy and new objects go to dwell's own store.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Scratch, TreeError, memory, private_directory, render};
use crate::git::{Git, Repository};

/// A work tree's content at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// A temporary index that describes it.
    pub(crate) index: PathBuf,
    /// The object that holds it, in the environment's own store.
    pub(crate) tree: String,
}

/// The store of objects that only dwell needs.
pub(crate) fn store(state: &Path) -> PathBuf {
    memory(state).join("objects")
}

impl Snapshot {
    /// Takes a snapshot with everything that is not ignored. Objects go to the environment's own
    /// store.
    pub(crate) async fn take(
        repository: &Repository,
        state: &Path,
        scratch: &Scratch,
    ) -> Result<Self, TreeError> {
        Self::into_store(repository, &store(state), scratch).await
    }

    /// The same of an environment's tree in which files were rendered: as they were before.
    pub(crate) async fn take_unrendered(
        repository: &Repository,
        state: &Path,
        project: &Path,
        scratch: &Scratch,
    ) -> Result<Self, TreeError> {
        let mut snapshot = Self::take(repository, state, scratch).await?;
        let git = private_git(repository, state).index(&snapshot.index);
        for (path, pristine) in render::rendered_now(state, project)? {
            let full = project.join(&path);
            let Ok(path) = full.strip_prefix(&repository.root).map(Path::to_owned) else {
                continue;
            };
            let known = ["ls-files", "-z", "--cached", "--"];
            if git.program(known).arg(&path).run().await?.stdout.is_empty() {
                continue;
            }
            let data = fs::metadata(&full).map_err(|e| TreeError::io(&full, e))?;
            let mode = if data.permissions().mode() & 0o100 == 0 { "100644" } else { "100755" };
            let write = git.program(["hash-object", "-w", "--stdin", "--path"]).arg(&path);
            let object = write.input(pristine).run().await?.text();
            let mut record = format!("{mode} {object}\t").into_bytes();
            record.extend_from_slice(path.as_os_str().as_bytes());
            record.push(0);
            git.program(["update-index", "-z", "--index-info"]).input(record).run().await?;
        }
        snapshot.tree = git.line(["write-tree"]).await?;
        Ok(snapshot)
    }

    async fn into_store(
        repository: &Repository,
        store: &Path,
        scratch: &Scratch,
    ) -> Result<Self, TreeError> {
        private_directory(store)?;
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|e| TreeError::io(store, std::io::Error::other(e)))?;
        let index = scratch.path().join(format!("index-{:08x}", u32::from_le_bytes(random)));
        let real = repository.git_dir.join("index");
        if real.exists() {
            fs::copy(&real, &index).map_err(|e| TreeError::io(&real, e))?;
        }
        let git = repository.git().index(&index).objects(store, &repository.objects());
        let quick = ["-c", "core.safecrlf=false", "-c", "core.compression=0"];
        git.run(quick.into_iter().chain(["add", "--update", "--", "."])).await?;
        let others = git.run(["ls-files", "-z", "--others", "--exclude-standard"]).await?.stdout;
        let files: Vec<u8> = others
            .split_inclusive(|byte| *byte == 0)
            .filter(|path| !path.ends_with(b"/\0"))
            .collect::<Vec<_>>()
            .concat();
        if !files.is_empty() {
            let add = ["update-index", "--add", "--remove", "-z", "--stdin"];
            git.program(quick.into_iter().chain(add)).input(files).run().await?;
        }
        let tree = git.line(["write-tree"]).await?;
        Ok(Self { index, tree })
    }
}

/// Git that sees the environment's own objects and writes only there.
pub(crate) fn private_git(repository: &Repository, state: &Path) -> Git {
    repository.git().objects(&store(state), &repository.objects()).as_dwell()
}

/// The paths in which two trees (or commits) differ.
pub(crate) async fn differing(git: &Git, a: &str, b: &str) -> Result<Vec<PathBuf>, TreeError> {
    if a == b {
        return Ok(Vec::new());
    }
    let arguments = ["diff-tree", "-r", "-z", "--no-renames", "--name-only", a, b];
    Ok(git.paths(arguments).await?)
}
