//! Fills a fresh work tree with the files of another one: tracked files as they are now, files
//! that are neither tracked nor ignored, and the submodules that are present. The index is the
//! source's with the stamps of the copies, so staged work stays staged and nothing is read again.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use super::copy::{Copied, Roots, in_parallel, stamp};
use super::notes::Notes;
use super::walk::{self, Leave};
use super::{TreeError, independent, on_files};
use crate::git::index::{self, Entry, Index, Stamp};
use crate::git::{Discovered, Git, Repository};

type Pending<'a> = Pin<Box<dyn Future<Output = Result<Filled, TreeError>> + Send + 'a>>;

/// What filling a work tree gave.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// What a person should know.
    pub(crate) notes: Notes,
    /// The paths that may differ from the new index; `None` where that is not known.
    pub(crate) touched: Option<Vec<PathBuf>>,
    submodules: Vec<PathBuf>,
}

/// Copies the work tree of `source` to `target`, whose git directory is `git_dir`. `own` are
/// places of dwell's that are left out where they lie inside the source.
pub(crate) fn populate<'a>(
    source: &'a Repository,
    target: &'a Path,
    git_dir: &'a Path,
    own: &'a [PathBuf],
    notes: Notes,
) -> Pending<'a> {
    Box::pin(async move {
        let others = source.git();
        let others = others.paths(["ls-files", "-z", "--others", "--exclude-standard"]);
        let tracked = copy_tracked(source, target, git_dir, notes);
        let (others, mut filled) =
            tokio::try_join!(async { Ok::<_, TreeError>(others.await?) }, tracked)?;
        if let Some(touched) = &mut filled.touched {
            let files = others.iter().filter(|p| !p.as_os_str().as_bytes().ends_with(b"/"));
            touched.extend(files.cloned());
            touched.extend_from_slice(&filled.submodules);
        }
        let mut notes = std::mem::take(&mut filled.notes);
        let made = {
            let mut leave = Leave::default();
            for place in own {
                leave.place(place);
                if let Some(growing) = super::create::growing_place(place).parent() {
                    leave.place(growing);
                }
            }
            let (source, target) = (source.root.clone(), target.to_owned());
            let (again, made) = on_files(move || {
                let made = copy_others(&source, &target, &others, &leave, &mut notes)?;
                Ok((notes, made))
            })
            .await?;
            notes = again;
            made
        };
        for repository in made {
            independent::settle(&repository).await?;
        }
        for path in &filled.submodules {
            notes = submodule(source, target, path, own, notes).await?;
        }
        Ok(Filled { notes, ..filled })
    })
}

/// Makes a submodule usable: a repository of its own with the same commits and files.
async fn submodule(
    source: &Repository,
    target: &Path,
    path: &Path,
    own: &[PathBuf],
    mut notes: Notes,
) -> Result<Notes, TreeError> {
    let place = target.join(path);
    fs::create_dir_all(&place).map_err(|e| TreeError::io(&place, e))?;
    let from = source.root.join(path);
    if fs::symlink_metadata(from.join(".git")).is_err() {
        return Ok(notes);
    }
    let Discovered::Repository(inner) = Repository::discover(&from).await? else {
        notes.add(format!("submodule {} was left empty: git cannot read it", path.display()));
        return Ok(notes);
    };
    let git_dir = place.join(".git");
    let (root, copy, pointer) = (source.root.clone(), target.to_owned(), path.join(".git"));
    let notes = on_files(move || {
        independent::copy_repository(&root, &copy, &pointer, false, &mut notes)?;
        Ok(notes)
    })
    .await?;
    if !git_dir.exists() {
        return Ok(notes);
    }
    independent::settle(&git_dir).await?;
    Ok(populate(&inner, &place, &git_dir, own, notes).await?.notes)
}

/// Copies the tracked files and writes the index.
async fn copy_tracked(
    source: &Repository,
    target: &Path,
    git_dir: &Path,
    mut notes: Notes,
) -> Result<Filled, TreeError> {
    let file = source.git_dir.join("index");
    let (root, copy, length) = (source.root.clone(), target.to_owned(), source.hash_length);
    let written = git_dir.join("index");
    let place = written.clone();
    let done = on_files(move || {
        let Some((index, since)) = read_index(&file, length) else {
            return Ok((Filled { notes, ..Filled::default() }, false));
        };
        let copied = copy_entries(&root, &copy, index.entries(), &mut notes)?;
        let submodules = submodules_of(index.entries());
        let mut touched = None;
        if !index.conflicted() {
            let stamps = stamps(&index, &copied, since);
            touched = Some(unknown(&index, &stamps));
            fs::write(&place, index.restamped(&stamps)).map_err(|e| TreeError::io(&place, e))?;
        }
        Ok((Filled { notes, touched, submodules }, true))
    })
    .await?;
    let git = Git::at(target);
    match done {
        (filled, false) => copy_by_list(source, target, filled.notes).await,
        (filled, true) if filled.touched.is_some() => {
            git.run(["update-index", "--force-write-index"]).await?;
            Ok(filled)
        }
        (filled, true) => {
            reset_index(&git).await?;
            Ok(filled)
        }
    }
}

