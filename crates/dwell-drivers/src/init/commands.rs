//! The process that starts commands for the node. Its socket is the first process's, so that what
//! answers there can be told from any other process, and is there before it and after it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dwell_core::workspace::{COMMANDS_SOCKET, GIVEN, SESSIONS};
use rustix::fs::Mode;
use rustix::process::umask;

use super::supervised::Supervised;

/// Where there can be no socket the engine starts commands.
pub(super) fn find() -> io::Result<Supervised> {
    let listener = OwnedFd::from(listen(Path::new(SESSIONS))?);
    Ok(Supervised::trying("what starts commands", move || {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(format!("{GIVEN}/dwell")).arg("workspace-commands").current_dir("/");
        command.stdin(Stdio::from(listener.try_clone()?));
        Ok(command)
    }))
}

/// Only the owner of the directory, which is the node's user, may connect.
fn listen(directory: &Path) -> io::Result<UnixListener> {
    let path = directory.join(COMMANDS_SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&path);
    umask(before);
    let listener = listener?;
    let owner = fs::metadata(directory)?;
    lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_socket_of_an_earlier_life_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(listen(folder.path()).unwrap());
        let path = folder.path().join(COMMANDS_SOCKET);
        assert!(std::os::unix::net::UnixStream::connect(&path).is_err());
        let _listener = listen(folder.path()).unwrap();
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
