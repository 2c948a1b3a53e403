//! Files that git ignores but an environment needs, `.env` for instance, by pattern. A pattern
//! cannot leave the project: it is relative, has no `..`, and no link is followed on the way. A
//! pattern with `!` in front leaves out what it matches.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::TreeError;
use super::copy::{At, Roots};
use super::ignore::{Ignore, matcher};
use super::notes::Notes;
use super::walk::{self, Leave};

/// Copies what the patterns match and the target lacks.
pub(crate) fn copy_matching(
    patterns: &[String],
    source: &Path,
    target: &Path,
    notes: &mut Notes,
) -> Result<Vec<PathBuf>, TreeError> {
    let mut copied = Vec::new();
    if patterns.is_empty() {
        return Ok(copied);
    }
    let roots = Roots::open(source, target, true)?;
    let mut known = HashSet::new();
    let (left_out, wanted): (Vec<&String>, Vec<&String>) =
        patterns.iter().partition(|pattern| pattern.starts_with('!'));
    let rules: Vec<&str> = left_out.iter().map(|p| p.trim_start_matches('!')).collect();
    let (left_out, _) = Ignore::parse(&rules.join("\n"));
    for pattern in wanted {
        for path in expand(pattern, source)? {
            let directory = is_directory(&source.join(&path));
            if left_out.leaves_out(&path, directory) {
                continue;
            }
            if fs::symlink_metadata(target.join(&path)).is_ok()
                || !walk::parents(&roots, &path, &mut known)?
            {
                continue;
            }
            if directory {
                let stat = roots.source_stat(&path).map_err(|e| At(path.clone(), e))?;
                roots.directory(&path, stat.map_or(0o755, |stat| stat.st_mode))?;
                let leave = Leave::default();
                walk::copy_directory(source, target, &path, &leave, notes)?;
            } else {
                let done = roots.copy(&path)?;
                walk::note_left(&path, &done, notes);
            }
            copied.push(path);
        }
    }
    Ok(copied)
}

/// The paths that a pattern matches, relative to the root.
pub(crate) fn expand(pattern: &str, root: &Path) -> Result<Vec<PathBuf>, TreeError> {
    let refuse = |why| TreeError::Pattern { pattern: pattern.to_owned(), why };
    let path = Path::new(pattern);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if pattern.is_empty() || !path.components().all(plain) {
        return Err(refuse("it has to be relative and without `..`"));
    }
    let mut found = vec![PathBuf::new()];
    let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    for part in parts {
        if part == ".git" {
            return Err(refuse("a repository's own files are not copied"));
        }
        let mut next = Vec::new();
        for directory in &found {
            if part == "**" {
                below(root, directory, &mut next);
            } else if part.contains(['*', '?', '[', '{', '\\']) {
                let matcher = matcher(part).ok_or_else(|| refuse("it is not understood"))?;
                next.extend(
                    children(root, directory)
                        .into_iter()
                        .filter(|path| path.file_name().is_some_and(|n| matcher.is_match(n))),
                );
            } else if is_directory(&root.join(directory)) {
                next.push(directory.join(part));
            }
        }
        found = next;
    }
    found.retain(|path| {
        !path.as_os_str().is_empty() && fs::symlink_metadata(root.join(path)).is_ok()
    });
    found.sort();
    found.dedup();
    Ok(found)
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_dir())
}

fn children(root: &Path, directory: &Path) -> Vec<PathBuf> {
    let full = root.join(directory);
    if !is_directory(&full) {
        return Vec::new();
    }
    let entries = fs::read_dir(full).into_iter().flatten().flatten();
    entries.map(|e| directory.join(e.file_name())).filter(|p| !p.ends_with(".git")).collect()
}

/// The directory and all directories below it.
fn below(root: &Path, directory: &Path, all: &mut Vec<PathBuf>) {
    all.push(directory.to_owned());
    for child in children(root, directory) {
        if is_directory(&root.join(&child)) {
            below(root, &child, all);
        }
    }
}
