//! Git's index file, as far as a copy of a work tree needs it: the paths with their recorded file
//! stamps, and the stamps rewritten for the copies. A copy with right stamps is known to be clean
//! without reading a single file again.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The mode of a submodule's entry.
pub const SUBMODULE: u32 = 0o160_000;
/// The mode of a directory's entry in a sparse index.
pub const DIRECTORY: u32 = 0o040_000;

const STAMP: usize = 40;

/// An index that is damaged or uses a feature that is not understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index cannot be used: {0}")]
pub struct IndexError(&'static str);

/// What the index remembers of a file: as git stores it, each cut to 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Change time, seconds and nanoseconds.
    pub changed: (u32, u32),
    /// Modification time, seconds and nanoseconds.
    pub modified: (u32, u32),
    /// Device number.
    pub device: u32,
    /// Inode number.
    pub inode: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Size in bytes.
    pub size: u32,
}

/// One path of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path, with `/` at its end for a directory of a sparse index.
    pub path: Vec<u8>,
    /// File type and permission.
    pub mode: u32,
    /// 0, or 1 to 3 for the sides of a conflict.
    pub stage: u8,
    at: usize,
}

impl Entry {
    /// Reads a record of `git ls-files --stage -z`: mode, object, stage, tab, path.
    pub fn from_listing(record: &[u8]) -> Option<Self> {
        let tab = record.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(record.get(..tab)?).ok()?;
        let mut fields = head.split(' ');
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let stage = fields.nth(1)?.parse().ok()?;
        Some(Self { path: record.get(tab + 1..)?.to_vec(), mode, stage, at: 0 })
    }
}

/// A whole index file.
#[derive(Debug, Clone)]
pub struct Index {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    kept: Vec<Range<usize>>,
    end: usize,
    hash_length: usize,
}

impl Index {
    /// Reads an index file; `hash_length` is that of the repository's object names in bytes.
    pub fn parse(bytes: Vec<u8>, hash_length: usize) -> Result<Self, IndexError> {
        if bytes.get(..4) != Some(b"DIRC") {
            return Err(IndexError("it has no header"));
        }
        let version = number(&bytes, 4)?;
        if !(2..=4).contains(&version) {
            return Err(IndexError("its version is unknown"));
        }
        let count = number(&bytes, 8)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(count.min(1 << 20) as usize);
        let mut at = 12;
        for _ in 0..count {
            let previous = entries.last().map_or(&[][..], |entry| entry.path.as_slice());
            let (entry, next) = read_entry(&bytes, at, version, hash_length, previous)?;
            entries.push(entry);
            at = next;
        }
        let kept = read_extensions(&bytes, at, hash_length)?;
        Ok(Self { bytes, entries, kept, end: at, hash_length })
    }

    /// The paths, in git's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether a conflict is recorded.
    pub fn conflicted(&self) -> bool {
        self.entries.iter().any(|entry| entry.stage != 0)
    }

    /// The stamp that is recorded for an entry.
    pub fn stamp(&self, entry: &Entry) -> Stamp {
        let field = |offset| number(&self.bytes, entry.at + offset).unwrap_or_default();
        Stamp {
            changed: (field(0), field(4)),
            modified: (field(8), field(12)),
            device: field(16),
            inode: field(20),
            user: field(28),
            group: field(32),
            size: field(36),
        }
    }

