//! Files of a tree that are filled with the environment's values. The unrendered text is kept in
//! the state directory, so rendering again starts from it; a file that somebody edited since is
//! left alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dwell_core::config::{CopyPattern, RenderRule, render};

use super::notes::Notes;
use super::{TreeError, memory, on_files, patterns, private_directory};

/// What to bring into a tree and fill there.
#[derive(Debug, Clone)]
pub struct CopyAndRender<'a> {
    /// The project's directory in the source.
    pub source: &'a Path,
    /// The project's directory in the tree.
    pub project_dir: &'a Path,
    /// The environment's state directory.
    pub state: &'a Path,
    /// Ignored files to bring along where the tree lacks them.
    pub copy: &'a [CopyPattern],
    /// Files to fill.
    pub rules: &'a [RenderRule],
    /// The values by name.
    pub variables: &'a BTreeMap<String, String>,
}

/// What [`apply_copy_and_render`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files that were brought along, relative to the project.
    pub copied: Vec<PathBuf>,
    /// Files that were rendered, relative to the project.
    pub rendered: Vec<PathBuf>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Brings the ignored files along and renders. Safe to repeat: the result is the same, however
/// often it is applied.
pub async fn apply_copy_and_render(order: CopyAndRender<'_>) -> Result<Applied, TreeError> {
    let patterns: Vec<String> = order.copy.iter().map(|p| p.as_str().to_owned()).collect();
    let (source, project) = (order.source.to_owned(), order.project_dir.to_owned());
    let (state, rules) = (order.state.to_owned(), order.rules.to_vec());
    let variables = order.variables.clone();
    on_files(move || {
        let mut notes = Notes::default();
        let mut applied = Applied::default();
        if source != project {
            applied.copied = patterns::copy_matching(&patterns, &source, &project, &mut notes)?;
        }
        for rule in &rules {
            if apply(rule, &project, &state, &variables, &mut notes)? {
                applied.rendered.push(rule.file.as_path().to_owned());
            }
        }
        applied.notes = notes.into_vec();
        Ok(applied)
    })
    .await
}

/// The unrendered text and what was made of it.
struct Record {
    pristine: PathBuf,
    rendered: PathBuf,
}

fn record(state: &Path, path: &Path) -> Record {
    let root = memory(state);
    Record {
        pristine: root.join("pristine").join(path),
        rendered: root.join("rendered").join(path),
    }
}

fn apply(
    rule: &RenderRule,
    project: &Path,
    state: &Path,
    variables: &BTreeMap<String, String>,
    notes: &mut Notes,
) -> Result<bool, TreeError> {
    let path = rule.file.as_path();
    let file = project.join(path);
    if !is_inside(project, path) {
        notes.add(format!("{} was not rendered: it is no file of the project", path.display()));
        return Ok(false);
    }
    let current = fs::read(&file).map_err(|e| TreeError::io(&file, e))?;
    let record = record(state, path);
    let pristine = match (fs::read(&record.pristine), fs::read(&record.rendered)) {
        (Ok(pristine), Ok(rendered)) if current == rendered || current == pristine => pristine,
        (Ok(_), Ok(_)) => {
            notes.add(format!("{} was edited since and was not rendered", path.display()));
            return Ok(false);
        }
        _ => {
            let _ = fs::remove_file(&record.pristine);
            current.clone()
        }
    };
    let Ok(text) = std::str::from_utf8(&pristine) else {
        notes.add(format!("{} was not rendered: it is not text", path.display()));
        return Ok(false);
    };
    let text = render(text, rule, variables).into_bytes();
    if !record.pristine.exists() {
        keep(&record.pristine, &pristine)?;
        set_modified(&record.pristine, modified(&file)?)?;
    }
    keep(&record.rendered, &text)?;
    if text == current {
        return Ok(false);
    }
    overwrite(&file, &text)?;
    Ok(true)
}

