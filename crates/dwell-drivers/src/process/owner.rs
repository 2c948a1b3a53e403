//! Whose helpers programs are: a mark in their environment, so that what a killed daemon left
//! running can be found and ended before it acts on what the next one undoes.

use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that carries the mark.
pub const VARIABLE: &str = "DWELL_HELPER_OF";

static OWNER: OnceLock<OsString> = OnceLock::new();

/// Marks all programs that this process starts from now on; the first mark holds.
pub fn set_owner(owner: &Path) {
    let _ = OWNER.set(owner.as_os_str().to_owned());
}

pub(super) fn owner() -> Option<&'static OsString> {
    OWNER.get()
}

/// Kills what an earlier owner of this name left running, and says how many there were. Only
/// where the system shows processes in `/proc`.
pub fn end_leftovers(owner: &Path) -> usize {
    use std::os::unix::ffi::OsStrExt;
    let mut mark = format!("{VARIABLE}=").into_bytes();
    mark.extend(owner.as_os_str().as_bytes());
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        if pid == rustix::process::getpid() {
            continue;
        }
        let variables = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if variables.split(|byte| *byte == 0).any(|variable| variable == mark) {
            ended += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_an_earlier_owner_left_is_ended_and_nothing_else() {
        let sleep = |owner: &str| {
            std::process::Command::new("sleep").arg("60").env(VARIABLE, owner).spawn().unwrap()
        };
        let (mut own, mut other) = (sleep("/owner-test/own"), sleep("/owner-test/own-too"));
        while end_leftovers(Path::new("/owner-test/own")) == 0 {}
        assert!(!own.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
