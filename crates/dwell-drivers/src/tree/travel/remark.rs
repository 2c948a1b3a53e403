//! What a person should know about a source that is sent: what stays behind.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::TravelError;
use super::secret::{Secrets, looks_secret};
use super::source::Source;
use crate::git::index::{self, Index};
use crate::git::split_paths;
use crate::tree::notes::Notes;
use crate::tree::snapshot::Snapshot;

/// Looks for what a snapshot does not hold, and for what looks secret; `bad` are lines of rules that are not understood.
pub(crate) async fn remarks(
    source: &Source,
    snapshot: &Snapshot,
    others: &[u8],
    bad: Vec<String>,
) -> Result<(Vec<String>, Secrets), TravelError> {
    let mut secrets = Secrets::default();
    let mut notes = Notes::default();
    let repository = &source.repository;
    if let Some(what) = repository.busy_with() {
        notes.add(format!("the source is in the middle of {what}; its files are sent as they are"));
    }
    for line in bad {
        notes.add(format!("the rule `{line}` of what is not sent is not understood"));
    }
    for path in split_paths(others).iter().filter(|p| p.as_os_str().as_bytes().ends_with(b"/")) {
        let path = path.display();
        notes.add(format!("{path} is a repository of its own and is not sent"));
    }
    let secret = split_paths(others).into_iter().filter(|path| looks_secret(path));
    secrets.left_out.extend(secret.map(|path| path.display().to_string()));
    let bytes = fs::read(&snapshot.index).unwrap_or_default();
    // An index that is not understood says nothing here; git itself can use it.
    if let Ok(index) = Index::parse(bytes, repository.hash_length) {
        for path in submodules(&index) {
            notes.add(format!(
                "submodule {} is not sent, only which commit it is at",
                path.display()
            ));
        }
        let paths = index.entries().iter().map(|entry| Path::new(OsStr::from_bytes(&entry.path)));
        let secret = paths.filter(|path| looks_secret(path));
        secrets.sent.extend(secret.map(|path| path.display().to_string()));
        if attributes_name_lfs(&repository.root, &index) {
            note_pointers(source, snapshot, &mut notes).await?;
        }
    }
    Ok((notes.into_vec(), secrets))
}

fn submodules(index: &Index) -> impl Iterator<Item = PathBuf> {
    let entries = index.entries().iter().filter(|entry| entry.mode == index::SUBMODULE);
    entries.flat_map(|entry| split_paths(&entry.path))
}

/// Whether one of the files of attributes mentions Git LFS.
fn attributes_name_lfs(root: &Path, index: &Index) -> bool {
    let names = index.entries().iter().filter(|entry| {
        entry.path == b".gitattributes" || entry.path.ends_with(b"/.gitattributes")
    });
    let mut texts = names
        .flat_map(|entry| split_paths(&entry.path))
        .map(|path| fs::read(root.join(path)).unwrap_or_default());
    texts.any(|text| text.windows(10).any(|part| part == b"filter=lfs"))
}

async fn note_pointers(
    source: &Source,
    snapshot: &Snapshot,
    notes: &mut Notes,
) -> Result<(), TravelError> {
    let git = source.private_git().index(&snapshot.index);
    for path in git.paths(["ls-files", "-z", "--", ":(attr:filter=lfs)"]).await? {
        let path = path.display();
        notes.add(format!("{path} is kept by Git LFS; its pointer is sent, not its content"));
    }
    Ok(())
}
