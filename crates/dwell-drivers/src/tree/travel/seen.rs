//! What was seen of a source at the last offer, so that an unchanged one is known without git
//! reading its files: the index of the snapshot holds a stamp of every file, git lists the
//! untracked ones again, and all that steers either is compared by stamp.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::error::TravelError;
use super::secret::Secrets;
use super::source::{Offered, Source};
use super::stamp_of;
use super::wire::Offer;
use crate::git::index::{self, Entry, Index, Stamp};
use crate::tree::copy::{in_parallel, stamp};
use crate::tree::snapshot::UNTRACKED;
use crate::tree::{memory, on_files};

/// What steers an offer, besides the files themselves.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The commit that is checked out and all tags, as a hash.
    refs: String,
    /// Git's index, its settings and the rules of what is ignored or not sent.
    steering: Vec<Option<Stamp>>,
    exclude: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    seen: Seen,
    /// The untracked files, as a hash.
    others: String,
    /// The kept index.
    index: Option<Stamp>,
    offer: Offer,
    notes: Vec<String>,
    secrets: Secrets,
}

fn index_file(state: &Path) -> PathBuf {
    memory(state).join("seen-index")
}

fn record_file(state: &Path) -> PathBuf {
    memory(state).join("seen.json")
}

impl Seen {
    /// Looks at what steers an offer, before it is made: what changes meanwhile is noticed later.
    pub(crate) async fn begin(source: &Source) -> Result<Self, TravelError> {
        let repository = &source.repository;
        let listed = source.git().program(["show-ref", "--head", "--tags"]).finish().await?.stdout;
        let steering = [
            repository.git_dir.join("index"),
            repository.git_dir.join("config.worktree"),
            repository.common_dir.join("config"),
            repository.common_dir.join("info/exclude"),
            repository.common_dir.join("info/attributes"),
            repository.common_dir.join("shallow"),
            source.ignore_file(),
        ];
        Ok(Self {
            refs: hash(&listed),
            steering: steering.iter().map(|path| stamp_of(path)).collect(),
            exclude: source.exclude().to_vec(),
        })
    }

    /// Keeps what was seen. The index moves to its place.
    pub(crate) fn keep(
        self,
        source: &Source,
        index: &Path,
        others: &[u8],
        offered: &Offered,
    ) -> Result<(), TravelError> {
        let kept = index_file(&source.state);
        fs::rename(index, &kept).map_err(|e| TravelError::io(&kept, e))?;
        let record = Record {
            seen: self,
            others: hash(others),
            index: stamp_of(&kept),
            offer: offered.offer.clone(),
            notes: offered.notes.clone(),
            secrets: offered.secrets.clone(),
        };
        let text = serde_json::to_vec(&record).map_err(|error| TravelError::wire(&error))?;
        let file = record_file(&source.state);
        let new = file.with_extension("new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &file));
        written.map_err(|e| TravelError::io(&file, e))
    }
}

/// The last offer, where the source is still the same.
pub(crate) async fn recall(source: &Source) -> Result<Option<Offered>, TravelError> {
    let text = fs::read(record_file(&source.state)).unwrap_or_default();
    let Ok(record) = serde_json::from_slice::<Record>(&text) else { return Ok(None) };
    let (root, state) = (source.repository.root.clone(), source.state.clone());
    let (length, kept) = (source.repository.hash_length, record.index);
    let git = source.git();
    let (seen, others, files) = tokio::try_join!(
        Seen::begin(source),
        async { Ok(git.run(UNTRACKED).await?.stdout) },
        async { Ok(on_files(move || Ok(files_unchanged(&root, &state, length, kept))).await?) },
    )?;
    let same = files
        && seen == record.seen
        && hash(&others) == record.others
        && kept
            .is_some_and(|kept| seen.steering.iter().flatten().all(|s| s.modified < kept.modified));
    Ok(same.then_some(Offered {
        offer: record.offer,
        notes: record.notes,
        secrets: record.secrets,
    }))
}

/// Whether every file still has the stamp that the kept index has for it.
fn files_unchanged(root: &Path, state: &Path, hash_length: usize, kept: Option<Stamp>) -> bool {
    let file = index_file(state);
    if kept.is_none() || stamp_of(&file) != kept {
        return false;
    }
    let Some(Ok(index)) = fs::read(&file).ok().map(|bytes| Index::parse(bytes, hash_length)) else {
        return false;
    };
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(root, flags, Mode::empty()) else { return false };
    let since = kept.unwrap_or_default().modified;
    let look = |entry: &Entry| {
        let path = Path::new(std::ffi::OsStr::from_bytes(&entry.path));
        let at = |path: &Path| rustix::fs::statat(&root, path, AtFlags::SYMLINK_NOFOLLOW);
        if entry.mode == index::SUBMODULE {
            // Which commit a submodule is at, git has to say; without a repository it is at none.
            return if at(&path.join(".git")).is_err() { Ok(()) } else { Err(()) };
        }
        let now = stamp(&at(path).map_err(|_| ())?);
        let recorded = Stamp { device: now.device, ..index.stamp(entry) };
        if now == recorded && now.modified < since { Ok(()) } else { Err(()) }
    };
    in_parallel(index.entries(), look).is_ok()
}

/// The sizes of the files of the last offer, in git's order; empty where they are not known.
pub(crate) fn sizes(source: &Source) -> Vec<u64> {
    let bytes = fs::read(index_file(&source.state)).unwrap_or_default();
    let Ok(index) = Index::parse(bytes, source.repository.hash_length) else { return Vec::new() };
    index.entries().iter().map(|entry| u64::from(index.stamp(entry).size)).collect()
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
