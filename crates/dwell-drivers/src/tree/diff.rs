//! What an environment changed, uncommitted and untracked work included. Nothing is written to
//! either repository.

use std::path::Path;

use super::integrate::empty_tree;
use super::snapshot::{Snapshot, private_git};
use super::travel::record::source_head;
use super::{Scratch, Tree, TreeError, TreeKind, directory};
use crate::git::{Discovered, Git, Repository};

/// How to show it.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiffOptions {
    /// A summary per file instead of the lines.
    pub stat: bool,
    /// Only the files' names.
    pub name_only: bool,
    /// With colours for a terminal.
    pub color: bool,
}

impl DiffOptions {
    /// The arguments for git.
    pub(crate) fn arguments(self) -> Vec<&'static str> {
        let mut arguments = vec!["--no-ext-diff"];
        arguments.push(if self.color { "--color=always" } else { "--color=never" });
        if self.stat {
            arguments.push("--stat");
        }
        if self.name_only {
            arguments.push("--name-only");
        }
        arguments
    }
}

/// The environment's changes since it left the source's history, as a unified diff or summary.
/// Bytes, since files need not be text; empty without a difference.
pub async fn diff(tree: &Tree, state: &Path, options: DiffOptions) -> Result<Vec<u8>, TreeError> {
    if tree.kind == TreeKind::Copy {
        return directory::diff(tree, state, options).await;
    }
    let repository = match Repository::discover(&tree.root).await? {
        Discovered::Repository(repository) => *repository,
        Discovered::Refused(advice) => {
            return Err(TreeError::Refused { path: tree.root.clone(), advice });
        }
        Discovered::None if tree.kind == TreeKind::InPlace => return Ok(Vec::new()),
        Discovered::None => return Err(TreeError::NoTree { path: tree.root.clone() }),
    };
    let scratch = Scratch::new(state)?;
    let project = &tree.project_dir;
    let now = Snapshot::take_unrendered(&repository, state, project, &scratch).await?;
    let git = private_git(&repository, state);
    let since = since(tree, state, &repository, &git).await?;
    let mut arguments = vec!["diff-tree", "-p"];
    if options.stat || options.name_only {
        arguments.pop();
        arguments.push("-r");
    }
    arguments.push("-M");
    arguments.extend(options.arguments());
    Ok(git.run(arguments.into_iter().chain([since.as_str(), &now.tree])).await?.stdout)
}

/// Where the environment's history left the source's.
async fn since(
    tree: &Tree,
    state: &Path,
    repository: &Repository,
    git: &Git,
) -> Result<String, TreeError> {
    let Some(head) = &repository.head else { return empty_tree(git).await };
    if let Some(theirs) = source_head(tree, state).await? {
        let fork = git.program(["merge-base", head, &theirs]).finish().await?;
        if fork.ok() {
            return Ok(fork.text());
        }
    }
    match &tree.base_commit {
        Some(base) => Ok(base.clone()),
        None => empty_tree(git).await,
    }
}