/// Whether a path is a plain file reached through plain directories only.
fn is_inside(project: &Path, path: &Path) -> bool {
    let kind = |part: &Path| fs::symlink_metadata(project.join(part)).map(|data| data.file_type());
    let parents = path.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty());
    kind(path).is_ok_and(|kind| kind.is_file())
        && parents.into_iter().all(|part| kind(part).is_ok_and(|kind| kind.is_dir()))
}

/// Writes a file of dwell's own, only for the user: what is rendered may hold secrets.
fn keep(path: &Path, content: &[u8]) -> Result<(), TreeError> {
    if let Some(parent) = path.parent() {
        private_directory(parent)?;
    }
    let fail = |error| TreeError::io(path, error);
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(fail)?;
    file.write_all(content).map_err(fail)
}

/// Replaces a file's content in one step, keeping its mode.
fn overwrite(path: &Path, content: &[u8]) -> Result<(), TreeError> {
    let fail = |error| TreeError::io(path, error);
    let mode = fs::metadata(path).map_err(fail)?.permissions().mode() & 0o7777;
    let mut name = std::ffi::OsString::from(".dwell-new.");
    name.push(path.file_name().unwrap_or_default());
    let new = path.with_file_name(name);
    keep(&new, content)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).map_err(fail)?;
    fs::rename(&new, path).map_err(fail)
}

/// A file's modification time, by which copies are compared.
fn modified(path: &Path) -> Result<SystemTime, TreeError> {
    fs::metadata(path).and_then(|data| data.modified()).map_err(|e| TreeError::io(path, e))
}

fn set_modified(path: &Path, time: SystemTime) -> Result<(), TreeError> {
    let times = fs::FileTimes::new().set_modified(time);
    fs::File::open(path).and_then(|f| f.set_times(times)).map_err(|e| TreeError::io(path, e))
}

/// The rendered files that are as dwell left them, relative to the project, with their unrendered
/// text.
pub(crate) fn rendered_now(
    state: &Path,
    project: &Path,
) -> Result<Vec<(PathBuf, Vec<u8>)>, TreeError> {
    let mut found = Vec::new();
    let root = memory(state).join("rendered");
    let mut waiting = vec![root.clone()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let place = entry.path();
            let Ok(path) = place.strip_prefix(&root).map(Path::to_owned) else { continue };
            if place.is_dir() {
                waiting.push(place);
                continue;
            }
            let record = record(state, &path);
            let rendered = fs::read(&record.rendered);
            let rendered = rendered.map_err(|e| TreeError::io(&record.rendered, e))?;
            let as_left = is_inside(project, &path)
                && fs::read(project.join(&path)).is_ok_and(|current| current == rendered);
            if as_left && let Ok(pristine) = fs::read(&record.pristine) {
                found.push((path, pristine));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A rendered file that was taken back to its unrendered text.
#[derive(Debug)]
pub(crate) struct Restored {
    file: PathBuf,
    rendered: Vec<u8>,
    record: [PathBuf; 2],
}

/// Takes rendered files back to their unrendered text.
pub(crate) fn restore(state: &Path, project: &Path) -> Result<Vec<Restored>, TreeError> {
    let mut restored = Vec::new();
    for (path, pristine) in rendered_now(state, project)? {
        let file = project.join(&path);
        let rendered = fs::read(&file).map_err(|e| TreeError::io(&file, e))?;
        let record = record(state, &path);
        overwrite(&file, &pristine)?;
        set_modified(&file, modified(&record.pristine)?)?;
        restored.push(Restored { file, rendered, record: [record.pristine, record.rendered] });
    }
    Ok(restored)
}

/// Puts rendered text back after a sync that did not happen.
pub(crate) fn put_back(restored: &[Restored]) -> Result<(), TreeError> {
    restored.iter().try_for_each(|file| overwrite(&file.file, &file.rendered))
}

/// Forgets the old texts after a sync; the next rendering starts from what came.
pub(crate) fn forget(restored: &[Restored]) {
    for path in restored.iter().flat_map(|file| &file.record) {
        let _ = fs::remove_file(path);
    }
}
