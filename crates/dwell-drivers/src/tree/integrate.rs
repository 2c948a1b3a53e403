//! Brings the work of one work tree into another of the same repository: first everything is
//! computed on snapshots, then files, index and branch of the receiving side advance. Where the
//! sides disagree nothing is changed at all.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::base::snapshot_commit;
use super::snapshot::{Snapshot, differing, private_git};
use super::{MergeReport, TreeError};
use crate::git::{Git, Repository, split_paths};

/// One side: a work tree with its content.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) repository: Repository,
    pub(crate) snapshot: Snapshot,
}

/// How to write the history, and who decides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct History<'a> {
    /// One commit instead of a merge.
    pub(crate) squash: bool,
    /// The message of a commit that is made.
    pub(crate) message: &'a str,
    /// The commit of the giving side that the receiving side last got. Where the giving side has
    /// left it behind, by an amended commit for instance, the receiving side leaves it too.
    pub(crate) since: Option<&'a str>,
    /// The giving side wins where both changed the same lines.
    pub(crate) force: bool,
}

/// Brings `from` into `into`; `base` is what both last had in common. Refused with
/// [`TreeError::Conflicts`] where both changed the same lines.
pub(crate) async fn integrate(
    from: &Side,
    into: &Side,
    base: &str,
    state: &Path,
    history: History<'_>,
) -> Result<MergeReport, TreeError> {
    let commits = count_new(&into.repository, from.repository.head.as_deref()).await?;
    let head = merged_head(from, into, history).await?;
    let content = merged_content(from, into, base, state, history.force).await?;
    let git = private_git(&into.repository, state);
    let files = differing(&git, &into.snapshot.tree, &content).await?;
    if !history.force {
        refuse_overwriting(&git, into, &content).await?;
    }
    advance(into, state, &content, head.as_deref(), history.message).await?;
    Ok(MergeReport { commits, files, head, notes: Vec::new() })
}

/// How many of a commit's ancestors the repository's checked-out commit does not have.
pub(crate) async fn count_new(
    repository: &Repository,
    commit: Option<&str>,
) -> Result<u32, TreeError> {
    let Some(commit) = commit else { return Ok(0) };
    let mut arguments = vec!["rev-list".to_owned(), "--count".to_owned(), commit.to_owned()];
    if let Some(head) = &repository.head {
        arguments.push(format!("^{head}"));
    }
    Ok(repository.git().line(arguments).await?.parse().unwrap_or_default())
}

/// The receiving side's commit afterwards.
async fn merged_head(
    from: &Side,
    into: &Side,
    history: History<'_>,
) -> Result<Option<String>, TreeError> {
    let git = into.repository.git();
    let (theirs, ours) = match (&from.repository.head, &into.repository.head) {
        (None, ours) => return Ok(ours.clone()),
        (Some(theirs), None) => return Ok(Some(theirs.clone())),
        (Some(theirs), Some(ours)) => (theirs.as_str(), ours.as_str()),
    };
    if history.since == Some(ours) {
        return Ok(Some(theirs.to_owned()));
    }
    let is_ancestor = ["merge-base", "--is-ancestor"];
    if git.test(is_ancestor.iter().chain(&[theirs, ours])).await? {
        return Ok(Some(ours.to_owned()));
    }
    if !history.squash && git.test(is_ancestor.iter().chain(&[ours, theirs])).await? {
        return Ok(Some(theirs.to_owned()));
    }
    let sides = match history.since {
        Some(since) if !git.test(is_ancestor.iter().chain(&[since, theirs])).await? => {
            rebased(&git, since, ours, theirs).await?
        }
        _ => [ours.to_owned(), theirs.to_owned()],
    };
    let tree = merge_commits(&git, &sides, history.force.then_some(into)).await?;
    let mut arguments = vec!["commit-tree", &tree, "-m", history.message, "-p", ours];
    if !history.squash {
        arguments.extend(["-p", theirs]);
    }
    Ok(Some(signed(git).await?.line(arguments).await?))
}

