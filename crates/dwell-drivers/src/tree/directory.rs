//! A tree as a copy of a directory that is no git project.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::create::{growing_place, plain};
use super::diff::DiffOptions;
use super::ignore::{self, Ignore};
use super::manifest::{self, Item, Manifest, Plan};
use super::notes::Notes;
use super::travel::plain::{changed_here, is_sent};
use super::walk::{self, Leave};
use super::{CreateTree, MergeReport, Scratch, Tree, TreeError, TreeKind, independent, memory};
use super::{on_files, private_directory, render};
use crate::git::Git;

/// Copies the directory to the growing place and moves it to its name.
pub(crate) async fn create(order: &CreateTree<'_>, growing: &Path) -> Result<Tree, TreeError> {
    let (source, state) = (order.source.to_owned(), order.state.to_owned());
    let (tree, growing) = (order.tree.to_owned(), growing.to_owned());
    let place = growing.clone();
    let (made, notes) = on_files(move || {
        let mut notes = Notes::default();
        let leave = leave(&source, &tree, &state, &mut notes);
        if let Some(parent) = growing.parent() {
            private_directory(parent)?;
        }
        fs::create_dir(&growing).map_err(|e| TreeError::io(&growing, e))?;
        let root = Path::new("");
        let made = walk::copy_directory(&source, &growing, root, &leave, &mut notes)?;
        manifest::write(&state, &manifest::scan(&growing, &Leave::default())?)?;
        Ok((made, notes))
    })
    .await?;
    for repository in made {
        independent::settle(&repository).await?;
    }
    fs::rename(&place, order.tree).map_err(|e| TreeError::io(order.tree, e))?;
    Ok(plain(TreeKind::Copy, order.source, order.tree, notes.into_vec()))
}

/// What is left out of the source: its own rules, and dwell's places inside it.
fn leave(source: &Path, tree: &Path, state: &Path, notes: &mut Notes) -> Leave {
    let text = fs::read_to_string(source.join(ignore::FILE)).unwrap_or_default();
    let (ignore, bad) = Ignore::parse(&text);
    for line in bad {
        notes.add(format!("{}: `{line}` is not understood", ignore::FILE));
    }
    let mut leave = Leave { ignore, ..Leave::default() };
    let growing = growing_place(tree);
    for place in [tree, state, growing.parent().unwrap_or(&growing)] {
        leave.place(place);
    }
    leave
}

/// Both sides as they are, and what they had in common.
struct Sides {
    base: Manifest,
    tree: Manifest,
    source: Manifest,
}

fn look(tree: &Tree, state: &Path) -> Result<Sides, TreeError> {
    for path in [&tree.root, &tree.source] {
        if !path.is_dir() {
            return Err(TreeError::NoTree { path: path.clone() });
        }
    }
    let leave = leave(&tree.source, &tree.root, state, &mut Notes::default());
    let base = manifest::read(state)?;
    let mut ours = manifest::scan(&tree.root, &leave)?;
    for (path, _) in render::rendered_now(state, &tree.root)? {
        if let Some(item) = base.get(&path) {
            ours.insert(path, item.clone());
        }
    }
    let source = manifest::scan(&tree.source, &leave)?;
    Ok(Sides { base, tree: ours, source })
}

/// The paths that the environment changed.
pub(crate) async fn changed(tree: &Tree, state: &Path) -> Result<Vec<PathBuf>, TreeError> {
    let (tree, state) = (tree.clone(), state.to_owned());
    on_files(move || {
        if is_sent(&state) {
            let changed = changed_here(&tree.root, &state)?;
            return Ok(changed.into_iter().map(|(_, path)| path).collect());
        }
        let sides = look(&tree, &state)?;
        Ok(changes(&sides, &tree))
    })
    .await
}

