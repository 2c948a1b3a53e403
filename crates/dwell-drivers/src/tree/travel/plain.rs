//! Sources without git: what both sides know of each other's files, and who decides about which.
//! The sender tells all paths with their stamps; the receiver answers which files it needs; rsync
//! brings those; then the receiver makes it so. Files that no transfer brought are never removed.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::apply::Applied;
use super::blocking;
use super::carry::brought_paths;
use super::error::TravelError;
use super::record::Lock;
use super::secret::{Secrets, looks_secret};
use crate::tree::create::{absolute, growing_place, plain};
use crate::tree::ignore::{self, Ignore};
use crate::tree::manifest::{self, Item, Manifest};
use crate::tree::notes::Notes;
use crate::tree::walk::{Leave, list};
use crate::tree::{MergeReport, Tree, TreeError, TreeKind, memory, private_directory, render};

/// A directory as it is, for another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainOffer {
    /// All paths that are to be there, with their stamps: as [`need`] reads them.
    pub manifest: Vec<u8>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Files that look secret, which are left out.
    pub secrets: Secrets,
}

/// Where an environment's tree is, or is going to be.
#[derive(Debug, Clone, Copy)]
pub struct PlainPlace<'a> {
    /// The tree.
    pub tree: &'a Path,
    /// The environment's state directory.
    pub state: &'a Path,
}

/// What the receiver needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Which offer it is about.
    pub offer: String,
    /// Paths that have to be brought, each with a NUL at its end: the list for
    /// [`push`](super::push).
    pub list: Vec<u8>,
    /// The directory to serve meanwhile.
    pub into: PathBuf,
    /// Whether the tree already is what was offered.
    pub nothing_to_do: bool,
}

/// Looks at a directory. Rules of `.dwellignore` and `exclude` leave files out, and so does a name
/// that looks secret.
///
/// # Errors
/// When the directory cannot be read.
pub async fn offer_plain(
    source: &Path,
    state: &Path,
    exclude: &[String],
) -> Result<PlainOffer, TravelError> {
    let source = fs::canonicalize(source)
        .ok()
        .filter(|path| path.is_dir())
        .ok_or_else(|| TreeError::NoSource { path: source.to_owned() })?;
    let (state, exclude) = (state.to_owned(), exclude.to_vec());
    blocking(move || {
        let mut notes = Notes::default();
        let mut text = fs::read_to_string(source.join(ignore::FILE)).unwrap_or_default();
        for pattern in exclude {
            text.push('\n');
            text.push_str(&pattern);
        }
        let (rules, bad) = Ignore::parse(&text);
        for line in bad {
            notes.add(format!("the rule `{line}` of what is not sent is not understood"));
        }
        let mut leave = Leave { ignore: rules, ..Leave::default() };
        leave.place(&state);
        let mut all = manifest::scan(&source, &leave)?;
        let listing = list(&source, Path::new(""), &leave, &mut Notes::default());
        let repositories = listing.map(|listing| listing.repositories).unwrap_or_default();
        for path in repositories {
            notes.add(format!("{} is a repository's own and is not sent", path.display()));
        }
        let secret: Vec<PathBuf> = all
            .iter()
            .filter(|(path, item)| !matches!(item, Item::Directory(_)) && looks_secret(path))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &secret {
            all.remove(path);
        }
        let left_out = secret.iter().map(|path| path.display().to_string()).collect();
        let secrets = Secrets { left_out, ..Secrets::default() };
        let manifest = manifest::encode(&all);
        Ok(PlainOffer { manifest, notes: notes.into_vec(), secrets })
    })
    .await
}

/// The record of what was sent last, as the sender saw it; the common record holds the same files
/// as they are here.
fn sent_file(state: &Path) -> PathBuf {
    memory(state).join("sent-manifest")
}

fn pending_file(state: &Path) -> PathBuf {
    memory(state).join("pending-manifest")
}

