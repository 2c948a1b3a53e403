//! Keeping an agent's sign-in in one place, from inside a workspace: the files in the home are links
//! into the directory that all workspaces share. Agents that write through a link need no help;
//! where one puts a file in the link's place, as by renaming, that file becomes the shared one and
//! the link is made again.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use dwell_core::credentials::{SignIn, file_name};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

/// The largest file that is taken for a sign-in, in bytes.
const LARGEST: u64 = 1 << 20;

/// One file of a sign-in.
#[derive(Debug, Clone)]
struct Shared {
    agent: SignIn,
    /// In the home.
    own: PathBuf,
    /// In the shared directory.
    all: PathBuf,
}

/// Keeps the sign-ins whose directories are below `place`, for as long as this runs.
///
/// # Errors
/// When the home cannot be watched.
pub fn keep(home: &Path, place: &Path) -> io::Result<()> {
    let files = shared(home, place);
    for file in &files {
        settle(file, true)?;
    }
    loop {
        let watch = inotify::init(CreateFlags::CLOEXEC)?;
        for file in &files {
            let Some(folder) = file.own.parent() else { continue };
            make_folder(folder)?;
            let wanted = WatchFlags::CLOSE_WRITE
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF;
            inotify::add_watch(&watch, folder, wanted)?;
        }
        // What was written before it was watched.
        for file in &files {
            settle(file, false)?;
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&watch, &mut buffer);
        loop {
            let event = reader.next()?;
            let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED;
            if event.events().intersects(gone) {
                // The directory is another one now.
                break;
            }
            let name = event.file_name().and_then(|name| name.to_str().ok()).unwrap_or_default();
            for file in files.iter().filter(|file| file.own.ends_with(name)) {
                settle(file, false)?;
            }
        }
    }
}

/// The files of the agents whose directories are there.
fn shared(home: &Path, place: &Path) -> Vec<Shared> {
    let there = |agent: &SignIn| place.join(agent.as_str()).is_dir();
    let of = |agent: SignIn| {
        agent.files().iter().map(move |path| Shared {
            agent,
            own: home.join(path),
            all: place.join(agent.as_str()).join(file_name(path)),
        })
    };
    SignIn::ALL.into_iter().filter(there).flat_map(of).collect()
}

/// Makes the file in the home a link to the shared one. A file there becomes the shared one, at the
/// start only where it is newer. Where there is nothing, a link is made at the start; later it was
/// taken away by somebody who signed out.
fn settle(file: &Shared, start: bool) -> io::Result<()> {
    match fs::symlink_metadata(&file.own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if start && let Some(folder) = file.own.parent() {
                make_folder(folder)?;
                match symlink(&file.all, &file.own) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                    _ => Ok(()),
                }
            } else {
                Ok(())
            }
        }
        Err(error) => Err(error),
        Ok(seen) if seen.is_file() => {
            let older =
                |all: Metadata| (all.mtime(), all.mtime_nsec()) > (seen.mtime(), seen.mtime_nsec());
            let stale = start && fs::metadata(&file.all).is_ok_and(older);
            take(file, stale)
        }
        // A link is ours, or the user's own wish.
        Ok(_) => Ok(()),
    }
}

/// Puts a link in the place of a file, whose content becomes the shared one unless it is stale.
/// Whatever is written to it meanwhile is not lost.
fn take(file: &Shared, stale: bool) -> io::Result<()> {
    let (Some(folder), Some(common)) = (file.own.parent(), file.all.parent()) else {
        return Ok(());
    };
    let lock = File::options().create(true).append(true).mode(0o666).open(common.join(".lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let part = folder.join(format!(".dwell-{}-part", std::process::id()));
    let _ = fs::remove_file(&part);
    if !stale {
        share(file, &file.own)?;
    }
    symlink(&file.all, &part)?;
    // The link and the file change places at once; what was written last is in the file.
    renameat_with(CWD, &part, CWD, &file.own, RenameFlags::EXCHANGE)?;
    if !stale {
        share(file, &part)?;
    }
    fs::remove_file(&part)
}

/// Puts a file's content into the shared one, whole or not at all, unless that was renewed later.
fn share(file: &Shared, from: &Path) -> io::Result<()> {
    let to = &file.all;
    let mut content = Vec::new();
    File::open(from)?.take(LARGEST).read_to_end(&mut content)?;
    let there = fs::read(to).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_newer = || file.agent.supersedes(&text(&content), &text(&there));
    if content.is_empty() || there == content || !is_newer() {
        return Ok(());
    }
    let part = to.with_extension(format!("{}-part", std::process::id()));
    let mut written =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    written.write_all(&content)?;
    fs::rename(&part, to)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (tempfile::TempDir, Shared) {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("claude")).unwrap();
        let files = shared(&place.path().join("home"), place.path());
        assert_eq!(files.len(), 1);
        (place, files[0].clone())
    }

    #[test]
    fn what_is_written_in_place_of_the_link_becomes_the_shared_one() {
        let (_place, file) = pair();
        settle(&file, true).unwrap();
        assert_eq!(fs::read_link(&file.own).unwrap(), file.all);
        fs::write(&file.own, "through the link").unwrap();
        assert_eq!(fs::read_to_string(&file.all).unwrap(), "through the link");
        let other = file.own.with_extension("tmp");
        fs::write(&other, "renamed").unwrap();
        fs::rename(&other, &file.own).unwrap();
        settle(&file, false).unwrap();
        assert_eq!(fs::read_link(&file.own).unwrap(), file.all);
        assert_eq!(fs::read_to_string(&file.all).unwrap(), "renamed");
        assert_eq!(fs::read_dir(file.own.parent().unwrap()).unwrap().count(), 1);
        // Signed out: no link comes back by itself.
        fs::remove_file(&file.own).unwrap();
        settle(&file, false).unwrap();
        assert!(fs::symlink_metadata(&file.own).is_err());
    }

    #[test]
    fn what_somebody_still_had_does_not_replace_what_was_renewed_since() {
        let (_place, file) = pair();
        let sign_in = |expires: u64| format!(r#"{{"claudeAiOauth": {{"expiresAt": {expires}}}}}"#);
        settle(&file, true).unwrap();
        fs::write(&file.all, sign_in(2000)).unwrap();
        for (written, shared) in [(1000, 2000), (3000, 3000)] {
            let other = file.own.with_extension("tmp");
            fs::write(&other, sign_in(written)).unwrap();
            fs::rename(&other, &file.own).unwrap();
            settle(&file, false).unwrap();
            assert_eq!(fs::read_to_string(&file.own).unwrap(), sign_in(shared));
            assert!(fs::symlink_metadata(&file.own).unwrap().is_symlink());
        }
    }

    #[test]
    fn an_older_file_is_no_sign_in_any_more() {
        let (_place, file) = pair();
        fs::create_dir_all(file.own.parent().unwrap()).unwrap();
        fs::write(&file.own, "old").unwrap();
        File::open(&file.own).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::write(&file.all, "new").unwrap();
        settle(&file, true).unwrap();
        assert_eq!(fs::read_to_string(&file.all).unwrap(), "new");
        assert_eq!(fs::read_to_string(&file.own).unwrap(), "new");
    }

    #[test]
    fn a_file_that_is_there_first_is_shared() {
        let (_place, file) = pair();
        fs::create_dir_all(file.own.parent().unwrap()).unwrap();
        fs::write(&file.own, "mine").unwrap();
        settle(&file, true).unwrap();
        assert_eq!(fs::read_to_string(&file.all).unwrap(), "mine");
        assert!(fs::symlink_metadata(&file.own).unwrap().is_symlink());
    }
}