fn changes(sides: &Sides, tree: &Tree) -> Vec<PathBuf> {
    let paths: BTreeSet<&PathBuf> = sides.base.keys().chain(sides.tree.keys()).collect();
    let changed = |path: &&PathBuf| {
        let (old, new) = (sides.base.get(*path), sides.tree.get(*path));
        let directory = matches!(new.or(old), Some(Item::Directory(_)));
        new != old && !directory && !same(&tree.root.join(path), &tree.source.join(path))
    };
    paths.into_iter().filter(changed).cloned().collect()
}

/// Brings the environment's changes to the source.
pub(crate) async fn merge(tree: &Tree, state: &Path) -> Result<MergeReport, TreeError> {
    let (tree, state) = (tree.clone(), state.to_owned());
    on_files(move || {
        let sides = look(&tree, &state)?;
        let plan = manifest::plan(&sides.base, &sides.tree, &sides.source);
        let report = bring(plan, &sides.tree, &tree.root, &tree.source)?;
        manifest::write(&state, &sides.tree)?;
        Ok(report)
    })
    .await
}

/// Brings the source's changes to the environment.
pub(crate) async fn sync(tree: &Tree, state: &Path) -> Result<MergeReport, TreeError> {
    let (tree, state) = (tree.clone(), state.to_owned());
    on_files(move || {
        let sides = look(&tree, &state)?;
        let plan = manifest::plan(&sides.base, &sides.source, &sides.tree);
        let report = bring(plan, &sides.source, &tree.source, &tree.root)?;
        manifest::write(&state, &sides.source)?;
        Ok(report)
    })
    .await
}

/// Carries a plan out: refused as a whole where both sides differ, deletions first.
fn bring(plan: Plan, side: &Manifest, from: &Path, to: &Path) -> Result<MergeReport, TreeError> {
    let paths: Vec<PathBuf> =
        plan.both.into_iter().filter(|path| !same(&from.join(path), &to.join(path))).collect();
    if !paths.is_empty() {
        return Err(TreeError::Conflicts { paths });
    }
    let mut report = MergeReport::default();
    for path in plan.take.iter().rev().filter(|path| !side.contains_key(*path)) {
        let place = to.join(path);
        let gone = match fs::symlink_metadata(&place) {
            Ok(data) if data.is_dir() => fs::remove_dir(&place).is_ok(),
            Ok(_) => {
                fs::remove_file(&place).map_err(|e| TreeError::io(&place, e)).map(|()| true)?
            }
            Err(_) => false,
        };
        if gone {
            report.files.push(path.clone());
        }
    }
    for path in plan.take {
        let (source, place) = (from.join(&path), to.join(&path));
        let fail = |error| TreeError::io(&place, error);
        match side.get(&path) {
            None => continue,
            Some(Item::Directory(_)) => make_directory(&source, &place).map_err(fail)?,
            Some(_) if same(&source, &place) => continue,
            Some(_) => replace(&source, &place).map_err(fail)?,
        }
        report.files.push(path);
    }
    report.files.sort();
    Ok(report)
}

fn make_directory(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => {
            fs::remove_file(to)?;
            fs::create_dir(to)?;
        }
        Err(_) => fs::create_dir(to)?,
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}

/// Puts a copy in place of what is there, in one step.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".dwell-new.");
    name.push(to.file_name().unwrap_or_default());
    let new = to.with_file_name(name);
    let _ = fs::remove_file(&new);
    let data = fs::symlink_metadata(from)?;
    if data.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, &new)?;
    } else {
        fs::copy(from, &new)?;
        let times = fs::FileTimes::new().set_modified(data.modified()?);
        File::options().write(true).open(&new).and_then(|file| file.set_times(times)).or_else(
            // A read-only file is changed through a handle that was opened for reading.
            |_| File::open(&new).and_then(|file| file.set_times(times)),
        )?;
    }
    if fs::symlink_metadata(to).is_ok_and(|data| data.is_dir()) {
        fs::remove_dir(to)?;
    }
    fs::rename(&new, to)
}

