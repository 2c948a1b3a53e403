//! Work goes back: the environment's side. Commits go as they are; what the environment has not
//! committed becomes one more commit on top, which its own branch never sees.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::error::TravelError;
use super::record::{Lock, Record, Taken};
use super::send::{known, part, revisions};
use super::source::{object, shallow};
use super::wire::{Haves, Head, Outgoing, VERSION};
use crate::git::{Discovered, Git, ObjectFormat, ObjectName, Repository};
use crate::tree::integrate::{Side, empty_tree, index_info};
use crate::tree::remove::own_uncommitted;
use crate::tree::snapshot::{Snapshot, private_git};
use crate::tree::{Scratch, Tree, TreeError};

/// Marks a commit of work that was not committed, so that a later one may take its place.
pub(crate) const MARK: &str = "Dwell-Uncommitted: ";

/// An environment's work, as it goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// How the repository names objects.
    pub format: ObjectFormat,
    /// The environment's commit, or the one with its uncommitted work on top of that; `None` where
    /// there is nothing at all.
    pub tip: Option<ObjectName>,
    /// How many files are in the commit on top, 0 where there is none.
    pub uncommitted: u32,
    /// All that the environment has, as the tree of an object.
    pub content: ObjectName,
    /// Commits whose parents the environment's repository does not have.
    #[serde(default)]
    pub shallow: Vec<ObjectName>,
    /// What a person should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Sends an environment's work to a side that has these commits already.
///
/// # Errors
/// When the tree came from no other node, or when git or the stream fails.
pub async fn give<W: AsyncWrite + Unpin + Send>(
    tree: &Tree,
    state: &Path,
    haves: &Haves,
    to: &mut W,
) -> Result<Work, TravelError> {
    let _lock = Lock::take(state).await?;
    let record = Record::of(state, &tree.root)?;
    let Discovered::Repository(repository) = Repository::discover(&tree.root).await? else {
        return Err(TreeError::NoTree { path: tree.root.clone() }.into());
    };
    let scratch = Scratch::new(state)?;
    let project = &tree.project_dir;
    let snapshot = Snapshot::take_unrendered(&repository, state, project, &scratch).await?;
    let side = Side { repository: *repository, snapshot };
    let work = gather(&side, state, &record, &scratch).await?;
    let mut outgoing = Outgoing(to);
    let head = Head { version: VERSION, what: &work };
    outgoing.line(&head).await.map_err(TravelError::Cut)?;
    if let Some(tip) = &work.tip {
        let git = private_git(&side.repository, state);
        let known = known(&git, &haves.commits).await?;
        let revisions = revisions(std::slice::from_ref(tip), &known);
        part(&git, tip, true, &["-q"], revisions, &mut outgoing).await?;
    }
    outgoing.0.flush().await.map_err(TravelError::Cut)?;
    Ok(work)
}

/// Remembers that the other node has this work: it is no longer only here.
///
/// # Errors
/// When the tree came from no other node, or the file system fails.
pub async fn given(tree: &Tree, state: &Path, work: &Work) -> Result<(), TravelError> {
    let _lock = Lock::take(state).await?;
    let record = Record::of(state, &tree.root)?;
    let Some(tip) = &work.tip else { return Ok(()) };
    // The commit on top is in the environment's own store; its parents are what a branch needs.
    let commit = if work.uncommitted > 0 { format!("{tip}^") } else { tip.to_string() };
    let Discovered::Repository(repository) = Repository::discover(&tree.root).await? else {
        return Err(TreeError::NoTree { path: tree.root.clone() }.into());
    };
    if let Some(commit) = private_git(&repository, state).commit(&commit).await? {
        let name = super::store::reference(&record.environment, "taken");
        repository.git().run(["update-ref", &name, &commit]).await?;
    }
    let taken = Some(Taken { commit: tip.clone(), tree: work.content.clone() });
    Record { taken, ..record }.write(state)
}

async fn gather(
    side: &Side,
    state: &Path,
    record: &Record,
    scratch: &Scratch,
) -> Result<Work, TravelError> {
    let repository = &side.repository;
    let git = private_git(repository, state);
    let own: HashSet<PathBuf> = own_uncommitted(side, state).await?.into_iter().collect();
    let mut notes = Vec::new();
    if let Some(what) = repository.busy_with() {
        notes.push(format!(
            "the environment is in the middle of {what}; its files came as they are"
        ));
    }
    let head = repository.head.as_deref();
    let tip = if own.is_empty() {
        head.map(object).transpose()?
    } else {
        match again(&git, side, record).await? {
            Some(commit) => Some(commit),
            None => Some(on_top(&git, side, &own, record, scratch).await?),
        }
    };
    let format =
        if repository.hash_length == 32 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
    Ok(Work {
        format,
        tip,
        uncommitted: u32::try_from(own.len()).unwrap_or(u32::MAX),
        content: object(&side.snapshot.tree)?,
        shallow: shallow(repository),
        notes,
    })
}

/// The commit that was taken last, where nothing changed since.
async fn again(git: &Git, side: &Side, record: &Record) -> Result<Option<ObjectName>, TravelError> {
    let Some(taken) = &record.taken else { return Ok(None) };
    let parent = git.commit(&format!("{}^", taken.commit)).await?;
    let same = taken.tree.as_str() == side.snapshot.tree && parent == side.repository.head;
    Ok(same.then(|| taken.commit.clone()))
}

async fn on_top(
    git: &Git,
    side: &Side,
    own: &HashSet<PathBuf>,
    record: &Record,
    scratch: &Scratch,
) -> Result<ObjectName, TravelError> {
    let head = match &side.repository.head {
        Some(head) => head.clone(),
        None => empty_tree(git).await?,
    };
    let index = git.clone().index(&scratch.path().join("on-top"));
    index.run(["read-tree", &head]).await?;
    let raw = ["diff-tree", "-r", "-z", "--no-renames", "--raw", &head, &side.snapshot.tree];
    let changes = index_info(&git.run(raw).await?.stdout);
    let is_own = |record: &&[u8]| {
        let path = record.splitn(2, |byte| *byte == b'\t').nth(1).unwrap_or_default();
        own.contains(Path::new(OsStr::from_bytes(path.strip_suffix(b"\0").unwrap_or(path))))
    };
    let changes: Vec<&[u8]> = changes.split_inclusive(|b| *b == 0).filter(is_own).collect();
    let update = ["update-index", "-z", "--index-info"];
    index.program(update).input(changes.concat()).run().await?;
    let tree = index.line(["write-tree"]).await?;
    let environment = &record.environment;
    let message = format!("Uncommitted work in {environment}\n\n{MARK}{environment}");
    let mut arguments = vec!["commit-tree", &tree, "-m", &message];
    if let Some(head) = &side.repository.head {
        arguments.extend(["-p", head]);
    }
    object(&git.line(arguments).await?)
}
