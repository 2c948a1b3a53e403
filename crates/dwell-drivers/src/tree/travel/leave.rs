//! A whole tree leaves its node: what it was made from, and on top of that its own commits and
//! uncommitted work. Where it arrives it is to its source what it was before.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::error::TravelError;
use super::record::{Lock, Record, source_head};
use super::secret::Secrets;
use super::source::{Offered, Source, object};
use super::wire::{Head, LONGEST_LINE, Offer, Own, VERSION};
use crate::git::{Discovered, Git, ObjectFormat, Repository};
use crate::tree::merge::side_of_tree;
use crate::tree::{Scratch, Tree, TreeError, TreeKind, base};

impl Source {
    /// A worktree, ready to be sent with all that is its own; `state` is its environment's.
    ///
    /// # Errors
    /// When it is no worktree, when git is in the middle of something there, or fails.
    pub async fn leaving(tree: &Tree, state: &Path) -> Result<(Self, Offered), TravelError> {
        if tree.kind != TreeKind::Worktree {
            return Err(TravelError::NoRepository { path: tree.root.clone() });
        }
        let _lock = Lock::take(state).await?;
        let scratch = Scratch::new(state)?;
        let side = side_of_tree(tree, state, &scratch).await?;
        let source = Self {
            repository: side.repository.clone(),
            state: state.to_owned(),
            project: tree.project_dir.clone(),
            exclude: Vec::new(),
        };
        let git = source.private_git();
        let before = git.line(["rev-parse", &format!("{}^{{tree}}", base::read(state)?)]).await?;
        let origin = origin(tree, state, &side.repository, &git).await?;
        let from = Repository { head: origin, ..side.repository.clone() };
        let mut offer = source.describe(&from, &before).await?;
        let head = side.repository.head.as_deref();
        offer.tags = source.tags(head).await?;
        offer.own = Some(Own {
            head: head.map(object).transpose()?,
            content: object(&source.snapshot(head, &side.snapshot.tree).await?)?,
            tree: object(&side.snapshot.tree)?,
        });
        Ok((source, Offered { offer, notes: Vec::new(), secrets: Secrets::default() }))
    }
}

/// The source's commit that the tree's history left last.
async fn origin(
    tree: &Tree,
    state: &Path,
    repository: &Repository,
    git: &Git,
) -> Result<Option<String>, TravelError> {
    if let Some(record) = Record::read(state)? {
        return Ok(record.offer.head.map(String::from));
    }
    let theirs = source_head(tree, state).await?;
    if let (Some(ours), Some(theirs)) = (&repository.head, theirs) {
        let fork =
            git.program(["merge-base", ours, &theirs]).finish().await.map_err(TreeError::from)?;
        if fork.ok() {
            return Ok(Some(fork.text()));
        }
    }
    Ok(tree.base_commit.clone())
}

/// How a tree's repository names its objects.
///
/// # Errors
/// When the tree is in no repository, or git fails.
pub async fn format_of(tree: &Tree) -> Result<ObjectFormat, TravelError> {
    match Repository::discover(&tree.root).await? {
        Discovered::Repository(repository) if repository.hash_length == 32 => {
            Ok(ObjectFormat::Sha256)
        }
        Discovered::Repository(_) => Ok(ObjectFormat::Sha1),
        _ => Err(TravelError::NoRepository { path: tree.root.clone() }),
    }
}

/// Passes a transfer on to a third node, byte by byte, and gives what it offers.
///
/// # Errors
/// When either stream fails, or what comes is no transfer.
pub async fn pass<R, W>(from: R, to: &mut W) -> Result<Offer, TravelError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut from = BufReader::with_capacity(256 * 1024, from);
    let mut line = Vec::new();
    (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line).await.map_err(TravelError::Cut)?;
    let head: Head<Offer> = serde_json::from_slice(&line).map_err(|e| TravelError::wire(&e))?;
    if head.version != VERSION {
        return Err(TravelError::Version { theirs: head.version, ours: VERSION });
    }
    to.write_all(&line).await.map_err(TravelError::Cut)?;
    tokio::io::copy_buf(&mut from, to).await.map_err(TravelError::Cut)?;
    to.flush().await.map_err(TravelError::Cut)?;
    Ok(head.what)
}