/// Whether a tree was last brought up to exactly this offer.
pub fn is_current_plain(state: &Path, offer: &str) -> bool {
    fs::read(sent_file(state)).is_ok_and(|sent| blake3::hash(&sent).to_hex().as_str() == offer)
}

/// The directory to serve for the offer that waits for its files: where [`Needed::into`] led.
///
/// # Errors
/// When another offer was made since.
pub fn waiting_plain(place: PlainPlace<'_>, offer: &str) -> Result<PathBuf, TravelError> {
    pending(place.state, offer)?;
    let tree = absolute(place.tree)?;
    Ok(if fs::symlink_metadata(&tree).is_ok() { tree } else { growing_place(&tree) })
}

/// Takes over an offer that was made before the environment had a state directory of its own.
///
/// # Errors
/// When the file system fails.
pub fn adopt_plain(from: &Path, state: &Path) -> Result<(), TravelError> {
    private_directory(&memory(state))?;
    match fs::rename(pending_file(from), pending_file(state)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TravelError::io(&pending_file(from), error))
        }
        _ => Ok(()),
    }
}

/// Whether a tree came from another node without git.
pub(crate) fn is_sent(state: &Path) -> bool {
    sent_file(state).exists()
}

fn decode(bytes: &[u8]) -> Result<Manifest, TravelError> {
    let read = manifest::decode(bytes);
    let read = read.ok_or_else(|| TravelError::wire(&"a line of a manifest is damaged"))?;
    let inside = |path: &Path| {
        let mut parts = path.components();
        !path.as_os_str().is_empty()
            && parts.all(|part| {
                matches!(part, std::path::Component::Normal(name) if name != OsStr::new(".git"))
            })
    };
    match read.keys().find(|path| !inside(path)) {
        Some(path) => Err(TravelError::wire(&format!("{} leads outside", path.display()))),
        None => Ok(read),
    }
}

/// What both sides have and last had in common.
struct Sides {
    /// Here, at the last transfer.
    base: Manifest,
    /// What is offered; what the sender has not changed since is as it was here.
    from: Manifest,
    /// Here, now.
    into: Manifest,
}

/// What is in the tree now, without what is nobody's work: extra files, rendered text, and new
/// files that the project's rules leave out.
fn scan_here(place: PlainPlace<'_>, base: &Manifest) -> Result<Manifest, TreeError> {
    let mut here = manifest::scan(place.tree, &Leave::default())?;
    let rules = fs::read_to_string(place.tree.join(ignore::FILE)).unwrap_or_default();
    let (rules, _) = Ignore::parse(&rules);
    let extra: HashSet<PathBuf> = brought_paths(place.state)?.into_iter().collect();
    here.retain(|path, item| {
        let directory = matches!(item, Item::Directory(_));
        let aside = extra.contains(path)
            || rules.leaves_out_file(path)
            || (directory && rules.leaves_out(path, true));
        base.contains_key(path) || !aside
    });
    for (path, _) in render::rendered_now(place.state, place.tree)? {
        if let Some(item) = base.get(&path) {
            here.insert(path, item.clone());
        }
    }
    Ok(here)
}

fn look(place: PlainPlace<'_>, offered: &Manifest) -> Result<Sides, TravelError> {
    let base = manifest::read(place.state)?;
    let sent = fs::read(sent_file(place.state)).unwrap_or_default();
    let sent = manifest::decode(&sent).unwrap_or_default();
    let into = scan_here(place, &base)?;
    let as_here = |(path, item): (&PathBuf, &Item)| {
        let unchanged = sent.get(path) == Some(item);
        let item = base.get(path).filter(|_| unchanged).unwrap_or(item);
        (path.clone(), item.clone())
    };
    let from = offered.iter().map(as_here).collect();
    Ok(Sides { base, from, into })
}