/// The way for an index that is split over several files or not understood: git lists the paths,
/// and the copy's index starts from the commit.
async fn copy_by_list(
    source: &Repository,
    target: &Path,
    mut notes: Notes,
) -> Result<Filled, TreeError> {
    let listed = source.git().run(["ls-files", "-z", "--cached", "--stage"]).await?.stdout;
    let entries: Vec<Entry> = listed.split(|b| *b == 0).filter_map(Entry::from_listing).collect();
    let submodules = submodules_of(&entries);
    let (root, copy) = (source.root.clone(), target.to_owned());
    let notes = on_files(move || {
        copy_entries(&root, &copy, &entries, &mut notes)?;
        Ok(notes)
    })
    .await?;
    reset_index(&Git::at(target)).await?;
    Ok(Filled { notes, touched: None, submodules })
}

async fn reset_index(git: &Git) -> Result<(), TreeError> {
    let from = if git.head().await?.is_some() { "HEAD" } else { "--empty" };
    git.run(["read-tree", from]).await?;
    Ok(())
}

/// The index and the time since which a file's stamp in it proves nothing.
fn read_index(file: &Path, hash_length: usize) -> Option<(Index, (u32, u32))> {
    let Ok(bytes) = fs::read(file) else {
        return None;
    };
    let since = stamp(&rustix::fs::stat(file).ok()?).modified;
    Index::parse(bytes, hash_length).ok().map(|index| (index, since))
}

fn path_of(entry: &Entry) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(&entry.path))
}

fn submodules_of(entries: &[Entry]) -> Vec<PathBuf> {
    entries.iter().filter(|entry| entry.mode == index::SUBMODULE).map(path_of).collect()
}

/// Copies what the index names; the result has one item per entry, in order.
fn copy_entries(
    source: &Path,
    target: &Path,
    entries: &[Entry],
    notes: &mut Notes,
) -> Result<Vec<Copied>, TreeError> {
    let roots = Roots::open(source, target, false)?;
    let mut known = HashSet::new();
    let mut jobs: Vec<Option<PathBuf>> = Vec::with_capacity(entries.len());
    let mut previous: &[u8] = &[];
    for entry in entries {
        let repeated = entry.path == previous;
        previous = &entry.path;
        let special = entry.mode == index::SUBMODULE || entry.mode == index::DIRECTORY;
        let path = path_of(entry);
        let there = !repeated && !special && walk::parents(&roots, &path, &mut known)?;
        jobs.push(there.then_some(path));
    }
    let copied = in_parallel(&jobs, |job| match job {
        Some(path) => roots.copy_file(path),
        None => Ok(Copied::Missing),
    })?;
    for (job, copied) in jobs.iter().zip(&copied) {
        if let Some(path) = job {
            walk::note_left(path, copied, notes);
        }
    }
    Ok(copied)
}

/// A copy is known to be clean where its source was: same stamp as in the index, older than the
/// index, unchanged while it was copied.
fn stamps(index: &Index, copied: &[Copied], since: (u32, u32)) -> Vec<Stamp> {
    let known = |(entry, copied): (&Entry, &Copied)| match copied {
        Copied::Done { source, copy, steady: true } => {
            let recorded = Stamp { device: source.device, ..index.stamp(entry) };
            (recorded == *source && source.modified < since).then_some(*copy)
        }
        _ => None,
    };
    index.entries().iter().zip(copied).map(|pair| known(pair).unwrap_or_default()).collect()
}

/// The files that git has to look at itself.
fn unknown(index: &Index, stamps: &[Stamp]) -> Vec<PathBuf> {
    let special = [index::SUBMODULE, index::DIRECTORY];
    let open = index
        .entries()
        .iter()
        .zip(stamps)
        .filter(|(entry, stamp)| **stamp == Stamp::default() && !special.contains(&entry.mode));
    open.map(|(entry, _)| path_of(entry)).collect()
}

/// Copies files that are neither tracked nor ignored; a path with `/` at its end is a repository
/// inside this one. Gives the git directories that have to be settled.
fn copy_others(
    source: &Path,
    target: &Path,
    others: &[PathBuf],
    leave: &Leave,
    notes: &mut Notes,
) -> Result<Vec<PathBuf>, TreeError> {
    let roots = Roots::open(source, target, true)?;
    let mut known = HashSet::new();
    let mut made = Vec::new();
    for path in others {
        if is_own(source, path, leave) || !walk::parents(&roots, path, &mut known)? {
            continue;
        }
        if path.as_os_str().as_bytes().ends_with(b"/") {
            let path: PathBuf = path.components().collect();
            let Ok(Some(stat)) = roots.source_stat(&path) else { continue };
            roots.directory(&path, stat.st_mode)?;
            made.extend(walk::copy_directory(source, target, &path, leave, notes)?);
        } else {
            let copied = roots.copy(path)?;
            walk::note_left(path, &copied, notes);
        }
    }
    Ok(made)
}

/// Whether a path is, or lies below, a place of dwell's own.
fn is_own(root: &Path, path: &Path, leave: &Leave) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.ancestors().filter(|part| !part.as_os_str().is_empty()).any(|part| {
        fs::symlink_metadata(root.join(part))
            .is_ok_and(|data| leave.places.contains(&(data.dev(), data.ino())))
    })
}
