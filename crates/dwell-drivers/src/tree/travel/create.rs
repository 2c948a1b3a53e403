//! Making an environment's tree from what another node sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dwell_core::EnvironmentName;

use super::error::TravelError;
use super::grow::{clear, go_on, grown, plant};
use super::record::{Lock, Record};
use super::store::{Arrived, OWN, Store};
use super::wire::{Offer, Own};
use crate::git::{Git, ObjectName, Repository};
use crate::tree::create::{absolute, growing_place};
use crate::tree::integrate::{empty_tree, restage};
use crate::tree::notes::Notes;
use crate::tree::worktree::{choose_branch, discard, settle};
use crate::tree::{Tree, TreeError, TreeKind, base, private_directory};

/// An order for a tree of sources that have come.
#[derive(Debug, Clone)]
pub struct CreateReceived<'a> {
    /// The project's repository on this node.
    pub store: &'a Store,
    /// What was received.
    pub offer: &'a Offer,
    /// Where the tree goes. Must not exist.
    pub tree: &'a Path,
    /// The environment's state directory.
    pub state: &'a Path,
    /// The environment, which names the branch.
    pub environment: &'a EnvironmentName,
}

/// Makes the tree: a worktree of the store with a branch of its own at the source's commit, and
/// the source's other work as uncommitted changes. It grows in a hidden sibling and appears under
/// its name when it is complete. The directory that it is in becomes the user's alone.
///
/// # Errors
/// When something is there already, when what is offered was not received, or when git or the
/// file system fails; nothing is left behind then.
pub async fn create(order: CreateReceived<'_>) -> Result<Tree, TravelError> {
    if fs::symlink_metadata(order.tree).is_ok() {
        return Err(TreeError::Exists { path: order.tree.to_owned() }.into());
    }
    let tree = absolute(order.tree)?;
    if let Some(parent) = tree.parent() {
        let only_ours = fs::Permissions::from_mode(0o700);
        fs::set_permissions(parent, only_ours).map_err(|e| TravelError::io(parent, e))?;
    }
    private_directory(order.state)?;
    let _lock = Lock::take(order.state).await?;
    let order = CreateReceived { tree: &tree, ..order };
    let arrived = order.store.arrived(order.environment, order.offer).await?;
    let own = own(&order).await?;
    let mut notes = Notes::default();
    let git = order.store.git();
    let head = match own {
        Some(own) => own.head.as_ref().map(ObjectName::as_str),
        None => arrived.head.as_deref(),
    };
    let branch = choose_branch(&git, order.environment, head, &mut notes).await?;
    if let Err(error) = fill(&order, &arrived, &branch).await {
        discard(&git, &growing_place(&tree), &tree, &branch, head).await;
        let _ = clear(order.store, &tree).await;
        return Err(error);
    }
    if let Some(left) = growing_place(&tree).parent() {
        let _ = fs::remove_dir_all(left);
    }
    Ok(Tree {
        kind: TreeKind::Worktree,
        source: order.store.path().to_owned(),
        root: tree.clone(),
        project_dir: order.offer.directory.below(&tree),
        branch: Some(branch),
        base_commit: arrived.head,
        notes: notes.into_vec(),
    })
}

/// What the environment made of its source, which has to be what came.
async fn own<'a>(order: &CreateReceived<'a>) -> Result<Option<&'a Own>, TravelError> {
    let Some(own) = &order.offer.own else { return Ok(None) };
    let came = order.store.commit_of(order.environment, OWN).await?;
    if came.as_deref() == Some(own.content.as_str()) {
        return Ok(Some(own));
    }
    Err(TravelError::NotReceived { commit: own.content.to_string() })
}

async fn fill(
    order: &CreateReceived<'_>,
    arrived: &Arrived,
    branch: &str,
) -> Result<(), TravelError> {
    let (store, snapshot) = (order.store, arrived.snapshot.as_str());
    match grown(order.tree).await {
        Some(before) => {
            // What grew from an earlier transfer may be from anywhere.
            if go_on(order.tree, &before, snapshot).await.is_err() {
                plant(store, order.tree, snapshot).await?;
            }
        }
        None => plant(store, order.tree, snapshot).await?,
    }
    let place = growing_place(order.tree);
    let git = Git::at(&place);
    let (head, tree) = match &order.offer.own {
        Some(own) => {
            go_on(order.tree, snapshot, own.content.as_str()).await?;
            (own.head.as_ref().map(ObjectName::as_str), own.tree.as_str())
        }
        None => (arrived.head.as_deref(), arrived.tree.as_str()),
    };
    begin_branch(&git, branch, head, tree).await?;
    let project = order.offer.directory.below(&place);
    fs::create_dir_all(&project).map_err(|error| TravelError::io(&project, error))?;
    let made = worktree(store, &place).await?;
    base::write(&made, order.state, &arrived.tree).await?;
    settle(&store.git(), &place, order.tree).await?;
    store.set(order.environment, &[("base", snapshot)]).await?;
    let environment = order.environment.clone();
    // What it made of its source is its own from here on.
    let offer = Offer { own: None, ..order.offer.clone() };
    Record { environment, offer, taken: None }.write(order.state)
}

/// Puts a worktree whose files are those of the tree object on its branch: index and `HEAD` are
/// those of the commit, the files stay as they are.
pub(crate) async fn begin_branch(
    git: &Git,
    branch: &str,
    head: Option<&str>,
    tree: &str,
) -> Result<(), TravelError> {
    let reference = format!("refs/heads/{branch}");
    let begin = match head {
        Some(head) => {
            git.run(["update-ref", "-m", "dwell: received", &reference, head]).await?;
            head.to_owned()
        }
        None => empty_tree(git).await?,
    };
    git.run(["symbolic-ref", "-m", "dwell: received", "HEAD", &reference]).await?;
    restage(git, tree, &begin).await?;
    Ok(())
}

/// A worktree of the store as a repository.
pub(crate) async fn worktree(store: &Store, root: &Path) -> Result<Repository, TravelError> {
    let git = Git::at(root);
    let git_dir: PathBuf = git.path(["rev-parse", "--absolute-git-dir"]).await?;
    Ok(Repository {
        root: root.to_owned(),
        git_dir,
        head: git.head().await?,
        bare: false,
        ..store.repository.clone()
    })
}
