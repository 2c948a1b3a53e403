//! Access lists (POSIX ACLs) on a tree: two users work in it, and each can change what the other
//! made. Links are never followed, whoever exchanges files meanwhile.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    Dir, FileType, Mode, OFlags, XattrFlags, fgetxattr, fsetxattr, fstat, open, openat,
};
use rustix::io::Errno;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
/// The version of the list's format in an extended attribute.
const VERSION: u32 = 2;
/// The identity of entries that have none.
const NOBODY: u32 = u32::MAX;
/// The longest list that is read, in bytes.
const LONGEST: usize = 4096;

/// What an entry is about, as the kernel numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner = 1,
    User = 2,
    OwningGroup = 4,
    Group = 8,
    Mask = 16,
    Other = 32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: Tag,
    id: u32,
    rights: u16,
}

/// An access list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List(Vec<Entry>);

impl List {
    /// The list that a mode stands for.
    fn of_mode(mode: u32) -> Self {
        let rights = |shift: u32| u16::try_from((mode >> shift) & 7).unwrap_or_default();
        Self(vec![
            Entry { tag: Tag::Owner, id: NOBODY, rights: rights(6) },
            Entry { tag: Tag::OwningGroup, id: NOBODY, rights: rights(3) },
            Entry { tag: Tag::Other, id: NOBODY, rights: rights(0) },
        ])
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_at_checked(4)?;
        if version != VERSION.to_le_bytes() || entries.len() % 8 != 0 {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let (tag, rest) = bytes.split_first_chunk::<2>()?;
            let (rights, id) = rest.split_first_chunk::<2>()?;
            let tag = match u16::from_le_bytes(*tag) {
                1 => Tag::Owner,
                2 => Tag::User,
                4 => Tag::OwningGroup,
                8 => Tag::Group,
                16 => Tag::Mask,
                32 => Tag::Other,
                _ => return None,
            };
            let id = u32::from_le_bytes(id.try_into().ok()?);
            Some(Entry { tag, id, rights: u16::from_le_bytes(*rights) })
        };
        entries.chunks_exact(8).map(entry).collect::<Option<Vec<_>>>().map(Self)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(&(entry.tag as u16).to_le_bytes());
            bytes.extend_from_slice(&entry.rights.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    /// Gives users rights; the mask lets them have these.
    fn allow(&mut self, users: &[u32], rights: u16) {
        self.0.retain(|e| !(e.tag == Tag::User && users.contains(&e.id)) && e.tag != Tag::Mask);
        self.0.extend(users.iter().map(|id| Entry { tag: Tag::User, id: *id, rights }));
        let named = [Tag::User, Tag::OwningGroup, Tag::Group];
        let of_named = self.0.iter().filter(|entry| named.contains(&entry.tag));
        let mask = of_named.fold(0, |all, entry| all | entry.rights);
        self.0.push(Entry { tag: Tag::Mask, id: NOBODY, rights: mask });
        // The kernel takes them in this order only.
        self.0.sort();
    }
}

/// Lets these users read and change everything in a directory, what is there and what will be.
/// What cannot be opened is left as it is: it is somebody else's.
///
/// # Errors
/// When the directory cannot be opened, or its file system has no access lists.
pub fn share(directory: &Path, users: &[u32]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = open(directory, flags, Mode::empty())?;
    allow(&root, users)?;
    walk(root, users)
}

/// Lets these users read a directory and the files in it, but not what is in directories below.
///
/// # Errors
/// As [`share`].
pub fn show(directory: &Path, users: &[u32]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = open(directory, flags, Mode::empty())?;
    let mode = fstat(&root)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Directory {
        return Ok(change(&root, ACCESS, mode, users, 4)?);
    }
    change(&root, ACCESS, mode, users, 5)?;
    for entry in Dir::read_from(&root)? {
        let entry = entry?;
        if entry.file_type() != FileType::RegularFile {
            continue;
        }
        if let Ok(file) = openat(&root, entry.file_name(), flags | OFlags::NONBLOCK, Mode::empty())
        {
            change(&file, ACCESS, fstat(&file)?.st_mode, users, 4)?;
        }
    }
    Ok(())
}

fn walk(root: OwnedFd, users: &[u32]) -> io::Result<()> {
    let mut waiting = vec![root];
    while let Some(directory) = waiting.pop() {
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if [&b"."[..], b".."].contains(&name.to_bytes()) {
                continue;
            }
            if !matches!(entry.file_type(), FileType::Directory | FileType::RegularFile) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = openat(&directory, name, flags, Mode::empty()) else { continue };
            let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
            if !matches!(kind, FileType::Directory | FileType::RegularFile) {
                continue;
            }
            match allow(&file, users) {
                // Only its owner may change its list.
                Err(Errno::PERM) => {}
                other => other?,
            }
            if kind == FileType::Directory {
                waiting.push(file);
            }
        }
    }
    Ok(())
}

fn allow(file: &OwnedFd, users: &[u32]) -> Result<(), Errno> {
    let mode = fstat(file)?.st_mode;
    let is_directory = FileType::from_raw_mode(mode) == FileType::Directory;
    let runs = is_directory || mode & 0o100 != 0;
    change(file, ACCESS, mode, users, if runs { 7 } else { 6 })?;
    if is_directory {
        change(file, DEFAULT, mode, users, 7)?;
    }
    Ok(())
}

fn change(file: &OwnedFd, name: &str, mode: u32, users: &[u32], rights: u16) -> Result<(), Errno> {
    let mut buffer = [0; LONGEST];
    let found = match fgetxattr(file.as_fd(), name, &mut buffer) {
        Ok(length) => buffer.get(..length).and_then(List::decode),
        Err(Errno::NODATA) => None,
        Err(error) => return Err(error),
    };
    let before = found.clone();
    let mut list = found.unwrap_or_else(|| List::of_mode(mode));
    list.allow(users, rights);
    if before.as_ref() == Some(&list) {
        return Ok(());
    }
    fsetxattr(file.as_fd(), name, &list.encode(), XattrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_list_is_what_the_kernel_takes() {
        let mut list = List::of_mode(0o754);
        list.allow(&[1000, 1000], 6);
        list.allow(&[1000], 7);
        let bytes = list.encode();
        assert_eq!(bytes.len(), 4 + 5 * 8);
        assert_eq!(List::decode(&bytes), Some(list.clone()));
        let shown: Vec<_> = list.0.iter().map(|e| (e.tag, e.rights)).collect();
        assert_eq!(
            shown,
            [
                (Tag::Owner, 7),
                (Tag::User, 7),
                (Tag::OwningGroup, 5),
                (Tag::Mask, 7),
                (Tag::Other, 4)
            ]
        );
        assert_eq!(List::decode(&[1, 0, 0, 0]), None);
        assert_eq!(List::decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn both_users_can_change_what_is_there_and_links_are_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        std::fs::create_dir_all(tree.join("deep")).unwrap();
        for file in [&tree.join("deep/file"), &outside] {
            std::fs::write(file, "x").unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        let shared = share(&tree, &[1000]);
        if shared.as_ref().is_err_and(|error| error.raw_os_error() == Some(95)) {
            eprintln!("skipped: this file system has no access lists");
            return;
        }
        shared.unwrap();
        let of = |path: &Path| {
            let mut buffer = [0; LONGEST];
            let length = rustix::fs::getxattr(path, ACCESS, &mut buffer).ok()?;
            List::decode(&buffer[..length])
        };
        let user = |list: List| list.0.into_iter().find(|e| e.tag == Tag::User).unwrap();
        assert_eq!(user(of(&tree.join("deep/file")).unwrap()).rights, 6);
        assert_eq!(user(of(&tree.join("deep")).unwrap()).rights, 7);
        assert_eq!(of(&outside), None);
        std::fs::write(tree.join("deep/new"), "x").unwrap();
        assert_eq!(user(of(&tree.join("deep/new")).unwrap()).id, 1000);
        share(&tree, &[1000]).unwrap();
    }
}
