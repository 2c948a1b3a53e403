//! Files besides what git keeps, on their way. The receiving side never follows a link, never
//! leaves the tree, and changes all files or none.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dwell_core::tree::TreePath;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::beneath::{Fresh, Root};
use super::error::TravelError;
use super::extra::{Extra, ExtraFile, as_path, exactly, hash_of};
use super::record::Lock;
use super::secret::looks_secret;
use super::wire::{Head, Incoming, Outgoing, VERSION};
use crate::git::stream::{Give, Take};
use crate::git::{Discovered, Repository};
use crate::tree::{TreeError, memory, private_directory, render};

/// The place of extra files in an environment.
#[derive(Debug, Clone, Copy)]
pub struct ExtraPlace<'a> {
    /// The tree's root.
    pub root: &'a Path,
    /// The project's directory in it, where files are rendered.
    pub project: &'a Path,
    /// The environment's state directory.
    pub state: &'a Path,
}

/// What became of extra files, by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedExtra {
    /// Written.
    pub written: Vec<TreePath>,
    /// Removed: an earlier transfer brought them, and the source has them no longer.
    pub removed: Vec<TreePath>,
    /// What a person should know.
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    all: Extra,
    sent: Vec<TreePath>,
}

/// What an earlier transfer brought: the hash and mode of each file.
type Brought = BTreeMap<TreePath, (String, u32)>;

fn file_of(state: &Path) -> PathBuf {
    memory(state).join("extra.json")
}

fn brought(state: &Path) -> Result<Brought, TreeError> {
    let path = file_of(state);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|_| TreeError::Memory { path, why: "it is damaged" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Brought::new()),
        Err(error) => Err(TreeError::io(&path, error)),
    }
}

/// The paths that earlier transfers brought besides what git keeps.
pub(crate) fn brought_paths(state: &Path) -> Result<Vec<PathBuf>, TreeError> {
    Ok(brought(state)?.keys().map(|path| as_path(path).to_owned()).collect())
}

/// Whether earlier transfers brought files.
///
/// # Errors
/// When the record of them cannot be read.
pub fn has_extra(state: &Path) -> Result<bool, TravelError> {
    Ok(!brought(state)?.is_empty())
}

/// The hash of the file at a path; `None` where there is no plain file.
fn now(root: &Root, path: &TreePath) -> Option<String> {
    let mut file = root.spot(as_path(path), false).and_then(|spot| spot.read()).ok()?;
    hash_of(&mut file).ok().map(|(_, hash)| hash)
}

/// The files that the source has changed since the last transfer.
///
/// # Errors
/// When the record of earlier transfers cannot be read.
pub fn missing_extra(place: ExtraPlace<'_>, extra: &Extra) -> Result<Vec<TreePath>, TravelError> {
    let before = brought(place.state)?;
    let known = |file: &&ExtraFile| {
        let known = before.get(&file.path);
        !known.is_some_and(|(hash, mode)| *hash == file.hash && *mode == file.mode)
    };
    Ok(extra.files.iter().filter(known).map(|file| file.path.clone()).collect())
}

/// Sends those of the files that are missing.
///
/// # Errors
/// [`TravelError::Changed`] when a file is no longer what was chosen, [`TravelError::Cut`] when
/// the stream fails.
pub async fn send_extra<W: AsyncWrite + Unpin + Send>(
    root: &Path,
    extra: &Extra,
    missing: &[TreePath],
    to: &mut W,
) -> Result<u64, TravelError> {
    let from = Root::open(root).map_err(|e| TravelError::io(root, e))?;
    let sent: Vec<&ExtraFile> =
        extra.files.iter().filter(|file| missing.contains(&file.path)).collect();
    let what =
        Carried { all: extra.clone(), sent: sent.iter().map(|file| file.path.clone()).collect() };
    let mut outgoing = Outgoing(to);
    outgoing.line(&Head { version: VERSION, what }).await.map_err(TravelError::Cut)?;
    let mut total = 0;
    for file in sent {
        let full = || root.join(as_path(&file.path));
        let source = from.spot(as_path(&file.path), false).and_then(|spot| spot.read());
        let source = source.map_err(|_| TravelError::Changed { path: full() })?;
        let mut source = tokio::fs::File::from_std(source);
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let length = source.read(&mut buffer).await.map_err(|e| TravelError::io(&full(), e))?;
            if length == 0 {
                break;
            }
            let part = buffer.get(..length).unwrap_or_default();
            hasher.update(part);
            total += length as u64;
            outgoing.take(part).await.map_err(TravelError::Cut)?;
        }
        if hasher.finalize().to_hex().as_str() != file.hash {
            return Err(TravelError::Changed { path: full() });
        }
        outgoing.end().await.map_err(TravelError::Cut)?;
    }
    outgoing.0.flush().await.map_err(TravelError::Cut)?;
    Ok(total)
}