/// Git that can commit also where nobody said who works there.
pub(crate) async fn signed(git: Git) -> Result<Git, TreeError> {
    let known = git.program(["var", "GIT_COMMITTER_IDENT"]).finish().await?.ok();
    Ok(if known { git } else { git.as_dwell() })
}

/// Two commits with the content of the given ones and `since` as what they have in common.
async fn rebased(
    git: &Git,
    since: &str,
    ours: &str,
    theirs: &str,
) -> Result<[String; 2], TreeError> {
    let git = git.clone().as_dwell();
    let tree = |commit: &str| format!("{commit}^{{tree}}");
    let base = git.line(["commit-tree", &tree(since), "-m", "base"]).await?;
    let ours = git.line(["commit-tree", &tree(ours), "-m", "ours", "-p", &base]).await?;
    let theirs = git.line(["commit-tree", &tree(theirs), "-m", "theirs", "-p", &base]).await?;
    Ok([ours, theirs])
}

/// The receiving side's files afterwards, as a tree object.
async fn merged_content(
    from: &Side,
    into: &Side,
    base: &str,
    state: &Path,
    force: bool,
) -> Result<String, TreeError> {
    let repository = &into.repository;
    let ours = snapshot_commit(repository, state, &into.snapshot.tree, Some(base)).await?;
    let theirs = snapshot_commit(repository, state, &from.snapshot.tree, Some(base)).await?;
    let git = private_git(repository, state);
    merge_commits(&git, &[ours, theirs], force.then_some(into)).await
}

/// Merges two commits into a tree. With `force` the second wins where both changed the same lines;
/// that side is the one whose snapshot's directory serves for temporary files.
async fn merge_commits(
    git: &Git,
    sides: &[String; 2],
    force: Option<&Side>,
) -> Result<String, TreeError> {
    let [ours, theirs] = sides;
    let program = git.program([
        "merge-tree",
        "--write-tree",
        "--allow-unrelated-histories",
        "--no-messages",
        "--name-only",
        "-z",
        ours,
        theirs,
    ]);
    let finished = program.finish().await?;
    let mut parts = split_paths(&finished.stdout).into_iter();
    let tree = parts.next().map(|tree| tree.to_string_lossy().into_owned());
    match (finished.code, tree) {
        (Some(0), Some(tree)) => Ok(tree),
        (Some(1), Some(tree)) => {
            let paths: BTreeSet<PathBuf> = parts.collect();
            match force {
                Some(side) => prefer(git, &tree, sides, paths, side).await,
                None => Err(TreeError::Conflicts { paths: paths.into_iter().collect() }),
            }
        }
        _ => Err(program.failed(&finished).into()),
    }
}

/// Takes the second side's version of the paths in conflict. Refused where git had to give a path
/// another name, as it does where one side has a file and the other a directory.
async fn prefer(
    git: &Git,
    merged: &str,
    sides: &[String; 2],
    paths: BTreeSet<PathBuf>,
    side: &Side,
) -> Result<String, TreeError> {
    let [ours, theirs] = sides;
    let theirs = entries(git, theirs, &paths).await?;
    let ours = entries(git, ours, &paths).await?;
    let unknown: Vec<PathBuf> = paths
        .iter()
        .filter(|path| !theirs.contains_key(*path) && !ours.contains_key(*path))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Err(TreeError::Conflicts { paths: unknown });
    }
    let git = git.clone().index(&side.snapshot.index.with_extension("preferred"));
    git.run(["read-tree", merged]).await?;
    let mut info = Vec::new();
    for path in &paths {
        let gone = format!("0 {}\t", "0".repeat(2 * side.repository.hash_length)).into_bytes();
        info.extend(theirs.get(path).cloned().unwrap_or(gone));
        info.extend_from_slice(path.as_os_str().as_bytes());
        info.push(0);
    }
    git.program(["update-index", "-z", "--index-info"]).input(info).run().await?;
    Ok(git.line(["write-tree"]).await?)
}

