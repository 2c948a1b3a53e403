//! The content of a work tree as a git tree, taken without touching its repository: the index is
//! a copy and new objects go to dwell's own store.

use std::ffi::OsStr;
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
        Ok(Self::take_leaving(repository, state, scratch, |_| false).await?.0)
    }

    /// The same without those of the untracked files that `leave` names. The second value is what
    /// git lists as untracked: paths, each with a NUL at its end.
    pub(crate) async fn take_leaving(
        repository: &Repository,
        state: &Path,
        scratch: &Scratch,
        leave: impl Fn(&Path) -> bool,
    ) -> Result<(Self, Vec<u8>), TreeError> {
        let (git, index) = start(repository, &store(state), scratch)?;
        git.run(QUICK.into_iter().chain(["add", "--update"])).await?;
        let others = git.run(UNTRACKED).await?.stdout;
        let wanted = |path: &&[u8]| {
            let path = path.strip_suffix(b"\0").unwrap_or(path);
            !path.ends_with(b"/") && !leave(Path::new(OsStr::from_bytes(path)))
        };
        let files: Vec<&[u8]> = others.split_inclusive(|byte| *byte == 0).filter(wanted).collect();
        stage(&git, files.concat()).await?;
        let tree = git.line(["write-tree"]).await?;
        Ok((Self { index, tree }, others))
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

    /// The same for a work tree of which only the given paths may differ from its index.
    pub(crate) async fn take_known(
        repository: &Repository,
        state: &Path,
        scratch: &Scratch,
        touched: &[PathBuf],
    ) -> Result<Self, TreeError> {
        // Git does not look at single paths that a link now hides.
        if touched.iter().any(|path| is_behind_link(&repository.root, path)) {
            return Self::take(repository, state, scratch).await;
        }
        let (git, index) = start(repository, &store(state), scratch)?;
        let mut list = Vec::new();
        for path in touched {
            list.extend_from_slice(path.as_os_str().as_bytes());
            list.push(0);
        }
        stage(&git, list).await?;
        let tree = git.line(["write-tree"]).await?;
        Ok(Self { index, tree })
    }
}

/// Lists what is neither tracked nor ignored; a repository inside has `/` at its end.
pub(crate) const UNTRACKED: [&str; 4] = ["ls-files", "-z", "--others", "--exclude-standard"];

/// Settings for objects that live shortly.
const QUICK: [&str; 4] = ["-c", "core.safecrlf=false", "-c", "core.compression=0"];

/// Git with a copy of the repository's index.
fn start(
    repository: &Repository,
    store: &Path,
    scratch: &Scratch,
) -> Result<(Git, PathBuf), TreeError> {
    private_directory(store)?;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| TreeError::io(store, std::io::Error::other(e)))?;
    let index = scratch.path().join(format!("index-{:08x}", u32::from_le_bytes(random)));
    let real = repository.git_dir.join("index");
    if real.exists() {
        copy_index(&real, &index).map_err(|e| TreeError::io(&real, e))?;
    }
    Ok((repository.git().index(&index).objects(store, &repository.objects()), index))
}

/// With its time: git compares whole seconds, and reads anew what is as young as the index.
fn copy_index(real: &Path, copy: &Path) -> std::io::Result<()> {
    let modified = fs::metadata(real)?.modified()?;
    fs::copy(real, copy)?;
    fs::File::options().write(true).open(copy)?.set_modified(modified)
}

fn is_behind_link(root: &Path, path: &Path) -> bool {
    let parents = path.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty());
    parents.into_iter().any(|part| root.join(part).is_symlink())
}

/// Brings NUL-ended paths of the index up to date with the files.
async fn stage(git: &Git, paths: Vec<u8>) -> Result<(), TreeError> {
    if !paths.is_empty() {
        let add =
            ["update-index", "--ignore-skip-worktree-entries", "--add", "--remove", "--replace"];
        let arguments = QUICK.into_iter().chain(add).chain(["-z", "--stdin"]);
        git.program(arguments).input(paths).run().await?;
    }
    Ok(())
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
