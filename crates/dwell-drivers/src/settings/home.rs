//! Files below one directory, reached name by name so that no link leads out of it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use dwell_core::settings::HomePath;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The largest file that is read.
const READ_MAX: u64 = 16 << 20;

/// A directory and what is below it.
pub(crate) struct Home {
    root: OwnedFd,
}

/// What is at a place.
pub(crate) enum Found {
    Nothing,
    File {
        content: Vec<u8>,
        executable: bool,
    },
    /// A link, a directory, or a link on the way.
    Other,
}

impl Home {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: fs::open(path, flags, Mode::empty())? })
    }

    /// The directory of a path; made where `make` says so, `None` where it is not there.
    fn folder(&self, path: &HomePath, make: bool) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = fs::openat(&self.root, ".", flags, Mode::empty())?;
        for name in path.split().0 {
            if make {
                match fs::mkdirat(&at, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
            }
            at = match fs::openat(&at, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => return Ok(None),
                other => other?,
            };
        }
        Ok(Some(at))
    }

    pub(crate) fn look(&self, path: &HomePath) -> io::Result<Found> {
        let folder = match self.folder(path, false) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(Found::Nothing),
            Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Found::Other),
            Err(error) => return Err(error.into()),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&folder, path.split().1, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Ok(Found::Other),
            Err(error) => return Err(error.into()),
        };
        let seen = fs::fstat(&file)?;
        if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile {
            return Ok(Found::Other);
        }
        let mut content = Vec::new();
        File::from(file).take(READ_MAX).read_to_end(&mut content)?;
        let executable = Mode::from_raw_mode(seen.st_mode).contains(Mode::XUSR);
        Ok(Found::File { content, executable })
    }

    /// Puts a file in place, whole or not at all; only its owner may read it.
    pub(crate) fn write(
        &self,
        path: &HomePath,
        content: &[u8],
        executable: bool,
    ) -> io::Result<()> {
        let Some(folder) = self.folder(path, true)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let name = path.split().1;
        let part = format!(".dwell-{}-part", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = if executable { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
        // One may be left of a process that was killed.
        let _ = fs::unlinkat(&folder, &part, AtFlags::empty());
        let file = fs::openat(&folder, &part, flags | OFlags::CLOEXEC, mode)?;
        fs::fchmod(&file, mode)?;
        let written = File::from(file)
            .write_all(content)
            .and_then(|()| Ok(fs::renameat(&folder, &part, &folder, name)?));
        if written.is_err() {
            let _ = fs::unlinkat(&folder, &part, AtFlags::empty());
        }
        written
    }

    /// Sees to it that a file can be written.
    pub(crate) fn make_folder(&self, path: &HomePath) -> io::Result<()> {
        self.folder(path, true)?;
        Ok(())
    }

    pub(crate) fn remove(&self, path: &HomePath) -> io::Result<()> {
        let Some(folder) = self.folder(path, false)? else { return Ok(()) };
        match fs::unlinkat(&folder, path.split().1, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
