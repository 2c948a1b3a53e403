//! Copies of whole directories: everything as it is, with git's files of aliases made independent
//! and what cannot be copied noted.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::copy::{At, Copied, Roots, in_parallel};
use super::ignore::Ignore;
use super::independent;
use super::notes::Notes;

/// What a copy leaves out.
#[derive(Debug, Default)]
pub(crate) struct Leave {
    /// By rule.
    pub(crate) ignore: Ignore,
    /// By device and inode: directories of dwell's own that lie inside the source.
    pub(crate) places: HashSet<(u64, u64)>,
}

impl Leave {
    /// Leaves out this directory too, where it exists.
    pub(crate) fn place(&mut self, path: &Path) {
        if let Ok(data) = fs::symlink_metadata(path) {
            self.places.insert((data.dev(), data.ino()));
        }
    }
}

/// What a directory holds, parents before children.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) directories: Vec<(PathBuf, Stat)>,
    pub(crate) files: Vec<PathBuf>,
    /// Places of `.git` that are not a plain directory, or a directory that needs care.
    pub(crate) repositories: Vec<PathBuf>,
}

/// Lists everything below `from`, relative to `root`.
pub(crate) fn list(
    root: &Path,
    from: &Path,
    leave: &Leave,
    notes: &mut Notes,
) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut waiting = vec![from.to_owned()];
    while let Some(directory) = waiting.pop() {
        let full = root.join(&directory);
        let stat = rustix::fs::lstat(&full)?;
        let entries = match fs::read_dir(&full) {
            Ok(entries) => entries,
            Err(error) if directory == from => return Err(error),
            Err(error) => {
                notes.add(format!("{} was left out: {error}", directory.display()));
                continue;
            }
        };
        listing.directories.push((directory.clone(), stat));
        let mut entries: Vec<(OsString, fs::FileType)> = entries
            .map(|entry| entry.and_then(|e| Ok((e.file_name(), e.file_type()?))))
            .collect::<io::Result<_>>()?;
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            let path = directory.join(&name);
            if leave.ignore.leaves_out(&path, kind.is_dir()) {
                continue;
            }
            if name == ".git" {
                listing.repositories.push(path);
            } else if kind.is_dir() {
                if !is_left(root, &path, leave) {
                    waiting.push(path);
                }
            } else {
                listing.files.push(path);
            }
        }
    }
    listing.directories.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(listing)
}

fn is_left(root: &Path, path: &Path, leave: &Leave) -> bool {
    !leave.places.is_empty()
        && fs::symlink_metadata(root.join(path))
            .is_ok_and(|data| leave.places.contains(&(data.dev(), data.ino())))
}

/// Copies what `from` (relative to both roots) holds. The directories above it exist in the
/// target. Gives the `.git` places whose configuration has to be looked at afterwards.
pub(crate) fn copy_directory(
    source: &Path,
    target: &Path,
    from: &Path,
    leave: &Leave,
    notes: &mut Notes,
) -> Result<Vec<PathBuf>, At> {
    let listing = list(source, from, leave, notes).map_err(|e| At(source.join(from), e))?;
    let roots = Roots::open(source, target, true)?;
    for (path, stat) in &listing.directories {
        if !path.as_os_str().is_empty() {
            roots.directory(path, stat.st_mode)?;
        }
    }
    let done = in_parallel(&listing.files, |path| roots.copy(path))?;
    for (path, copied) in listing.files.iter().zip(done) {
        note_left(path, &copied, notes);
    }
    let mut made = Vec::new();
    let whole = from.as_os_str().is_empty();
    for path in &listing.repositories {
        if independent::copy_repository(source, target, path, whole, notes)? {
            made.push(target.join(path));
        }
    }
    for (path, stat) in listing.directories.iter().rev() {
        roots.finish_directory(path, stat, true).map_err(|e| At(target.join(path), e))?;
    }
    Ok(made)
}

/// Notes a path that was not copied.
pub(crate) fn note_left(path: &Path, copied: &Copied, notes: &mut Notes) {
    match copied {
        Copied::Special(kind) => notes.add(format!("{} was left out: a {kind}", path.display())),
        Copied::Unreadable(error) => {
            notes.add(format!("{} was left out: {error}", path.display()));
        }
        Copied::Done { .. } | Copied::Missing | Copied::Directory => {}
    }
}

/// Makes the directories above `path` in the target like the source's. `Ok(false)` when one of
/// them is not a directory in the source, a link for instance.
pub(crate) fn parents(
    roots: &Roots,
    path: &Path,
    known: &mut HashSet<PathBuf>,
) -> Result<bool, At> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(true);
    };
    if known.contains(parent) {
        return Ok(true);
    }
    if !parents(roots, parent, known)? {
        return Ok(false);
    }
    let stat = roots.source_stat(parent).map_err(|e| At(parent.to_owned(), e))?;
    let Some(stat) = stat.filter(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
    else {
        return Ok(false);
    };
    roots.directory(parent, stat.st_mode)?;
    known.insert(parent.to_owned());
    Ok(true)
}