/// Whether [`receive_extra`] would replace files that the environment changed; reads only the head
/// of what [`send_extra`] sends and changes nothing.
///
/// # Errors
/// As [`receive_extra`] without `force`.
pub async fn check_extra<R: AsyncRead + Unpin + Send>(
    place: ExtraPlace<'_>,
    from: R,
) -> Result<(), TravelError> {
    let carried: Carried = Incoming::new(from).head().await?;
    let root = Root::open(place.root).map_err(|e| TravelError::io(place.root, e))?;
    let sent = carried.all.files.iter().filter(|file| carried.sent.contains(&file.path));
    refuse_changed(&root, place, &brought(place.state)?, sent)
}

/// Receives what [`send_extra`] sends. A file that the environment changed since is not replaced:
/// nothing is changed then, and [`TreeError::Conflicts`] names the files, unless `force` is given.
/// Files that an earlier transfer brought and that the source has no longer are removed where
/// nobody changed them. Files that look secret are for the user alone. The paths become ignored in
/// the environment's repository, so that they are not taken for its work. Rendered files return to
/// their unrendered text; the caller renders again.
///
/// # Errors
/// As said, and when the stream or the file system fails.
pub async fn receive_extra<R: AsyncRead + Unpin + Send>(
    place: ExtraPlace<'_>,
    force: bool,
    from: R,
) -> Result<ReceivedExtra, TravelError> {
    let _lock = Lock::take(place.state).await?;
    let mut incoming = Incoming::new(from);
    let carried: Carried = incoming.head().await?;
    let root = Root::open(place.root).map_err(|e| TravelError::io(place.root, e))?;
    let mut fresh = Vec::new();
    for path in &carried.sent {
        let file = carried.all.files.iter().find(|file| file.path == *path);
        let file = file.ok_or_else(|| TravelError::wire(&"a file that is not listed"))?;
        let at = place.root.join(as_path(path));
        let new = root.spot(as_path(path), true).and_then(super::beneath::Spot::begin);
        let mut new = new.map_err(|error| TravelError::io(&at, error))?;
        write(&mut incoming, file, &mut new, &at).await?;
        fresh.push((file, new));
    }
    let before = brought(place.state)?;
    if !force {
        refuse_changed(&root, place, &before, fresh.iter().map(|(file, _)| *file))?;
    }
    render::forget(&render::restore(place.state, place.project)?);
    let mut report = ReceivedExtra::default();
    let mut after = before.clone();
    for (file, new) in fresh {
        let secret = file.secret || looks_secret(as_path(&file.path));
        let mode = if secret { 0o600 } else { file.mode };
        let at = place.root.join(as_path(&file.path));
        new.place(mode).map_err(|error| TravelError::io(&at, error))?;
        after.insert(file.path.clone(), (file.hash.clone(), file.mode));
        report.written.push(file.path.clone());
    }
    remove_gone(&root, place, &carried.all, &mut after, &mut report)?;
    hide(place.root, &report.written).await?;
    remember(place.state, &after)?;
    Ok(report)
}

