//! The binary that runs, also after another version was put in its place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What Linux adds to the path of a program whose file was removed or replaced.
const DELETED: &str = " (deleted)";
/// What runs, whatever is at its path by now.
const RUNNING: &str = "/proc/self/exe";

/// Where this binary was started from. Another version may be there by now; where nothing is, it is
/// where this process, and those that it starts, find what runs.
///
/// # Errors
/// When the system does not tell.
pub fn path() -> io::Result<PathBuf> {
    let told = std::env::current_exe()?;
    let place = told.to_str().and_then(|told| told.strip_suffix(DELETED)).map(PathBuf::from);
    Ok(match place {
        Some(place) if !told.exists() => match place.is_file() {
            true => place,
            false => format!("/proc/{}/exe", std::process::id()).into(),
        },
        _ => told,
    })
}

/// Puts the very binary that runs at a place, unless it is there: as a link where that can be.
///
/// # Errors
/// When it cannot be read or written.
pub fn keep(place: &Path) -> io::Result<()> {
    let running = match cfg!(target_os = "linux") {
        true => PathBuf::from(RUNNING),
        false => std::env::current_exe()?,
    };
    let ours = fs::metadata(&running)?;
    let is_ours = |there: &fs::Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
    if let Ok(there) = fs::metadata(place)
        && (is_ours(&there) || (there.len() == ours.len() && content(place)? == content(&running)?))
    {
        return Ok(());
    }
    let part = place.with_extension("part");
    let _ = fs::remove_file(&part);
    // What is at its path may be another version, also at the very moment of the link.
    let linked = path().and_then(|path| fs::hard_link(path, &part)).is_ok()
        && fs::metadata(&part).is_ok_and(|it| is_ours(&it));
    if !linked {
        let _ = fs::remove_file(&part);
        if let Err(error) = fs::copy(&running, &part) {
            // A disk that was not full is not to be so for half a copy.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    }
    fs::rename(&part, place)
}

/// What is in a file, in short.
fn content(path: &Path) -> io::Result<blake3::Hash> {
    let mut sum = blake3::Hasher::new();
    sum.update_reader(File::open(path)?)?;
    Ok(sum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_very_binary_is_kept_in_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("dwell");
        let own = fs::read(path().unwrap()).unwrap();
        fs::write(&place, vec![7; own.len()]).unwrap();
        keep(&place).unwrap();
        assert!(fs::read(&place).unwrap() == own);
        let kept = fs::metadata(&place).unwrap();
        keep(&place).unwrap();
        assert_eq!(kept.ino(), fs::metadata(&place).unwrap().ino(), "it is left alone");
        fs::copy(&place, folder.path().join("copy")).unwrap();
        fs::rename(folder.path().join("copy"), &place).unwrap();
        keep(&place).unwrap();
        assert_ne!(kept.ino(), fs::metadata(&place).unwrap().ino(), "and so is a copy");
    }
}
