//! Sign-ins of agents that workspaces of this node share: one directory for each agent, mounted into
//! those that ask for it. There is no other copy; what is in it is told to nobody.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use dwell_api::credentials::{Credentials, ImportCredentials};
use dwell_api::{Code, Problem};
use dwell_core::credentials::{CREDENTIALS, SignIn, file_name};
use dwell_core::workspace::Workspace;
use dwell_drivers::docker::Directory;

use crate::facts::make_directory;
use crate::node::Node;
use crate::problem::{OrProblem, file};

/// The directory of an agent. Only this user may enter the one above; inside, workspaces write to
/// it as a user whom this machine need not know.
fn directory(node: &Node, agent: SignIn) -> Result<PathBuf, Problem> {
    let above = node.paths.credentials();
    make_directory(&above)?;
    let place = above.join(agent.as_str());
    make_directory(&place)?;
    let opened = fs::set_permissions(&place, Permissions::from_mode(0o777));
    opened.map_err(|error| file("opening", &place, &error))?;
    Ok(place)
}

/// The directories that a workspace sees.
pub(super) fn directories(node: &Node, it: &Workspace) -> Result<Vec<Directory>, Problem> {
    let each = |agent: &SignIn| {
        let target = PathBuf::from(CREDENTIALS).join(agent.as_str());
        Ok(Directory { source: directory(node, *agent)?, target, writable: true })
    };
    it.credentials.iter().map(each).collect()
}

/// All sign-ins that there are or that workspaces share.
pub(crate) async fn list(node: &Node) -> Result<Vec<Credentials>, Problem> {
    let mut all = Vec::new();
    for agent in SignIn::ALL {
        let it = one(node, agent).await?;
        if it.present || !it.workspaces.is_empty() {
            all.push(it);
        }
    }
    Ok(all)
}

/// One sign-in, without what is in it.
pub(crate) async fn one(node: &Node, agent: SignIn) -> Result<Credentials, Problem> {
    let mut workspaces = node.store.workspaces().await.or_problem()?;
    workspaces.retain(|it| it.kept.is_none() && it.credentials.contains(&agent));
    let place = node.paths.credentials().join(agent.as_str());
    let renewed = agent.files().iter().filter_map(|path| {
        let seen = fs::symlink_metadata(place.join(file_name(path))).ok()?;
        let since = seen.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_micros()).ok().filter(|_| seen.is_file())
    });
    let renewed = renewed.max();
    Ok(Credentials {
        agent,
        present: renewed.is_some(),
        renewed,
        workspaces: workspaces.into_iter().map(|it| it.name).collect(),
    })
}

/// Takes over a sign-in.
pub(crate) fn import(
    node: &Node,
    agent: SignIn,
    request: &ImportCredentials,
) -> Result<(), Problem> {
    let known = agent.named(&request.name).ok_or_else(|| {
        let message = format!("`{}` is no file of {agent}'s sign-in", request.name.escape_debug());
        Problem::new(Code::InvalidArgument, message)
    })?;
    let place = directory(node, agent)?.join(file_name(known));
    // Only its name tells it from what a workspace may have put there.
    let part = node.paths.credentials().join(format!("{agent}.part"));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(request.content.as_bytes()))
        // Those inside are another user; nobody else on this machine gets here.
        .and_then(|()| fs::set_permissions(&part, Permissions::from_mode(0o666)))
        .and_then(|()| fs::rename(&part, &place));
    written.map_err(|error| file("writing", &place, &error))
}

/// Forgets a sign-in.
pub(crate) fn forget(node: &Node, agent: SignIn) -> Result<(), Problem> {
    let place = node.paths.credentials().join(agent.as_str());
    let entries = match fs::read_dir(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| file("reading", &place, &error))?,
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // An agent's lock is a directory.
        let removed = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(file("removing", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}