/// Says what has to be brought for an offer, and removes what the sender has removed. What only
/// one side changed since the last transfer stays that side's; where both changed a file nothing
/// happens, and [`TreeError::Conflicts`] names it, unless `force` lets the sender win. Files that
/// no transfer brought are never removed.
///
/// # Errors
/// As said; [`TravelError::Vanished`] when most files have gone from the source and `force` is
/// not given; and when the manifest is not understood or the tree cannot be read.
pub async fn need(
    place: PlainPlace<'_>,
    manifest: &[u8],
    force: bool,
) -> Result<Needed, TravelError> {
    let lock = Lock::take(place.state).await?;
    let (tree, state) = (place.tree.to_owned(), place.state.to_owned());
    let manifest = manifest.to_vec();
    blocking(move || {
        let _lock = lock;
        needed(PlainPlace { tree: &tree, state: &state }, &manifest, force)
    })
    .await
}

fn needed(place: PlainPlace<'_>, manifest: &[u8], force: bool) -> Result<Needed, TravelError> {
    let offered = decode(manifest)?;
    let offer = blake3::hash(manifest).to_hex().to_string();
    let pending = pending_file(place.state);
    let wait = || fs::write(&pending, manifest).map_err(|error| TravelError::io(&pending, error));
    if fs::symlink_metadata(place.tree).is_err() {
        let into = growing_place(&absolute(place.tree)?);
        private_directory(&into)?;
        wait()?;
        let list = listed(offered.keys());
        return Ok(Needed { offer, list, into, nothing_to_do: false });
    }
    if !is_sent(place.state) {
        return Err(TravelError::NotSent { path: place.tree.to_owned() });
    }
    let sides = look(place, &offered)?;
    let wanted = decide(&sides, force)?;
    let (bring, remove): (Vec<&PathBuf>, Vec<&PathBuf>) =
        wanted.iter().partition(|path| offered.contains_key(*path));
    let same = fs::read(sent_file(place.state)).is_ok_and(|sent| sent == manifest);
    let nothing_to_do = wanted.is_empty() && same;
    if !nothing_to_do {
        wait()?;
        // Whoever calls renders again, also after a transfer that did not happen.
        render::restore(place.state, place.tree)?;
        remove_all(place.tree, &remove)?;
    }
    let (list, into) = (listed(bring), place.tree.to_owned());
    Ok(Needed { offer, list, into, nothing_to_do })
}

/// The paths that are brought or removed.
fn decide(sides: &Sides, force: bool) -> Result<BTreeSet<PathBuf>, TravelError> {
    let plan = manifest::plan(&sides.base, &sides.from, &sides.into);
    let files = |of: &Manifest| of.values().filter(|i| !matches!(i, Item::Directory(_))).count();
    let gone = sides.base.keys().filter(|path| !sides.from.contains_key(*path)).count();
    let (removed, of) = (gone, files(&sides.base));
    if !force && (files(&sides.from) == 0 && of > 0 || removed > 20 && 2 * removed > of) {
        return Err(TravelError::Vanished { removed, of });
    }
    if !force && !plan.both.is_empty() {
        return Err(TreeError::Conflicts { paths: plan.both }.into());
    }
    let wanted: BTreeSet<PathBuf> = plan.take.into_iter().chain(plan.both).collect();
    let blocked: Vec<PathBuf> =
        wanted.iter().filter(|p| is_blocked(p, sides, &wanted)).cloned().collect();
    if blocked.is_empty() {
        Ok(wanted)
    } else {
        Err(TreeError::Conflicts { paths: blocked }.into())
    }
}

/// Whether a file is to come where a directory holds files that stay.
fn is_blocked(path: &Path, sides: &Sides, wanted: &BTreeSet<PathBuf>) -> bool {
    let file = matches!(sides.from.get(path), Some(Item::File(..) | Item::Link(_)));
    file && matches!(sides.into.get(path), Some(Item::Directory(_)))
        && sides
            .into
            .range::<Path, _>((std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded))
            .take_while(|(below, _)| below.starts_with(path))
            .any(|(below, _)| !wanted.contains(below))
}