/// What a tree has at some paths, each as the beginning of an index record.
async fn entries(
    git: &Git,
    tree: &str,
    paths: &BTreeSet<PathBuf>,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, TreeError> {
    let listed = git.run(["ls-tree", "-r", "-z", "--full-tree", tree]).await?.stdout;
    let entry = |record: &[u8]| {
        let tab = record.iter().position(|byte| *byte == b'\t')? + 1;
        let path = PathBuf::from(OsStr::from_bytes(record.get(tab..)?));
        Some((path, record.get(..tab)?.to_vec()))
    };
    let all = listed.split(|byte| *byte == 0).filter_map(entry);
    Ok(all.filter(|(path, _)| paths.contains(path)).collect())
}

/// Refuses where a new file would replace one that git ignores on the receiving side.
async fn refuse_overwriting(git: &Git, into: &Side, content: &str) -> Result<(), TreeError> {
    let added = ["diff-tree", "-r", "-z", "--no-renames", "--name-only", "--diff-filter=A"];
    let added = git.paths(added.into_iter().chain([into.snapshot.tree.as_str(), content])).await?;
    let paths: Vec<PathBuf> = added
        .into_iter()
        .filter(|path| {
            let place = into.repository.root.join(path);
            std::fs::symlink_metadata(place).is_ok_and(|data| !data.is_dir())
        })
        .collect();
    if paths.is_empty() { Ok(()) } else { Err(TreeError::Conflicts { paths }) }
}

/// Moves files, index and branch. Git itself refuses to write over a file that changed since its
/// snapshot.
async fn advance(
    into: &Side,
    state: &Path,
    content: &str,
    head: Option<&str>,
    message: &str,
) -> Result<(), TreeError> {
    let repository = &into.repository;
    if content != into.snapshot.tree {
        let git = private_git(repository, state).index(&into.snapshot.index);
        git.run(["read-tree", "-m", "-u", &into.snapshot.tree, content]).await?;
    }
    let git = repository.git();
    if let Some(head) = head.filter(|head| Some(*head) != repository.head.as_deref()) {
        let old = match &repository.head {
            Some(old) => old.clone(),
            None => empty_tree(&git).await?,
        };
        restage(&git, &old, head).await?;
        let reason = format!("dwell: {message}");
        let expected = repository.head.clone().unwrap_or_default();
        git.run(["update-ref", "-m", &reason, "HEAD", head, &expected]).await?;
    }
    // Refreshing reports files that differ by its exit code; they may.
    git.program(["update-index", "-q", "--refresh"]).finish().await?;
    Ok(())
}

/// Moves the index entries in which two commits differ.
pub(crate) async fn restage(git: &Git, old: &str, new: &str) -> Result<(), TreeError> {
    let arguments = ["diff-tree", "-r", "-z", "--no-renames", "--raw", old, new];
    let raw = git.run(arguments).await?.stdout;
    git.program(["update-index", "-z", "--index-info"]).input(index_info(&raw)).run().await?;
    Ok(())
}

/// The object name of the empty tree in this repository's format.
pub(crate) async fn empty_tree(git: &Git) -> Result<String, TreeError> {
    Ok(git.program(["hash-object", "-w", "-t", "tree", "--stdin"]).run().await?.text())
}

/// Turns raw differences (`:old new object object status`, NUL, path, NUL) into the new side's
/// index records.
pub(crate) fn index_info(raw: &[u8]) -> Vec<u8> {
    let mut info = Vec::new();
    let mut parts = raw.split(|byte| *byte == 0);
    while let (Some(head), Some(path)) = (parts.next(), parts.next()) {
        let head = String::from_utf8_lossy(head).into_owned();
        let mut fields = head.split(' ');
        if let (Some(mode), Some(object)) = (fields.nth(1), fields.nth(1)) {
            info.extend_from_slice(format!("{mode} {object}\t").as_bytes());
            info.extend_from_slice(path);
            info.push(0);
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_become_index_records() {
        let raw = b":100644 000000 aa 00 D\0gone\0:000000 100755 00 bb A\0new\nname\0";
        assert_eq!(index_info(raw), b"000000 00\tgone\x00100755 bb\tnew\nname\0");
        assert!(index_info(b"").is_empty());
    }
}
