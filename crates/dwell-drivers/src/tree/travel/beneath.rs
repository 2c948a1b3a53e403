//! Files below a root that somebody else may be changing: every step from the root down is a
//! directory and no link, and a file appears under its name whole or not at all.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

/// A directory below which files are read and written.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

/// The directory that a file is in, and the file's name.
#[derive(Debug)]
pub(crate) struct Spot {
    directory: OwnedFd,
    name: OsString,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(fs::open(path, flags, Mode::empty())?))
    }

    /// Finds a file's directory; with `make` those that are missing are made.
    pub(crate) fn spot(&self, path: &Path, make: bool) -> io::Result<Spot> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name),
                Component::CurDir => {}
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it leads outside")),
            }
        }
        let Some((name, parents)) = parts.split_last() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
        };
        let mut directory = fs::openat(&self.0, ".", DIRECTORY, Mode::empty())?;
        for parent in parents {
            directory = match fs::openat(&directory, *parent, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match fs::mkdirat(&directory, *parent, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    fs::openat(&directory, *parent, DIRECTORY, Mode::empty())?
                }
                other => other?,
            };
        }
        Ok(Spot { directory, name: (*name).to_owned() })
    }
}

impl Spot {
    /// What is there, links not followed; `None` for nothing.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        match fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file for reading, if it is one.
    pub(crate) fn read(&self) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        match FileType::from_raw_mode(fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file")),
        }
    }

    /// A new file beside this one, only for the user.
    pub(crate) fn begin(self) -> io::Result<Fresh> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!(".dwell-new.{:016x}", u64::from_le_bytes(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, &name, flags, Mode::from_raw_mode(0o600))?;
        Ok(Fresh { spot: self, name, file: file.into(), placed: false })
    }

    /// Removes the file.
    pub(crate) fn remove(&self) -> io::Result<()> {
        Ok(fs::unlinkat(&self.directory, &self.name, AtFlags::empty())?)
    }
}

/// A file that is being written and has no name of its own yet; it goes with its owner.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) spot: Spot,
    pub(crate) file: std::fs::File,
    name: String,
    placed: bool,
}

impl Fresh {
    /// Gives it its mode and its name, in place of what is there.
    pub(crate) fn place(mut self, mode: u32) -> io::Result<()> {
        fs::fchmod(self.file.as_fd(), Mode::from_raw_mode(mode & 0o777))?;
        let directory = &self.spot.directory;
        fs::renameat(directory, &self.name, directory, &self.spot.name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::unlinkat(&self.spot.directory, &self.name, AtFlags::empty());
        }
    }
}
