//! What a workspace gets from its node, in a directory that it cannot write: this very binary as
//! its first process, the host key of its ssh server, and variables that tell what it is.

use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};
use dwell_core::workspace::{
    AUTHORIZED_KEYS_FILE, GIVEN, HOST_KEY_FILE, PublicKey, SESSIONS, TMUX_FILE, VARIABLES_FILE,
    Workspace,
};
use dwell_drivers::docker::Directory;
use dwell_drivers::ssh::make_host_key;
use dwell_drivers::tmux;

use crate::facts::make_directory;
use crate::node::Node;
use crate::problem::{OrProblem, file};
use crate::relay::is_static;

/// The binary's name in it.
pub(crate) const BINARY: &str = "dwell";
/// What the user of a workspace changes of its tmux.
const TMUX_INCLUDE: &str = "/home/dev/.config/dwell/tmux.conf";
/// Where an ELF binary says whether it needs a loader, at most.
const HEADERS: usize = 64 << 10;

/// The directory on this machine.
pub(super) fn directory(node: &Node, it: &Workspace) -> PathBuf {
    node.paths.workspace(&it.id).join("given")
}

/// The directory on this machine with the files of its sessions.
pub(crate) fn sessions(node: &Node, it: &Workspace) -> PathBuf {
    node.paths.workspace(&it.id).join("sessions")
}

/// The directories of this machine that its container sees.
pub(super) fn directories(node: &Node, it: &Workspace) -> Vec<Directory> {
    let given = (directory(node, it), GIVEN, false);
    let sessions = (sessions(node, it), SESSIONS, true);
    [given, sessions]
        .into_iter()
        .map(|(source, target, writable)| Directory { source, target: target.into(), writable })
        .collect()
}

/// The path of this binary in a workspace.
pub(crate) fn own_binary() -> String {
    format!("{GIVEN}/{BINARY}")
}

/// Makes the directories. Others on this machine cannot get to them, since nobody may enter the
/// one above; those inside can read them, and each session's own files they can write.
pub(super) fn make(node: &Node, it: &Workspace) -> Result<PathBuf, Problem> {
    make_directory(&node.paths.workspace(&it.id))?;
    for directory in [directory(node, it), sessions(node, it)] {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory);
        made.map_err(|error| file("making", &directory, &error))?;
    }
    Ok(directory(node, it))
}

/// Puts everything in place; gives the public host key.
pub(super) async fn prepare(node: &Node, it: &Workspace) -> Result<String, Problem> {
    let directory = make(node, it)?;
    node.workspaces.binary.get_or_try_init(|| require_static(node)).await?;
    binary(node, &directory.join(BINARY)).await?;
    variables(node, it)?;
    replace(&directory.join(TMUX_FILE), &tmux::configuration_inside(Path::new(TMUX_INCLUDE)))?;
    make_host_key(&directory.join(HOST_KEY_FILE), it.name.as_str()).await.or_problem()
}

/// Puts the binary of now in place of an older one.
pub(crate) async fn renew(node: &Node, it: &Workspace) -> Result<(), Problem> {
    binary(node, &directory(node, it).join(BINARY)).await
}

/// Lets a key log in, from now on.
pub(super) fn admit(node: &Node, it: &Workspace, key: &PublicKey) -> Result<(), Problem> {
    let path = directory(node, it).join(AUTHORIZED_KEYS_FILE);
    let mut keys = match std::fs::read_to_string(&path) {
        Ok(keys) => keys,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(file("reading", &path, &error)),
    };
    if keys.lines().any(|line| line == key.as_str()) {
        return Ok(());
    }
    keys.push_str(key.as_str());
    keys.push('\n');
    replace(&path, &keys)
}

/// Writes the variables as they are now.
pub(super) fn variables(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let path = directory(node, it).join(VARIABLES_FILE);
    let lines: String =
        it.variables().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    replace(&path, &lines)
}

pub(super) fn replace(path: &Path, text: &str) -> Result<(), Problem> {
    let part = path.with_extension("part");
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| file("writing", path, &error))
}

/// Which dwell this is: another one whenever its binary is another file.
pub(super) fn maker(node: &Node) -> Result<String, Problem> {
    let own = &node.binary;
    let it = std::fs::metadata(own).map_err(|error| file("reading", own, &error))?;
    let (version, made) = (env!("CARGO_PKG_VERSION"), (it.mtime(), it.mtime_nsec()));
    Ok(format!("{version} {} {}.{}", it.len(), made.0, made.1))
}

async fn require_static(node: &Node) -> Result<(), Problem> {
    let path = &node.binary;
    let mut head = Vec::with_capacity(HEADERS);
    let limit = u64::try_from(HEADERS).unwrap_or_default();
    let read = std::fs::File::open(path).and_then(|it| it.take(limit).read_to_end(&mut head));
    read.map_err(|error| file("reading", path, &error))?;
    if is_static(&head) {
        return Ok(());
    }
    let message = format!("{} is not a static binary, and workspaces need one", path.display());
    Err(Problem::new(Code::ToolMissing, message).hint("build dwell with `make build`"))
}

/// Puts the daemon's binary at a path, unless it is there: as a link where that can be.
async fn binary(node: &Node, place: &Path) -> Result<(), Problem> {
    let own = &node.binary;
    let failed = |error: std::io::Error| file("writing", place, &error);
    let ours = std::fs::metadata(own).map_err(|error| file("reading", own, &error))?;
    if let Ok(there) = std::fs::metadata(place) {
        let linked = there.ino() == ours.ino() && there.dev() == ours.dev();
        let copied = there.len() == ours.len() && there.mtime() >= ours.mtime();
        if linked || copied {
            return Ok(());
        }
    }
    let part = place.with_extension("part");
    let _ = std::fs::remove_file(&part);
    if std::fs::hard_link(own, &part).is_err() {
        tokio::fs::copy(own, &part).await.map_err(failed)?;
    }
    std::fs::rename(&part, place).map_err(failed)
}