/// Removes paths, contents before their directories. A directory in which other files are stays.
fn remove_all(tree: &Path, paths: &[&PathBuf]) -> Result<(), TravelError> {
    for path in paths.iter().rev() {
        let at = tree.join(path);
        match fs::symlink_metadata(&at) {
            Ok(data) if data.is_dir() => drop(fs::remove_dir(&at)),
            Ok(_) => fs::remove_file(&at).map_err(|error| TravelError::io(&at, error))?,
            Err(_) => {}
        }
    }
    Ok(())
}

fn listed<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<u8> {
    let mut list = Vec::new();
    for path in paths {
        list.extend_from_slice(path.as_os_str().as_bytes());
        list.push(0);
    }
    list
}

/// The offer that waits for its files.
fn pending(state: &Path, offer: &str) -> Result<(Vec<u8>, Manifest), TravelError> {
    let bytes = fs::read(pending_file(state)).unwrap_or_default();
    if blake3::hash(&bytes).to_hex().as_str() != offer {
        return Err(TravelError::NotReceived { commit: offer.to_owned() });
    }
    let offered = decode(&bytes)?;
    Ok((bytes, offered))
}

/// Remembers an offer as what both sides have in common; `here` is how it is in the tree.
fn remember(place: PlainPlace<'_>, bytes: &[u8], here: &Manifest) -> Result<(), TravelError> {
    manifest::write(place.state, here)?;
    let (file, new) = (sent_file(place.state), memory(place.state).join("sent-manifest.new"));
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, &file));
    written.map_err(|error| TravelError::io(&file, error))?;
    let _ = fs::remove_file(pending_file(place.state));
    Ok(())
}

/// Refuses where a file that was to come is not there as it was offered.
fn refuse_missing<'a>(
    offered: impl IntoIterator<Item = (&'a PathBuf, &'a Item)>,
    here: &Manifest,
) -> Result<(), TravelError> {
    let came = |path: &PathBuf, item: &Item| match (item, here.get(path)) {
        (Item::Directory(_), Some(Item::Directory(_))) => true,
        // Times may be kept less exactly here.
        (Item::File(_, size, ..), Some(Item::File(_, there, ..))) => size == there,
        (Item::Link(to), Some(Item::Link(there))) => to == there,
        _ => false,
    };
    match offered.into_iter().find(|(path, item)| !came(path, item)) {
        Some((path, _)) => {
            Err(TravelError::Rejected { why: format!("{} did not come", path.display()) })
        }
        None => Ok(()),
    }
}

/// Makes the tree of a first transfer, once its files have been brought. The directory that it is
/// in becomes the user's alone.
///
/// # Errors
/// [`TravelError::Rejected`] when not all files came; they can be brought again.
pub async fn create_plain(place: PlainPlace<'_>, offer: &str) -> Result<Tree, TravelError> {
    if fs::symlink_metadata(place.tree).is_ok() {
        return Err(TreeError::Exists { path: place.tree.to_owned() }.into());
    }
    let lock = Lock::take(place.state).await?;
    let (tree, state) = (absolute(place.tree)?, place.state.to_owned());
    let offer = offer.to_owned();
    blocking(move || {
        let _lock = lock;
        create_here(PlainPlace { tree: &tree, state: &state }, &offer)
    })
    .await
}

fn create_here(place: PlainPlace<'_>, offer: &str) -> Result<Tree, TravelError> {
    let (bytes, offered) = pending(place.state, offer)?;
    let growing = growing_place(place.tree);
    let mut here = manifest::scan(&growing, &Leave::default())?;
    refuse_missing(&offered, &here)?;
    // What an earlier attempt brought and the source has removed since.
    let stale: Vec<&PathBuf> = here.keys().filter(|path| !offered.contains_key(*path)).collect();
    remove_all(&growing, &stale)?;
    here.retain(|path, _| offered.contains_key(path));
    let mode = |path: &Path, mode| {
        let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        set.map_err(|error| TravelError::io(path, error))
    };
    if let Some(parent) = place.tree.parent() {
        mode(parent, 0o700)?;
    }
    mode(&growing, 0o755)?;
    fs::rename(&growing, place.tree).map_err(|error| TravelError::io(place.tree, error))?;
    if let Some(left) = growing.parent() {
        let _ = fs::remove_dir(left);
    }
    remember(place, &bytes, &here)?;
    Ok(plain(TreeKind::Copy, place.tree, place.tree, Vec::new()))
}

