//! A whole tree arrives where its source is: it becomes a worktree of the source's own repository,
//! as one that was made there.

use std::fs;
use std::path::Path;

use dwell_core::EnvironmentName;
use tokio::io::AsyncRead;

use super::create::begin_branch;
use super::error::TravelError;
use super::give::MARK;
use super::quarantine::{Quarantine, sweep};
use super::send::revisions;
use super::take::{branch_of, repository};
use super::wire::{Incoming, Offer, Own};
use crate::git::{Git, ObjectFormat, ObjectName, Repository};
use crate::tree::create::{absolute, growing_place};
use crate::tree::notes::Notes;
use crate::tree::snapshot::store;
use crate::tree::worktree::{
    branches_in_use, choose_branch, discard, settle as move_in, unregister,
};
use crate::tree::{Tree, TreeError, TreeKind, base, private_directory};

/// How files are written that come from another machine.
const CHECKOUT: [&str; 6] =
    ["-c", "checkout.workers=0", "-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"];

/// An order for a tree that comes home.
#[derive(Debug, Clone, Copy)]
pub struct Settle<'a> {
    /// The user's directory, in any of the repository's work trees.
    pub source: &'a Path,
    /// Where the tree goes. Must not exist.
    pub tree: &'a Path,
    /// The environment's state directory.
    pub state: &'a Path,
    /// The environment, which names the branch.
    pub environment: &'a EnvironmentName,
}

/// Receives what [`Source::leaving`](super::Source::leaving) sends and makes the tree of it. It
/// appears under its name when it is complete.
///
/// # Errors
/// When something is there already, when what came is damaged or another kind of transfer, or when
/// git, the stream or the file system fails; no tree is left behind then.
pub async fn settle<R: AsyncRead + Unpin + Send>(
    order: Settle<'_>,
    from: R,
) -> Result<Tree, TravelError> {
    if fs::symlink_metadata(order.tree).is_ok() {
        return Err(TreeError::Exists { path: order.tree.to_owned() }.into());
    }
    let tree = absolute(order.tree)?;
    private_directory(order.state)?;
    let repository = repository(order.source).await?;
    let (offer, own) = receive(&repository, from).await?;
    let git = Git::at(&repository.common_dir);
    keep(&git, order.state, &offer, &own).await?;
    let mut notes = Notes::default();
    let head = own.head.as_ref().map(|head| head.as_str());
    let branch = branch(&git, order.environment, head, &mut notes).await?;
    let growing = growing_place(&tree);
    if let Some(left) = growing.parent().filter(|left| left.exists()) {
        fs::remove_dir_all(left).map_err(|error| TravelError::io(left, error))?;
        unregister(&git, &tree).await;
    }
    let filled = fill(&order, &repository, (&offer, &own), &branch, &growing).await;
    let placed = match filled {
        Ok(()) => move_in(&git, &growing, &tree).await.map_err(TravelError::from),
        Err(error) => Err(error),
    };
    if let Err(error) = placed {
        discard(&git, &growing, &tree, &branch, head).await;
        return Err(error);
    }
    if let Some(left) = growing.parent() {
        let _ = fs::remove_dir_all(left);
    }
    Ok(Tree {
        kind: TreeKind::Worktree,
        source: repository.root.clone(),
        project_dir: offer.directory.below(&tree),
        root: tree,
        branch: Some(branch),
        base_commit: offer.head.map(String::from),
        notes: notes.into_vec(),
    })
}

/// Takes in the objects of a transfer.
async fn receive<R: AsyncRead + Unpin + Send>(
    repository: &Repository,
    from: R,
) -> Result<(Offer, Own), TravelError> {
    sweep(&repository.common_dir);
    let mut incoming = Incoming::new(from);
    let offer: Offer = incoming.head().await?;
    let has = if repository.hash_length == 32 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
    if has != offer.format {
        let path = repository.root.clone();
        return Err(TravelError::Format { path, has, sent: offer.format });
    }
    let own = offer.own.clone().ok_or_else(|| TravelError::wire(&"it is no whole tree"))?;
    loop {
        let part = incoming.part().await?;
        let quarantine = Quarantine::new(repository)?;
        quarantine.take(&mut incoming).await?;
        incoming.skip().await.map_err(TravelError::Cut)?;
        if part.last {
            let tips = [offer.snapshot.as_str(), own.content.as_str()];
            quarantine.check(&tips).await?;
            own.verify(&quarantine.git()).await?;
            quarantine.admit()?;
            return Ok((offer, own));
        }
        quarantine.check(&[part.commit.as_str()]).await?;
        quarantine.admit()?;
    }
}

/// Keeps what no branch will hold where the environment's other private objects are.
async fn keep(git: &Git, state: &Path, offer: &Offer, own: &Own) -> Result<(), TravelError> {
    let packs = store(state).join("pack");
    private_directory(&packs)?;
    let wanted = [offer.snapshot.clone(), own.content.clone()];
    let held: Vec<ObjectName> = own.head.iter().chain(&offer.head).cloned().collect();
    let pack = git.program(["pack-objects", "--revs", "-q"]).arg(packs.join("pack"));
    pack.input(revisions(&wanted, &held)).run().await.map_err(TreeError::from)?;
    Ok(())
}

/// The tree's branch: the one that work came back to before, else as for any new tree. A commit of
/// work that was not committed gives way, since the tree has that work.
async fn branch(
    git: &Git,
    environment: &EnvironmentName,
    head: Option<&str>,
    notes: &mut Notes,
) -> Result<String, TravelError> {
    let name = branch_of(git, environment).await?;
    let reference = format!("refs/heads/{name}");
    if let (Some(head), Some(old)) = (head, git.commit(&reference).await?)
        && !branches_in_use(git).await?.contains(&reference)
    {
        let message = git.line(["show", "--no-patch", "--format=%B", &old, "--"]).await;
        let message = message.map_err(TreeError::from)?;
        if message.lines().any(|line| line.starts_with(MARK))
            && let Some(below) = git.commit(&format!("{old}^")).await?
            && git.test(["merge-base", "--is-ancestor", &below, head]).await?
        {
            return Ok(name);
        }
    }
    Ok(choose_branch(git, environment, head, notes).await?)
}

async fn fill(
    order: &Settle<'_>,
    repository: &Repository,
    (offer, own): (&Offer, &Own),
    branch: &str,
    growing: &Path,
) -> Result<(), TravelError> {
    if let Some(parent) = growing.parent() {
        private_directory(parent)?;
    }
    let content = own.content.as_str();
    let add = ["worktree", "add", "--quiet", "--detach", "--no-checkout", "--"];
    let common = Git::at(&repository.common_dir);
    common.program(add).arg(growing).arg(content).run().await.map_err(TreeError::from)?;
    let git = Git::at(growing);
    let write = CHECKOUT.into_iter().chain(["read-tree", "-m", "-u", content]);
    git.run(write).await.map_err(TreeError::from)?;
    let head = own.head.as_ref().map(|head| head.as_str());
    begin_branch(&git, branch, head, own.tree.as_str()).await?;
    let project = offer.directory.below(growing);
    fs::create_dir_all(&project).map_err(|error| TravelError::io(&project, error))?;
    let git_dir = git.path(["rev-parse", "--absolute-git-dir"]).await.map_err(TreeError::from)?;
    let made = Repository { root: growing.to_owned(), git_dir, ..repository.clone() };
    base::write(&made, order.state, offer.tree.as_str()).await?;
    Ok(())
}
