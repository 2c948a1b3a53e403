//! Copies of single files, directories and links that keep content, mode and time, by sharing
//! blocks where the file system can. Nothing is followed: a link is copied as a link.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::git::index::Stamp;

const READ: usize = 128 * 1024;
/// Neither a link nor a FIFO without a writer holds us up.
const READING: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Two directories, a source and its copy, and what was learnt about them.
#[derive(Debug)]
pub(crate) struct Roots {
    source: OwnedFd,
    target: OwnedFd,
    cloning: AtomicBool,
    attributes: bool,
}

/// What became of one path.
#[derive(Debug)]
pub(crate) enum Copied {
    /// A file or link was copied: the source's stamp and the copy's. `steady` tells whether the
    /// source stayed as it was meanwhile.
    Done { source: Stamp, copy: Stamp, steady: bool },
    /// The source has nothing there.
    Missing,
    /// The source has a directory there.
    Directory,
    /// A FIFO, socket or device, by its word.
    Special(&'static str),
    /// The source does not let us read it.
    Unreadable(io::Error),
}

/// A failure on one path.
#[derive(Debug)]
pub(crate) struct At(pub(crate) PathBuf, pub(crate) io::Error);

impl Roots {
    /// Opens both; `attributes` asks for the users' extended attributes too.
    pub(crate) fn open(source: &Path, target: &Path, attributes: bool) -> Result<Self, At> {
        let open = |path: &Path| {
            fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| At(path.to_owned(), e.into()))
        };
        let (source, target) = (open(source)?, open(target)?);
        Ok(Self { source, target, cloning: AtomicBool::new(true), attributes })
    }

    /// The type of what the source has at a path, links not followed.
    pub(crate) fn source_stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        stat(self.source.as_fd(), path)
    }

    /// Makes a directory like the source's, writable for us until [`Roots::finish_directory`].
    pub(crate) fn directory(&self, path: &Path, mode: u32) -> Result<(), At> {
        let mode = Mode::from_raw_mode((mode & 0o7777) | 0o700);
        match fs::mkdirat(&self.target, path, mode) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(At(path.to_owned(), error.into())),
        }
    }

    /// Gives a directory its final mode and, if asked, times.
    pub(crate) fn finish_directory(&self, path: &Path, like: &Stat, times: bool) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::openat(&self.target, path, flags, Mode::empty())?;
        let now = fs::fstat(&directory)?;
        keep_owner(directory.as_fd(), like, &now);
        if (now.st_mode ^ like.st_mode) & 0o7777 != 0 {
            fs::fchmod(&directory, Mode::from_raw_mode(like.st_mode & 0o7777))?;
        }
        if times {
            fs::futimens(&directory, &times_of(like))?;
        }
        Ok(())
    }

    /// Copies one file or link; its directory exists on both sides.
    pub(crate) fn copy(&self, path: &Path) -> Result<Copied, At> {
        let at = |error: Errno| At(path.to_owned(), error.into());
        let before = match stat(self.source.as_fd(), path) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(Copied::Missing),
            Err(error) => return Ok(Copied::Unreadable(error)),
        };
        match FileType::from_raw_mode(before.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return self.link(path, &before).map_err(at),
            FileType::Directory => return Ok(Copied::Directory),
            FileType::Fifo => return Ok(Copied::Special("FIFO")),
            FileType::Socket => return Ok(Copied::Special("socket")),
            _ => return Ok(Copied::Special("device")),
        }
        let source = match fs::openat(&self.source, path, READING, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP) => return Ok(Copied::Missing),
            Err(error) => return Ok(Copied::Unreadable(error.into())),
        };
        let before = fs::fstat(&source).map_err(at)?;
        self.file(path, &source, &before).map_err(at)
    }

    /// The same for what is a file most likely, which saves a look before it is opened.
    pub(crate) fn copy_file(&self, path: &Path) -> Result<Copied, At> {
        if let Ok(source) = fs::openat(&self.source, path, READING, Mode::empty())
            && let Ok(before) = fs::fstat(&source)
            && FileType::from_raw_mode(before.st_mode) == FileType::RegularFile
        {
            let made = self.file(path, &source, &before);
            return made.map_err(|error| At(path.to_owned(), error.into()));
        }
        self.copy(path)
    }

    fn file(&self, path: &Path, source: &OwnedFd, before: &Stat) -> Result<Copied, Errno> {
        let mode = Mode::from_raw_mode(before.st_mode & 0o7777);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = fs::openat(&self.target, path, flags, mode & !Mode::from_raw_mode(0o7000))?;
        self.content(source, &target, before)?;
        if self.attributes {
            keep_attributes(source.as_fd(), target.as_fd());
        }
        fs::futimens(&target, &times_of(before))?;
        let mut made = fs::fstat(&target)?;
        let owned = made.st_uid == before.st_uid && made.st_gid == before.st_gid;
        if !owned || (made.st_mode ^ before.st_mode) & 0o7777 != 0 {
            keep_owner(target.as_fd(), before, &made);
            fs::fchmod(&target, mode)?;
            made = fs::fstat(&target)?;
        }
        let copy = stamp(&made);
        let after = stamp(&fs::fstat(source)?);
        let before = stamp(before);
        Ok(Copied::Done { source: before, copy, steady: before == after })
    }

    fn content(&self, source: &OwnedFd, target: &OwnedFd, like: &Stat) -> Result<(), Errno> {
        let size = u64::try_from(like.st_size).unwrap_or_default();
        if size == 0 {
            return pump(source, target, READ);
        }
        if self.cloning.load(Ordering::Relaxed) {
            match fs::ioctl_ficlone(target, source) {
                Ok(()) => return Ok(()),
                Err(_) => self.cloning.store(false, Ordering::Relaxed),
            }
        }
        let holes = u64::try_from(like.st_blocks).unwrap_or_default() * 512 < size;
        if holes && size > READ as u64 {
            return sparse(source, target, size);
        }
        // One byte more than the file, so that the second read sees its end.
        pump(source, target, usize::try_from(size + 1).unwrap_or(READ).min(READ))
    }

    fn link(&self, path: &Path, like: &Stat) -> Result<Copied, Errno> {
        let to = fs::readlinkat(&self.source, path, Vec::new())?;
        fs::symlinkat(to, &self.target, path)?;
        let times = times_of(like);
        fs::utimensat(&self.target, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        let made = fs::statat(&self.target, path, AtFlags::SYMLINK_NOFOLLOW)?;
        let source = stamp(like);
        Ok(Copied::Done { source, copy: stamp(&made), steady: true })
    }
}

