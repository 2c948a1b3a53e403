//! Objects that have come and are not yet believed: git checks them in a directory of their own,
//! beside the repository's, and only what is whole moves over. What a crash leaves behind is taken
//! away the next time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::TravelError;
use crate::git::stream::Give;
use crate::git::{Git, Repository};
use crate::tree::private_directory;

const PREFIX: &str = "dwell-incoming-";

/// Defects that old and harmless commits have. All that makes a name, a path or a link dangerous
/// stays an error.
const HARMLESS: &str = "--strict=badDate=ignore,badDateOverflow=ignore,badEmail=ignore,\
    badName=ignore,badTagName=ignore,badTimezone=ignore,missingEmail=ignore,\
    missingNameBeforeEmail=ignore,missingSpaceBeforeDate=ignore,missingSpaceBeforeEmail=ignore,\
    missingTaggerEntry=ignore,multipleAuthors=ignore,zeroPaddedDate=ignore,\
    zeroPaddedFilemode=ignore";

/// A directory for objects that goes away with its owner.
#[derive(Debug)]
pub(crate) struct Quarantine<'a> {
    repository: &'a Repository,
    path: PathBuf,
    /// Held as long as the directory is in use.
    _lock: File,
}

impl<'a> Quarantine<'a> {
    pub(crate) fn new(repository: &'a Repository) -> Result<Self, TravelError> {
        let mut random = [0; 8];
        let common = &repository.common_dir;
        let filled = getrandom::fill(&mut random);
        filled.map_err(|error| TravelError::io(common, std::io::Error::other(error)))?;
        let path = common.join(format!("{PREFIX}{:016x}", u64::from_le_bytes(random)));
        private_directory(&path)?;
        let lock = File::create(path.join("lock")).and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(|error| TravelError::io(&path, error))?;
        Ok(Self { repository, path, _lock: lock })
    }

    /// Git that sees the objects in here and those of the repository.
    pub(crate) fn git(&self) -> Git {
        Git::at(&self.repository.common_dir).objects(&self.path, &self.repository.objects())
    }

    /// Takes in the objects of a pack.
    pub(crate) async fn take(&self, from: &mut impl Give) -> Result<(), TravelError> {
        let arguments = ["index-pack", "--stdin", "--fix-thin", HARMLESS];
        let done = self.git().feed(arguments, from).await;
        done.map(|_| ()).map_err(|error| TravelError::taking(error, &self.repository.common_dir))
    }

    /// Checks that all that belongs to these commits and tags is there.
    pub(crate) async fn check(&self, tips: &[&str]) -> Result<(), TravelError> {
        let mut input = tips.join("\n");
        input.push_str("\n--not\n--all\n");
        let list = ["rev-list", "--objects", "--quiet", "--stdin"];
        let program = self.git().program(list).input(input);
        let done = program.finish().await?;
        if done.ok() { Ok(()) } else { Err(TravelError::Rejected { why: done.error_text() }) }
    }

    /// Moves the objects into the repository. A pack's index comes last: until then nobody sees
    /// the pack.
    pub(crate) fn admit(self) -> Result<(), TravelError> {
        let from = self.path.join("pack");
        let to = self.repository.objects().join("pack");
        private_directory(&to)?;
        let mut names: Vec<_> = match fs::read_dir(&from) {
            Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
            Err(_) => return Ok(()),
        };
        names.sort_by_key(|name| Path::new(name).extension().is_some_and(|e| e == "idx"));
        for name in names {
            let place = to.join(&name);
            let moved = fs::rename(from.join(&name), &place);
            moved.map_err(|error| TravelError::io(&place, error))?;
        }
        Ok(())
    }
}

impl Drop for Quarantine<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Takes away what transfers left that no longer go on.
pub(crate) fn sweep(common_dir: &Path) {
    for entry in fs::read_dir(common_dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let left = match File::open(path.join("lock")) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => is_old(&path),
        };
        if left {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether a directory was made a while ago: its lock follows at once.
fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|data| data.modified()).map(|time| time.elapsed());
    age.is_ok_and(|age| age.is_ok_and(|age| age.as_secs() > 60))
}
