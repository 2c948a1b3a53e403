//! Repositories inside a copy. A `.git` that only points elsewhere (of a worktree, a submodule, or
//! a link) would let a commit in the copy move the original, so it becomes a repository of its own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::TreeError;
use super::copy::{At, Roots, in_parallel};
use super::notes::Notes;
use super::walk::{Leave, list};
use crate::git::Git;

/// Copies what `path` (a `.git` relative to both roots) stands for. `Ok(true)` when
/// [`settle`] has to look at the copy. `whole` says that everything below the source root is
/// copied, so that a pointer which stays inside may stay as it is.
pub(crate) fn copy_repository(
    source: &Path,
    target: &Path,
    path: &Path,
    whole: bool,
    notes: &mut Notes,
) -> Result<bool, At> {
    let from = source.join(path);
    let to = target.join(path);
    let fail = |error: io::Error| At(from.clone(), error);
    let kind = fs::symlink_metadata(&from).map_err(fail)?.file_type();
    if kind.is_dir() {
        copy_store(&from, &to, &["worktrees"], notes)?;
        return Ok(names_work_tree(&to));
    }
    let git_dir = if kind.is_symlink() {
        fs::canonicalize(&from).ok()
    } else {
        let text = fs::read(&from).map_err(fail)?;
        let pointed = pointer(&text).map(Path::to_owned);
        if whole && pointed.as_deref().is_some_and(|pointed| stays_inside(path, pointed)) {
            fs::write(&to, text).map_err(fail)?;
            return Ok(false);
        }
        pointed.and_then(|p| fs::canonicalize(from.parent().unwrap_or(source).join(p)).ok())
    };
    let Some(git_dir) = git_dir.filter(|git_dir| git_dir.join("HEAD").exists()) else {
        notes.add(format!("{} was left out: its repository does not exist", path.display()));
        return Ok(false);
    };
    let common = common_directory(&git_dir);
    copy_store(&common, &to, &["worktrees", "modules"], notes)?;
    if common != git_dir {
        overlay(&git_dir, &to)?;
    }
    Ok(true)
}

/// Detaches the configuration of a copied repository from the original's work tree.
pub(crate) async fn settle(git_dir: &Path) -> Result<(), TreeError> {
    for file in ["config", "config.worktree"] {
        let file = git_dir.join(file);
        if !file.exists() {
            continue;
        }
        // Not from within: git would follow the setting that is to go.
        let git = Git::at("/");
        let name = OsStr::new("config");
        let call = |rest: &[&str]| {
            let head = [name, OsStr::new("--file"), file.as_os_str()];
            git.program(head.into_iter().chain(rest.iter().map(OsStr::new)))
        };
        for setting in ["core.worktree", "core.bare"] {
            let wrong = match call(&["--get", setting]).finish().await?.text() {
                text if setting == "core.bare" => text == "true",
                text => !text.is_empty(),
            };
            if wrong {
                call(&["--unset-all", setting]).run().await?;
            }
        }
    }
    Ok(())
}

/// The `gitdir:` of a `.git` file.
fn pointer(text: &[u8]) -> Option<&Path> {
    let rest = text.strip_prefix(b"gitdir:")?.trim_ascii();
    (!rest.is_empty()).then(|| Path::new(OsStr::from_bytes(rest)))
}

/// Whether a pointer read in `path` stays below the root that `path` is relative to.
fn stays_inside(path: &Path, pointed: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in pointed.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

fn common_directory(git_dir: &Path) -> PathBuf {
    let Ok(text) = fs::read(git_dir.join("commondir")) else { return git_dir.to_owned() };
    let common = git_dir.join(OsStr::from_bytes(text.trim_ascii()));
    fs::canonicalize(&common).unwrap_or(common)
}

fn names_work_tree(git_dir: &Path) -> bool {
    ["config", "config.worktree"].iter().any(|file| {
        let text = fs::read_to_string(git_dir.join(file)).unwrap_or_default();
        text.lines().filter_map(|line| line.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("worktree")
                && value.trim().trim_matches('"').starts_with('/')
        })
    })
}

/// Copies a repository's own directory; links in its top level become what they stand for.
fn copy_store(from: &Path, to: &Path, without: &[&str], notes: &mut Notes) -> Result<(), At> {
    let fail = |error: io::Error| At(from.to_owned(), error);
    fs::create_dir_all(to).map_err(|error| At(to.to_owned(), error))?;
    let mut leave = Leave::default();
    for name in without {
        leave.place(&from.join(name));
    }
    let mut listing = list(from, Path::new(""), &leave, notes).map_err(fail)?;
    let links: Vec<PathBuf> =
        listing.files.extract_if(.., |path| is_own_link(from, path)).collect();
    let roots = Roots::open(from, to, false)?;
    for (path, stat) in listing.directories.iter().skip(1) {
        roots.directory(path, stat.st_mode)?;
    }
    in_parallel(&listing.files, |path| roots.copy(path))?;
    for link in links {
        let real = fs::canonicalize(from.join(&link)).map_err(fail)?;
        if real.is_dir() {
            copy_store(&real, &to.join(&link), &[], notes)?;
        } else {
            fs::copy(&real, to.join(&link)).map_err(fail)?;
        }
    }
    make_alternates_absolute(from, to).map_err(fail)
}

/// A link in the top level of a repository, except to hooks, that leads somewhere.
fn is_own_link(root: &Path, path: &Path) -> bool {
    path.components().count() == 1
        && path != Path::new("hooks")
        && fs::symlink_metadata(root.join(path)).is_ok_and(|data| data.is_symlink())
        && root.join(path).exists()
}

fn make_alternates_absolute(from: &Path, to: &Path) -> io::Result<()> {
    let file = Path::new("objects/info/alternates");
    let Ok(text) = fs::read(from.join(file)) else { return Ok(()) };
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let place = from.join("objects").join(OsStr::from_bytes(line));
        lines.extend_from_slice(place.as_os_str().as_bytes());
        lines.push(b'\n');
    }
    fs::write(to.join(file), lines)
}

/// Lays a linked work tree's own state (`HEAD`, index, a merge in progress) over the copy.
fn overlay(git_dir: &Path, to: &Path) -> Result<(), At> {
    let fail = |error: io::Error| At(git_dir.to_owned(), error);
    for entry in fs::read_dir(git_dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let bound = ["commondir", "gitdir", "locked"].iter().any(|other| name == *other);
        if !bound && entry.file_type().map_err(fail)?.is_file() {
            fs::copy(entry.path(), to.join(name)).map_err(fail)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_judged_by_where_it_leads() {
        let inside = |path: &str, to: &str| stays_inside(Path::new(path), Path::new(to));
        assert!(inside("sub/.git", "../.git/modules/sub"));
        assert!(inside(".git", "real.git"));
        assert!(!inside("sub/.git", "../../.git/modules/sub"));
        assert!(!inside(".git", "../main/.git/worktrees/x"));
        assert!(!inside("sub/.git", "/abs/.git/worktrees/x"));
        assert_eq!(pointer(b"gitdir: ../x y\n"), Some(Path::new("../x y")));
        assert_eq!(pointer(b"nonsense"), None);
    }
}