/// Ends a later transfer, once its files have been brought: remembers what both sides have in
/// common now.
///
/// # Errors
/// [`TravelError::Rejected`] when not all files came; they can be brought again.
pub async fn finish_plain(place: PlainPlace<'_>, offer: &str) -> Result<Applied, TravelError> {
    let lock = Lock::take(place.state).await?;
    let (tree, state) = (place.tree.to_owned(), place.state.to_owned());
    let offer = offer.to_owned();
    blocking(move || {
        let _lock = lock;
        finish_here(PlainPlace { tree: &tree, state: &state }, &offer)
    })
    .await
}

fn finish_here(place: PlainPlace<'_>, offer: &str) -> Result<Applied, TravelError> {
    let (bytes, offered) = pending(place.state, offer)?;
    let sides = look(place, &offered)?;
    let here = manifest::scan(place.tree, &Leave::default())?;
    let kept = |path: &PathBuf| {
        let base = sides.base.get(path);
        base.filter(|_| base == sides.from.get(path))
    };
    let came: Vec<(&PathBuf, &Item)> =
        offered.iter().filter(|(path, _)| kept(path).is_none()).collect();
    refuse_missing(came.iter().copied(), &here)?;
    let gone = |path: &&PathBuf| !offered.contains_key(*path) && !here.contains_key(*path);
    let mut files: Vec<PathBuf> = sides.base.keys().filter(gone).cloned().collect();
    files.extend(came.iter().map(|(path, _)| (*path).clone()));
    files.sort();
    // What came is as it is here; what only the environment changed is as it was.
    let item = |path: &PathBuf| Some((path.clone(), kept(path).or(here.get(path))?.clone()));
    remember(place, &bytes, &offered.keys().filter_map(item).collect())?;
    render::forget(&render::restore(place.state, place.tree)?);
    let report = MergeReport { files, ..MergeReport::default() };
    Ok(Applied { report, nothing_to_do: false })
}

/// The files that the environment changed since the last transfer, each with a letter: `A` for a
/// new one, `M` for another content, `D` for one that is gone.
pub(crate) fn changed_here(tree: &Path, state: &Path) -> Result<Vec<(char, PathBuf)>, TreeError> {
    let base = manifest::read(state)?;
    let here = scan_here(PlainPlace { tree, state }, &base)?;
    let paths: BTreeSet<&PathBuf> = base.keys().chain(here.keys()).collect();
    let change = |path: &PathBuf| {
        let (old, new) = (base.get(path), here.get(path));
        let letter = match (old, new) {
            (None, Some(_)) => 'A',
            (Some(_), None) => 'D',
            _ => 'M',
        };
        let directory = matches!(new.or(old), Some(Item::Directory(_)));
        (old != new && !directory).then(|| (letter, path.clone()))
    };
    Ok(paths.into_iter().filter_map(change).collect())
}

/// The files of a tree that was made from what another node sent, as the list for
/// [`fetch`](super::fetch): all of them, or with `changed` those that the environment changed or
/// made.
///
/// # Errors
/// When the tree came from no other node, or cannot be read.
pub async fn list_plain(place: PlainPlace<'_>, changed: bool) -> Result<Vec<u8>, TravelError> {
    let (tree, state) = (place.tree.to_owned(), place.state.to_owned());
    if !is_sent(&state) {
        return Err(TravelError::NotSent { path: tree });
    }
    blocking(move || {
        let here = scan_here(PlainPlace { tree: &tree, state: &state }, &manifest::read(&state)?)?;
        if !changed {
            return Ok(listed(here.keys()));
        }
        let changed = changed_here(&tree, &state)?;
        Ok(listed(changed.iter().map(|(_, path)| path).filter(|path| here.contains_key(*path))))
    })
    .await
}
