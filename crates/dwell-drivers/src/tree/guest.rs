//! What of a tree and its repository a container sees, so that git works in it and nothing that is
//! written there makes git outside run a command: what tells git where a repository is, its
//! configuration and its hooks can only be read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::docker::Directory;
use crate::git::{Discovered, Git, Repository};
use crate::process::ProcessError;

/// Why it could not be said.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// git failed.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// A directory of the repository could not be made.
    #[error("`{}` could not be made: {source}", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The directories that a container is to see of a tree, each in the place that it has here.
pub async fn guest(root: &Path) -> Result<Vec<Directory>, GuestError> {
    let mut seen = vec![writable(root)];
    let Discovered::Repository(repository) = Repository::discover(root).await? else {
        return Ok(seen);
    };
    let (own, common) = (&repository.git_dir, &repository.common_dir);
    // It must not be exchanged for one that leads elsewhere.
    let pointer = repository.root.join(".git");
    if own == common {
        let hooks = made(common.join("hooks"))?;
        seen.push(writable(common));
        seen.extend(there([common.join("config"), hooks]));
    } else {
        seen.push(Directory { writable: false, ..writable(common) });
        for part in ["objects", "refs", "logs"] {
            seen.push(writable(&made(common.join(part))?));
        }
        seen.push(writable(own));
        seen.extend(there([own.join("commondir"), own.join("gitdir"), pointer]));
    }
    if keeps_own_configuration(&repository.root).await? {
        let file = own.join("config.worktree");
        let opened = fs::OpenOptions::new().create(true).append(true).open(&file);
        opened.map_err(|source| GuestError::Make { path: file.clone(), source })?;
        seen.extend(there([file]));
    }
    Ok(seen)
}

/// Whether each work tree of the repository has a configuration of its own besides.
async fn keeps_own_configuration(root: &Path) -> Result<bool, ProcessError> {
    let asked = ["config", "--type=bool", "--default=false", "extensions.worktreeConfig"];
    Ok(Git::at(root).line(asked).await? == "true")
}

fn writable(place: &Path) -> Directory {
    Directory { source: place.to_owned(), target: place.to_owned(), writable: true }
}

/// Those that are there, to be read only.
fn there<const N: usize>(places: [PathBuf; N]) -> impl Iterator<Item = Directory> {
    let there = places.into_iter().filter(|place| place.exists());
    there.map(|place| Directory { writable: false, ..writable(&place) })
}

fn made(place: PathBuf) -> Result<PathBuf, GuestError> {
    match fs::create_dir(&place) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(GuestError::Make { path: place, source })
        }
        _ => Ok(place),
    }
}
