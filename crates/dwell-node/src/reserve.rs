//! A piece of the disk kept back, so that environments can be destroyed when it is full: their
//! destruction has to be recorded before it begins.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Enough for the journal and the records of some destructions.
const SIZE: usize = 512 * 1024;
/// Where less than this is left, nothing is kept back.
const MARGIN: u64 = 4 * SIZE as u64;

fn place(state: &Path) -> PathBuf {
    state.join("reserve")
}

/// Keeps the piece back, if it is not and there is room for it.
pub(crate) fn keep(state: &Path) {
    let place = place(state);
    // What is left of an almost full disk is for those who work with it.
    let free = dwell_drivers::machine::disk(state).map_or(u64::MAX, |disk| disk.free);
    if place.exists() || free < MARGIN {
        return;
    }
    let kept = std::fs::File::create(&place).and_then(|mut file| file.write_all(&[0xd3; SIZE]));
    if let Err(error) = kept {
        tracing::warn!(%error, "no space could be kept back for a full disk");
        release(state);
    }
}

/// Gives the piece to whoever needs it. Says whether there was one.
pub(crate) fn release(state: &Path) -> bool {
    std::fs::remove_file(place(state)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_once_and_kept_again() {
        let state = tempfile::tempdir().unwrap();
        keep(state.path());
        assert_eq!(std::fs::metadata(place(state.path())).unwrap().len(), SIZE as u64);
        assert!(release(state.path()));
        assert!(!release(state.path()));
        keep(state.path());
        assert!(release(state.path()));
    }
}
