//! What a copied directory started from: every path with type, mode, size and time. Copies keep
//! times, so a path that still has its stamp is unchanged without being read. Repositories inside
//! (`.git`) keep their own books and are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::notes::Notes;
use super::walk::{Leave, list};
use super::{TreeError, memory};

/// The type of a path and what tells a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A directory, by its mode.
    Directory(u32),
    /// A file: mode, size, modification time in seconds and nanoseconds.
    File(u32, i64, i64, i64),
    /// A link: the hash of where it leads.
    Link(String),
}

/// All paths of one side.
pub(crate) type Manifest = BTreeMap<PathBuf, Item>;

/// Looks at a directory as it is now. Special files are not part of it.
pub(crate) fn scan(root: &Path, leave: &Leave) -> Result<Manifest, TreeError> {
    let mut notes = Notes::default();
    let fail = |error: io::Error| TreeError::io(root, error);
    let listing = list(root, Path::new(""), leave, &mut notes).map_err(fail)?;
    let mut manifest = Manifest::new();
    for (path, stat) in listing.directories.into_iter().filter(|(p, _)| !p.as_os_str().is_empty()) {
        manifest.insert(path, Item::Directory(stat.st_mode & 0o7777));
    }
    for path in listing.files {
        if let Some(item) = item(&root.join(&path)) {
            manifest.insert(path, item);
        }
    }
    Ok(manifest)
}

fn item(path: &Path) -> Option<Item> {
    let stat: Stat = rustix::fs::lstat(path).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
            Some(Item::File(stat.st_mode & 0o7777, stat.st_size, stat.st_mtime, nanoseconds))
        }
        FileType::Symlink => {
            let to = fs::read_link(path).ok()?;
            Some(Item::Link(blake3::hash(to.as_os_str().as_bytes()).to_hex().to_string()))
        }
        _ => None,
    }
}

/// A manifest as bytes: for each path its item, a tab, the path, and a NUL.
pub(crate) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, item) in manifest {
        let head = match item {
            Item::Directory(mode) => format!("d {mode}\t"),
            Item::File(mode, size, s, ns) => format!("f {mode} {size} {s} {ns}\t"),
            Item::Link(hash) => format!("l {hash}\t"),
        };
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Reads what [`encode`] wrote; `None` where it is damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<Manifest> {
    bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()).map(parse).collect()
}

/// Writes the record of the common state.
pub(crate) fn write(state: &Path, manifest: &Manifest) -> Result<(), TreeError> {
    super::private_directory(&memory(state))?;
    let (new, file) = (memory(state).join("manifest.new"), memory(state).join("manifest"));
    fs::write(&new, encode(manifest)).map_err(|e| TreeError::io(&new, e))?;
    fs::rename(&new, &file).map_err(|e| TreeError::io(&file, e))
}

/// Reads the record of the common state.
pub(crate) fn read(state: &Path) -> Result<Manifest, TreeError> {
    let path = memory(state).join("manifest");
    let bytes = fs::read(&path).map_err(|e| TreeError::io(&path, e))?;
    decode(&bytes).ok_or(TreeError::Memory { path, why: "a line is damaged" })
}

fn parse(record: &[u8]) -> Option<(PathBuf, Item)> {
    let tab = record.iter().position(|byte| *byte == b'\t')?;
    let head = std::str::from_utf8(record.get(..tab)?).ok()?;
    let path = PathBuf::from(OsStr::from_bytes(record.get(tab + 1..)?));
    let fields: Vec<&str> = head.split(' ').collect();
    let item = match *fields.as_slice() {
        ["d", mode] => Item::Directory(mode.parse().ok()?),
        ["f", mode, size, s, ns] => {
            Item::File(mode.parse().ok()?, size.parse().ok()?, s.parse().ok()?, ns.parse().ok()?)
        }
        ["l", hash] => Item::Link(hash.to_owned()),
        _ => return None,
    };
    Some((path, item))
}