/// Writes one file under its temporary name and checks that it is what was listed.
async fn write<R: AsyncRead + Unpin + Send>(
    incoming: &mut Incoming<R>,
    file: &ExtraFile,
    new: &mut Fresh,
    at: &Path,
) -> Result<(), TravelError> {
    incoming.begin();
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0_u64;
    loop {
        let length = incoming.give(&mut buffer).await.map_err(TravelError::Cut)?;
        if length == 0 {
            break;
        }
        size += length as u64;
        if size > file.size {
            break;
        }
        let part = buffer.get(..length).unwrap_or_default();
        hasher.update(part);
        new.file.write_all(part).map_err(|error| TravelError::io(at, error))?;
    }
    if size != file.size || hasher.finalize().to_hex().as_str() != file.hash {
        let why = format!("{} is not what was listed", file.path);
        return Err(TravelError::Rejected { why });
    }
    Ok(())
}

/// Refuses to replace files that are neither what was brought before nor what comes now. What dwell
/// itself rendered is nobody's change.
fn refuse_changed<'a>(
    root: &Root,
    place: ExtraPlace<'_>,
    before: &Brought,
    sent: impl Iterator<Item = &'a ExtraFile>,
) -> Result<(), TravelError> {
    let rendered = render::rendered_now(place.state, place.project)?;
    let rendered: HashSet<PathBuf> =
        rendered.into_iter().map(|(path, _)| place.project.join(path)).collect();
    let mut paths = Vec::new();
    for file in sent.filter(|file| !rendered.contains(&place.root.join(as_path(&file.path)))) {
        let there = match root.spot(as_path(&file.path), false) {
            Ok(spot) => spot.stat().map_or(true, |stat| stat.is_some()),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        let hash = now(root, &file.path);
        let known = before.get(&file.path).map(|(hash, _)| hash);
        let changed = match &hash {
            Some(hash) => Some(hash) != known && *hash != file.hash,
            // Something that is no plain file, or a file that was removed here.
            None => there || known.is_some(),
        };
        if changed {
            paths.push(as_path(&file.path).to_owned());
        }
    }
    if paths.is_empty() { Ok(()) } else { Err(TreeError::Conflicts { paths }.into()) }
}

/// Removes what earlier transfers brought and the source has no longer.
fn remove_gone(
    root: &Root,
    place: ExtraPlace<'_>,
    all: &Extra,
    after: &mut Brought,
    report: &mut ReceivedExtra,
) -> Result<(), TravelError> {
    let listed = |path: &TreePath| all.files.iter().any(|file| file.path == *path);
    let gone: Vec<TreePath> = after.keys().filter(|path| !listed(path)).cloned().collect();
    for path in gone {
        let known = after.remove(&path).map(|(hash, _)| hash);
        let hash = now(root, &path);
        if hash.is_some() && hash == known {
            let at = place.root.join(as_path(&path));
            let spot = root.spot(as_path(&path), false);
            let removed = spot.and_then(|spot| spot.remove());
            removed.map_err(|error| TravelError::io(&at, error))?;
            report.removed.push(path);
        } else if hash.is_some() {
            let note =
                format!("{path} was changed here and stays, though the source has it no longer");
            report.notes.push(note);
        }
    }
    Ok(())
}

/// Makes paths ignored in the tree's repository, where it has one.
async fn hide(root: &Path, paths: &[TreePath]) -> Result<(), TravelError> {
    if paths.is_empty() {
        return Ok(());
    }
    let Discovered::Repository(repository) = Repository::discover(root).await? else {
        return Ok(());
    };
    let file = repository.common_dir.join("info/exclude");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let mut new = String::new();
    if !text.is_empty() && !text.ends_with('\n') {
        new.push('\n');
    }
    let before = new.len();
    for path in paths {
        let line = exactly(path.as_str());
        if !lines.contains(&line.as_str()) {
            new.push_str(&line);
            new.push('\n');
        }
    }
    if new.len() == before {
        return Ok(());
    }
    let folder = repository.common_dir.join("info");
    private_directory(&folder)?;
    let opened = fs::OpenOptions::new().create(true).append(true).open(&file);
    let written = opened.and_then(|mut file| file.write_all(new.as_bytes()));
    written.map_err(|error| TravelError::io(&file, error))
}

fn remember(state: &Path, brought: &Brought) -> Result<(), TravelError> {
    let (path, new) = (file_of(state), memory(state).join("extra.new"));
    let text = serde_json::to_vec(brought).map_err(|error| TravelError::wire(&error))?;
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
    written.map_err(|error| TravelError::io(&path, error))
}
