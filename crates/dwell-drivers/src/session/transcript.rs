//! The transcript: every byte that a session's command wrote, in order. It is kept in segments of
//! equal size, `transcript.0`, `transcript.1` and so on, of which the last two stay; so it is
//! bounded, and a byte's offset from the start of the session tells its segment for ever.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::files::{mode, open_plain};

/// How large the transcript may become unless said otherwise: 256 MiB.
pub const DEFAULT_LIMIT: u64 = 256 << 20;

/// The most that one read gives, in bytes.
const READ_MAX: u64 = 1 << 20;

/// The size of a segment for a limit; two of them stay within it.
pub(super) fn segment_size(limit: u64) -> u64 {
    (limit / 2).max(4096)
}

fn path(directory: &Path, index: u64) -> PathBuf {
    directory.join(format!("transcript.{index}"))
}

/// Appends to a session's transcript.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    segment: u64,
    index: u64,
    file: Option<File>,
    filled: u64,
}

impl Writer {
    /// A writer for a session that has no transcript yet; its first segment is there at once.
    pub(super) fn new(directory: &Path, limit: u64) -> io::Result<Self> {
        let mut writer = Self {
            directory: directory.to_owned(),
            segment: segment_size(limit),
            index: 0,
            file: None,
            filled: 0,
        };
        writer.open()?;
        Ok(writer)
    }

    fn open(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(mode(&self.directory));
        self.file = Some(options.open(path(&self.directory, self.index))?);
        Ok(())
    }

    /// Appends bytes. After an error the bytes that did not fit are lost, and later ones follow
    /// on those that did.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.filled == self.segment {
                self.next_segment();
            }
            if self.file.is_none() {
                self.open()?;
            }
            let room = usize::try_from(self.segment - self.filled).unwrap_or(usize::MAX);
            let (now, _) = bytes.split_at(bytes.len().min(room));
            let Some(file) = &mut self.file else { return Ok(()) };
            let written = match file.write(now) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                other => other?,
            };
            self.filled += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn next_segment(&mut self) {
        if let Some(old) = self.index.checked_sub(1) {
            let _ = std::fs::remove_file(path(&self.directory, old));
        }
        (self.index, self.filled, self.file) = (self.index + 1, 0, None);
    }
}

/// A part of a transcript.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// The offset of its first byte from the start of the session: later than asked for where the
    /// older output is dropped by now.
    pub start: u64,
    /// The bytes; none when there is nothing after the offset yet.
    pub bytes: Vec<u8>,
}

impl Part {
    /// The offset after its last byte, where the next read goes on.
    pub fn next(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// The segments that are there, oldest first.
fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let index = name.to_str().and_then(|name| name.strip_prefix("transcript."));
        found.extend(index.and_then(|index| index.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads from a transcript at an offset, up to 1 MiB, of a session with this limit.
pub(super) fn read(directory: &Path, limit: u64, from: u64) -> io::Result<Part> {
    let size = segment_size(limit);
    let mut from = from;
    loop {
        match open_plain(&path(directory, from / size)) {
            Ok(mut file) => {
                let offset = from % size;
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = Vec::new();
                file.take(READ_MAX.min(size - offset)).read_to_end(&mut bytes)?;
                return Ok(Part { start: from, bytes });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let later = segments(directory)?.into_iter().find(|index| *index > from / size);
                match later {
                    Some(index) => from = index * size,
                    None => return Ok(Part { start: from, bytes: Vec::new() }),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The offset from which the last `bytes` bytes of the transcript are read.
pub(super) fn tail(directory: &Path, limit: u64, bytes: u64) -> io::Result<u64> {
    let Some(last) = segments(directory)?.last().copied() else { return Ok(0) };
    let length = open_plain(&path(directory, last))?.metadata()?.len();
    Ok((last * segment_size(limit) + length).saturating_sub(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(directory: &Path, limit: u64) -> (u64, Vec<u8>) {
        let first = read(directory, limit, 0).unwrap();
        let (start, mut at, mut bytes) = (first.start, first.next(), first.bytes);
        loop {
            let part = read(directory, limit, at).unwrap();
            if part.bytes.is_empty() {
                return (start, bytes);
            }
            assert_eq!(part.start, at);
            at = part.next();
            bytes.extend(part.bytes);
        }
    }

    #[test]
    fn offsets_hold_across_segments_and_the_limit_holds_too() {
        let directory = tempfile::tempdir().unwrap();
        let (limit, path) = (8192, directory.path());
        let mut writer = Writer::new(path, limit).unwrap();
        let data: Vec<u8> = (0..30_000u32).flat_map(u32::to_le_bytes).collect();
        for (count, chunk) in data.chunks(777).enumerate() {
            writer.append(chunk).unwrap();
            let written = data.len().min((count + 1) * 777);
            let (start, bytes) = all(path, limit);
            assert_eq!(bytes, data[usize::try_from(start).unwrap()..written]);
        }
        let (start, bytes) = all(path, limit);
        assert_eq!(start % 4096, 0);
        assert!(start > 0 && bytes.len() as u64 <= limit);
        assert_eq!(tail(path, limit, 100).unwrap(), data.len() as u64 - 100);
        assert_eq!(tail(path, limit, u64::MAX).unwrap(), 0);
    }

    #[test]
    fn there_is_nothing_after_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let part = read(directory.path(), 8192, 5000).unwrap();
        assert_eq!((part.next(), part.bytes.len()), (5000, 0));
        let mut writer = Writer::new(directory.path(), 8192).unwrap();
        writer.append(&[7; 4096]).unwrap();
        assert!(read(directory.path(), 8192, 4096).unwrap().bytes.is_empty());
        assert_eq!(read(directory.path(), 8192, 4095).unwrap().bytes, [7]);
    }
}