fn stat(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<Stat>> {
    match fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Copies until the source ends.
fn pump(source: &OwnedFd, target: &OwnedFd, step: usize) -> Result<(), Errno> {
    let mut buffer = vec![0_u8; step];
    loop {
        let length = rustix::io::retry_on_intr(|| rustix::io::read(source, &mut buffer))?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(target, rest))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        if length < step && step < READ {
            // The buffer is larger than the file: a short read was the whole of it.
            return Ok(());
        }
    }
}

/// Copies the parts that hold data and leaves the holes.
fn sparse(source: &OwnedFd, target: &OwnedFd, size: u64) -> Result<(), Errno> {
    let mut at = 0;
    while at < size {
        let start = match fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = fs::seek(source, SeekFrom::Hole(start))?;
        let mut buffer = vec![0_u8; READ];
        let mut place = start;
        while place < end {
            let want = usize::try_from(end - place).unwrap_or(READ).min(READ);
            let part = buffer.get_mut(..want).unwrap_or_default();
            let length =
                rustix::io::retry_on_intr(|| rustix::io::pread(source, &mut *part, place))?;
            if length == 0 {
                break;
            }
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let written =
                    rustix::io::retry_on_intr(|| rustix::io::pwrite(target, rest, place))?;
                place += written as u64;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        at = end;
    }
    fs::ftruncate(target, size)
}

fn times_of(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Only root may give files away; everybody else owns their copies.
fn keep_owner(target: BorrowedFd<'_>, like: &Stat, made: &Stat) {
    if like.st_uid != made.st_uid || like.st_gid != made.st_gid {
        let user = rustix::fs::Uid::from_raw(like.st_uid);
        let group = rustix::fs::Gid::from_raw(like.st_gid);
        let _ = fs::fchown(target, Some(user), Some(group));
    }
}

/// Copies the users' attributes; a file system without them loses nothing else.
fn keep_attributes(source: BorrowedFd<'_>, target: BorrowedFd<'_>) {
    let mut names = vec![0_u8; 4096];
    let Ok(length) = fs::flistxattr(source, &mut names) else { return };
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if !name.starts_with(b"user.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0_u8; 65536];
        if let Ok(length) = fs::fgetxattr(source, name, &mut value) {
            let value = value.get(..length).unwrap_or_default();
            let _ = fs::fsetxattr(target, name, value, fs::XattrFlags::empty());
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "git keeps 32 bits")]
pub(crate) fn stamp(stat: &Stat) -> Stamp {
    Stamp {
        changed: (stat.st_ctime as u32, stat.st_ctime_nsec as u32),
        modified: (stat.st_mtime as u32, stat.st_mtime_nsec as u32),
        device: stat.st_dev as u32,
        inode: stat.st_ino as u32,
        user: stat.st_uid,
        group: stat.st_gid,
        size: stat.st_size as u32,
    }
}

/// Applies `work` to every item on all processors, in chunks of neighbours, and gives the results
/// in order; the first failure ends it.
pub(crate) fn in_parallel<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    const CHUNK: usize = 128;
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let run = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let chunk = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = items.chunks(CHUNK).nth(chunk) else { break };
            let results: Result<Vec<R>, E> = part.iter().map(&work).collect();
            if results.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done.push((chunk, results?));
        }
        Ok(done)
    };
    let parts = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut parts = vec![run()];
        for other in others {
            match other.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    });
    let mut chunks = Vec::new();
    for part in parts {
        chunks.extend(part?);
    }
    chunks.sort_by_key(|(chunk, _)| *chunk);
    Ok(chunks.into_iter().flat_map(|(_, results)| results).collect())
}