    /// The file with new stamps, one per entry; the default stamp makes git look at the file
    /// itself. Knowledge that holds only for the old place is left out, and so is the checksum.
    pub fn restamped(mut self, stamps: &[Stamp]) -> Vec<u8> {
        for (entry, stamp) in self.entries.iter().zip(stamps) {
            let fields = [
                (0, stamp.changed.0),
                (4, stamp.changed.1),
                (8, stamp.modified.0),
                (12, stamp.modified.1),
                (16, stamp.device),
                (20, stamp.inode),
                (28, stamp.user),
                (32, stamp.group),
                (36, stamp.size),
            ];
            for (offset, value) in fields {
                let start = entry.at + offset;
                if let Some(place) = self.bytes.get_mut(start..start + 4) {
                    place.copy_from_slice(&value.to_be_bytes());
                }
            }
        }
        let mut file = self.bytes.get(..self.end).unwrap_or_default().to_vec();
        for range in self.kept {
            file.extend_from_slice(self.bytes.get(range).unwrap_or_default());
        }
        file.resize(file.len() + self.hash_length, 0);
        file
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u32, IndexError> {
    let field = bytes.get(at..at + 4).and_then(|field| field.try_into().ok());
    field.map(u32::from_be_bytes).ok_or(IndexError("it is cut off"))
}

fn short(bytes: &[u8], at: usize) -> Result<u16, IndexError> {
    let field = bytes.get(at..at + 2).and_then(|field| field.try_into().ok());
    field.map(u16::from_be_bytes).ok_or(IndexError("it is cut off"))
}

fn read_entry(
    bytes: &[u8],
    at: usize,
    version: u32,
    hash_length: usize,
    previous: &[u8],
) -> Result<(Entry, usize), IndexError> {
    let mode = number(bytes, at + 24)?;
    let flags = short(bytes, at + STAMP + hash_length)?;
    let stage = ((flags >> 12) & 3) as u8;
    let extended = version >= 3 && flags & 0x4000 != 0;
    let mut name = at + STAMP + hash_length + if extended { 4 } else { 2 };
    let mut path = Vec::new();
    if version == 4 {
        let (strip, length) = variable(bytes, name)?;
        name += length;
        let keep = previous.len().checked_sub(strip).ok_or(IndexError("a path is damaged"))?;
        path.extend_from_slice(previous.get(..keep).unwrap_or_default());
    }
    let rest = bytes.get(name..).ok_or(IndexError("it is cut off"))?;
    let length = rest.iter().position(|byte| *byte == 0).ok_or(IndexError("it is cut off"))?;
    path.extend_from_slice(rest.get(..length).unwrap_or_default());
    let end = name + length;
    let next = if version == 4 { end + 1 } else { at + (end - at + 8) / 8 * 8 };
    Ok((Entry { path, mode, stage, at }, next))
}

/// A number of as many bytes as it needs, in git's offset encoding.
fn variable(bytes: &[u8], at: usize) -> Result<(usize, usize), IndexError> {
    let mut value = 0_usize;
    for length in 0..6 {
        let byte = *bytes.get(at + length).ok_or(IndexError("it is cut off"))?;
        if length > 0 {
            value += 1;
        }
        value = (value << 7) | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((value, length + 1));
        }
    }
    Err(IndexError("a path is damaged"))
}

/// The extensions worth keeping: the tree cache, and the mark of a sparse index.
fn read_extensions(
    bytes: &[u8],
    mut at: usize,
    hash_length: usize,
) -> Result<Vec<Range<usize>>, IndexError> {
    let end = bytes.len().checked_sub(hash_length).ok_or(IndexError("it is cut off"))?;
    let mut kept = Vec::new();
    while at + 8 <= end {
        let size = number(bytes, at + 4)? as usize;
        let next = at + 8 + size;
        if next > end {
            return Err(IndexError("it is cut off"));
        }
        let name = bytes.get(at..at + 4).unwrap_or_default();
        if name == b"TREE" || name == b"sdir" {
            kept.push(at..next);
        } else if !name.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(IndexError("it depends on another file"));
        }
        at = next;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, extended: bool) -> Vec<u8> {
        let mut bytes = vec![0; STAMP + 20];
        bytes[24..28].copy_from_slice(&0o100_644_u32.to_be_bytes());
        bytes[36..40].copy_from_slice(&7_u32.to_be_bytes());
        let flags: u16 = path.len() as u16 | if extended { 0x4000 } else { 0 };
        bytes.extend(flags.to_be_bytes());
        if extended {
            bytes.extend(0x2000_u16.to_be_bytes());
        }
        bytes.extend(path.as_bytes());
        let padded = (bytes.len() + 8) / 8 * 8;
        bytes.resize(padded, 0);
        bytes
    }

    fn index(version: u32, entries: &[Vec<u8>], extensions: &[u8]) -> Vec<u8> {
        let mut bytes = b"DIRC".to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend((entries.len() as u32).to_be_bytes());
        bytes.extend(entries.concat());
        bytes.extend(extensions);
        bytes.extend([9; 20]);
        bytes
    }

    #[test]
    fn stamps_are_replaced_and_everything_else_stays() {
        let bytes = index(3, &[entry("a", false), entry("dir/long name", true)], b"");
        let index = Index::parse(bytes.clone(), 20).unwrap();
        let paths: Vec<_> = index.entries().iter().map(|e| e.path.as_slice()).collect();
        assert_eq!(paths, [&b"a"[..], b"dir/long name"]);
        assert_eq!(index.stamp(&index.entries()[0]).size, 7);
        let stamp = Stamp { modified: (1, 2), size: 7, inode: 5, ..Stamp::default() };
        let again = index.restamped(&[stamp, Stamp::default()]);
        assert_eq!(again.len(), bytes.len());
        let index = Index::parse(again, 20).unwrap();
        assert_eq!(index.stamp(&index.entries()[0]), stamp);
        assert_eq!(index.entries()[0].mode, 0o100_644);
        assert_eq!(index.stamp(&index.entries()[1]), Stamp::default());
    }

    #[test]
    fn shared_prefixes_are_understood() {
        let short_entry = |strip: u8, rest: &str| {
            let mut bytes = vec![0; STAMP + 20 + 2];
            bytes.push(strip);
            bytes.extend(rest.as_bytes());
            bytes.push(0);
            bytes
        };
        let bytes = index(4, &[short_entry(0, "dir/a"), short_entry(1, "bc")], b"");
        let index = Index::parse(bytes, 20).unwrap();
        assert_eq!(index.entries()[1].path, b"dir/bc");
    }

    #[test]
    fn what_holds_only_for_the_old_place_is_left_out() {
        let mut extensions = b"TREE\0\0\0\x01x".to_vec();
        extensions.extend(b"UNTR\0\0\0\x02yy");
        let index = Index::parse(index(2, &[entry("a", false)], &extensions), 20).unwrap();
        let file = index.restamped(&[Stamp::default()]);
        assert!(file.windows(4).any(|w| w == b"TREE"));
        assert!(!file.windows(4).any(|w| w == b"UNTR"));
    }

    #[test]
    fn damage_and_split_indexes_are_refused() {
        let whole = index(2, &[entry("a", false)], b"");
        for length in 0..whole.len() - 20 {
            assert!(Index::parse(whole[..length].to_vec(), 20).is_err(), "{length}");
        }
        assert!(Index::parse(index(2, &[], b"link\0\0\0\x01x"), 20).is_err());
        assert!(Index::parse(index(9, &[], b""), 20).is_err());
    }
}