/// Whether two paths hold the same: both nothing, the same link, or files with equal bytes and
/// modes. Directories count as the same.
fn same(a: &Path, b: &Path) -> bool {
    let (Ok(left), Ok(right)) = (fs::symlink_metadata(a), fs::symlink_metadata(b)) else {
        return fs::symlink_metadata(a).is_err() && fs::symlink_metadata(b).is_err();
    };
    if left.is_dir() || right.is_dir() {
        return left.is_dir() && right.is_dir();
    }
    if left.is_symlink() || right.is_symlink() {
        return matches!((fs::read_link(a), fs::read_link(b)), (Ok(a), Ok(b)) if a == b);
    }
    left.len() == right.len()
        && left.permissions() == right.permissions()
        && same_bytes(a, b).unwrap_or(false)
}

fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut left, mut right) = (vec![0; 65536], vec![0; 65536]);
    loop {
        let length = a.read(&mut left)?;
        if length == 0 {
            return Ok(b.read(&mut right)? == 0);
        }
        let Some(part) = right.get_mut(..length) else { return Ok(false) };
        if b.read_exact(part).is_err() || left.get(..length) != Some(&*part) {
            return Ok(false);
        }
    }
}

/// The names of the files that the environment changed: without git, what another node sent is
/// not kept to be compared with.
async fn names(tree: &Tree, state: &Path, options: DiffOptions) -> Result<Vec<u8>, TreeError> {
    let (root, state) = (tree.root.clone(), state.to_owned());
    let changed = on_files(move || changed_here(&root, &state)).await?;
    let mut text = Vec::new();
    for (letter, path) in changed {
        if !options.name_only {
            text.extend_from_slice(format!("{letter}\t").as_bytes());
        }
        text.extend_from_slice(path.as_os_str().as_bytes());
        text.push(b'\n');
    }
    Ok(text)
}

/// The environment's changes as a unified diff against the source.
pub(crate) async fn diff(
    tree: &Tree,
    state: &Path,
    options: DiffOptions,
) -> Result<Vec<u8>, TreeError> {
    if is_sent(state) {
        return names(tree, state, options).await;
    }
    let scratch = Scratch::new(state)?;
    let (place, owned, memory_of) = (scratch.path().to_owned(), tree.clone(), state.to_owned());
    on_files(move || {
        let sides = look(&owned, &memory_of)?;
        let (old, new) = (place.join("a"), place.join("b"));
        for side in [&old, &new] {
            private_directory(side)?;
        }
        for path in changes(&sides, &owned) {
            show(&owned.source.join(&path), &old.join(&path))?;
            show(&owned.root.join(&path), &new.join(&path))?;
        }
        Ok(())
    })
    .await?;
    let git = Git::at(scratch.path());
    let mut arguments = vec!["diff", "--no-index", "--no-prefix"];
    arguments.extend(options.arguments());
    arguments.extend(["--", "a", "b"]);
    let program = git.program(arguments);
    let finished = program.finish().await?;
    match finished.code {
        Some(0 | 1) => Ok(finished.stdout),
        _ => Err(program.failed(&finished).into()),
    }
}

/// Lays a path out for comparison.
fn show(from: &Path, to: &Path) -> Result<(), TreeError> {
    let Ok(data) = fs::symlink_metadata(from) else { return Ok(()) };
    if data.is_dir() {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        private_directory(parent)?;
    }
    let copied = if data.is_symlink() {
        fs::read_link(from).and_then(|link| std::os::unix::fs::symlink(link, to))
    } else {
        fs::copy(from, to).map(|_| ())
    };
    copied.map_err(|e| TreeError::io(from, e))
}

/// Remembers an empty start.
pub(crate) fn remember_empty(state: &Path) -> Result<(), TreeError> {
    private_directory(&memory(state))?;
    manifest::write(state, &Manifest::new())
}
