//! Bringing an environment's tree up to what another node sent since.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::TravelError;
use super::plain;
use super::record::{Lock, Record};
use super::store::{Arrived, Store};
use super::wire::Offer;
use crate::git::Repository;
use crate::tree::base::snapshot_commit;
use crate::tree::integrate::{History, Side, count_new, integrate};
use crate::tree::merge::side_of_tree;
use crate::tree::snapshot::{Snapshot, differing, private_git};
use crate::tree::{MergeReport, Scratch, Tree, base, on_files, render};

/// What became of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// What changed in it.
    pub report: MergeReport,
    /// Whether the tree had all of it before.
    pub nothing_to_do: bool,
}

/// What an environment changed since it was last brought up to date.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// New commits.
    pub commits: u32,
    /// Files, relative to the tree's root.
    pub files: Vec<PathBuf>,
}

/// Whether a tree was last brought up to exactly this.
///
/// # Errors
/// When the tree came from no other node.
pub fn is_current(tree: &Tree, state: &Path, offer: &Offer) -> Result<bool, TravelError> {
    Ok(Record::of(state, &tree.root)?.offer == *offer)
}

/// Brings what was received into the tree. What only one side changed since the last time is
/// taken from that side; the environment's own files and commits stay. Where both changed the same
/// lines nothing is changed at all, and [`TreeError::Conflicts`](crate::tree::TreeError) names the
/// files; with `force` what was sent wins there. Rendered files return to their unrendered text;
/// the caller renders again.
///
/// # Errors
/// When both sides changed the same lines, when what is offered was not received, or when git or
/// the file system fails.
pub async fn apply(
    tree: &Tree,
    state: &Path,
    store: &Store,
    offer: &Offer,
    force: bool,
) -> Result<Applied, TravelError> {
    let _lock = Lock::take(state).await?;
    let record = Record::of(state, &tree.root)?;
    if record.offer == *offer {
        return Ok(Applied { nothing_to_do: true, ..Applied::default() });
    }
    let arrived = store.arrived(&record.environment, offer).await?;
    let rendered = render::restore(state, &tree.project_dir)?;
    let done = bring(tree, state, &record, &arrived, force).await;
    match &done {
        Ok(_) => render::forget(&rendered),
        Err(_) => render::put_back(&rendered)?,
    }
    let report = done?;
    store.set(&record.environment, &[("base", &arrived.snapshot)]).await?;
    Record { offer: offer.clone(), ..record }.write(state)?;
    Ok(Applied { report, nothing_to_do: false })
}

async fn bring(
    tree: &Tree,
    state: &Path,
    record: &Record,
    arrived: &Arrived,
    force: bool,
) -> Result<MergeReport, TravelError> {
    let scratch = Scratch::new(state)?;
    let into = side_of_tree(tree, state, &scratch).await?;
    let snapshot = Snapshot { index: scratch.path().join("sent"), tree: arrived.tree.clone() };
    let repository = Repository { head: arrived.head.clone(), ..into.repository.clone() };
    let from = Side { repository, snapshot };
    let base = common(&into.repository, state, record, arrived).await?;
    let since = record.offer.head.as_ref().map(|head| head.as_str());
    let history = History { message: "Merge the source", since, force, ..History::default() };
    let report = integrate(&from, &into, &base, state, history).await?;
    base::write(&into.repository, state, &arrived.tree).await?;
    Ok(report)
}

/// What both sides last had in common: what was sent last, or the environment's own work where
/// the sender has taken it in since.
async fn common(
    repository: &Repository,
    state: &Path,
    record: &Record,
    arrived: &Arrived,
) -> Result<String, TravelError> {
    if let (Some(taken), Some(head)) = (&record.taken, &arrived.head) {
        let git = repository.git();
        let (taken, content) = (taken.commit.as_str(), taken.tree.as_str());
        let there = git.commit(taken).await?.is_some();
        if there && git.test(["merge-base", "--is-ancestor", taken, head]).await? {
            return Ok(snapshot_commit(repository, state, content, None).await?);
        }
    }
    Ok(base::read(state)?)
}

/// What the environment changed since the tree was made or last brought up to date.
///
/// # Errors
/// When the tree came from no other node, or git fails.
pub async fn changed(tree: &Tree, state: &Path) -> Result<Changed, TravelError> {
    if plain::is_sent(state) {
        let (root, state) = (tree.root.clone(), state.to_owned());
        let changed = on_files(move || plain::changed_here(&root, &state)).await?;
        let files = changed.into_iter().map(|(_, path)| path).collect();
        return Ok(Changed { commits: 0, files });
    }
    let record = Record::of(state, &tree.root)?;
    let scratch = Scratch::new(state)?;
    let side = side_of_tree(tree, state, &scratch).await?;
    let git = private_git(&side.repository, state);
    let files = differing(&git, record.offer.tree.as_str(), &side.snapshot.tree).await?;
    let sent = record.offer.head.map(String::from);
    let before = Repository { head: sent, ..side.repository.clone() };
    let commits = count_new(&before, side.repository.head.as_deref()).await?;
    Ok(Changed { commits, files })
}