/// What bringing one side's changes to the other means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Paths to take over (written, or deleted where the giving side lacks them).
    pub(crate) take: Vec<PathBuf>,
    /// Paths that both sides changed; harmless only where the content is equal.
    pub(crate) both: Vec<PathBuf>,
}

/// Compares two sides with what they had in common. Pure.
pub(crate) fn plan(base: &Manifest, from: &Manifest, into: &Manifest) -> Plan {
    let mut plan = Plan::default();
    let paths: BTreeSet<&PathBuf> = base.keys().chain(from.keys()).collect();
    for path in paths {
        let (old, new, ours) = (base.get(path), from.get(path), into.get(path));
        if new == old || new == ours {
            continue;
        }
        let directories =
            [new, ours].iter().all(|item| matches!(item, Some(Item::Directory(_)) | None));
        if ours == old || directories {
            let blocked = new.is_some() && !parent_is_free(path, base, from, into);
            if blocked { &mut plan.both } else { &mut plan.take }.push(path.clone());
        } else {
            plan.both.push(path.clone());
        }
    }
    plan
}

/// Whether no file of the receiving side stands where a new path needs a directory, unless the
/// giving side turned just that file into one.
fn parent_is_free(path: &Path, base: &Manifest, from: &Manifest, into: &Manifest) -> bool {
    path.ancestors().skip(1).all(|parent| match into.get(parent) {
        ours @ Some(Item::File(..) | Item::Link(_)) => {
            ours == base.get(parent) && matches!(from.get(parent), Some(Item::Directory(_)))
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(items: &[(&str, i64)]) -> Manifest {
        let file = |time: i64| match time {
            0 => Item::Directory(0o755),
            time => Item::File(0o644, 1, time, 0),
        };
        items.iter().map(|(path, time)| (PathBuf::from(path), file(*time))).collect()
    }

    fn planned(base: &[(&str, i64)], from: &[(&str, i64)], into: &[(&str, i64)]) -> [String; 2] {
        let plan = plan(&side(base), &side(from), &side(into));
        let join = |paths: Vec<PathBuf>| {
            paths.iter().map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        [join(plan.take), join(plan.both)]
    }

    #[test]
    fn only_what_the_giving_side_changed_is_taken() {
        let base = [("a", 1), ("b", 1), ("c", 1)];
        assert_eq!(planned(&base, &base, &[("a", 2), ("b", 1)]), ["", ""]);
        assert_eq!(planned(&base, &[("a", 2), ("b", 1), ("n", 3)], &base), ["a c n", ""]);
    }

    #[test]
    fn a_change_on_both_sides_is_not_decided_here() {
        let base = [("a", 1), ("b", 1)];
        assert_eq!(planned(&base, &[("a", 2), ("b", 1)], &[("a", 3), ("b", 1)]), ["", "a"]);
        assert_eq!(planned(&base, &[("b", 1)], &[("a", 3), ("b", 1)]), ["", "a"]);
        assert_eq!(planned(&base, &[("a", 1), ("b", 2)], &[("a", 1)]), ["", "b"]);
        assert_eq!(planned(&[], &[("n", 2)], &[("n", 3)]), ["", "n"]);
    }

    #[test]
    fn a_directory_never_replaces_a_file_unasked() {
        let base = [("d", 0)];
        assert_eq!(planned(&base, &[("d", 0), ("d/x", 2)], &[("d", 5)]), ["", "d/x"]);
    }

    #[test]
    fn records_survive_their_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut manifest = side(&[("a\nb\tc", 7), ("d", 0)]);
        manifest.insert("l".into(), Item::Link("ab".into()));
        write(directory.path(), &manifest).unwrap();
        assert_eq!(read(directory.path()).unwrap(), manifest);
        fs::write(memory(directory.path()).join("manifest"), b"f 1\tx\0").unwrap();
        assert!(matches!(read(directory.path()), Err(TreeError::Memory { .. })));
    }
}
