//! What listens where this process runs, or where another one of this machine does.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dwell_core::listening::{ENGINE_NAMES, Listener, Listening, inode, read};

/// Looks, by the tables of a process's network and by what all processes have open, as far as
/// this one may see that. Nothing is woken by it.
///
/// # Errors
/// When there are no such tables, as where the process has ended.
pub fn look(process: Option<u32>) -> io::Result<Vec<Listener>> {
    let own = process.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let network = Path::new("/proc").join(own).join("net");
    let mut sockets = read(&fs::read_to_string(network.join("tcp"))?);
    // A kernel without IPv6 has no such table.
    sockets.extend(read(&fs::read_to_string(network.join("tcp6")).unwrap_or_default()));
    let owners = owners(&sockets);
    let mut all: Vec<Listener> = sockets
        .into_iter()
        .filter(|socket| socket.address != ENGINE_NAMES)
        .map(|socket| {
            let (pid, process) = owners.get(&socket.inode).cloned().unzip();
            Listener { port: socket.port, address: socket.address, process, pid }
        })
        .collect();
    all.sort();
    // Several processes of one service may share a port.
    all.dedup_by(|a, b| (a.port, a.address) == (b.port, b.address));
    Ok(all)
}

/// Looks as every user of this machine, of whom each sees what its own processes have open: root
/// sees no more than that in a container. `again` is this program with the arguments by which it
/// prints what [`look`] gives.
///
/// # Errors
/// As [`look`].
pub fn look_as_all(again: impl Fn() -> Command) -> io::Result<Vec<Listener>> {
    let mut all = look(None)?;
    for (user, group) in users() {
        if all.iter().all(|listener| listener.process.is_some()) {
            break;
        }
        let said = again().uid(user).gid(group).stdin(Stdio::null()).output();
        // Who cannot run it is not told of.
        let Ok(said) = said else { continue };
        let seen: Vec<Listener> = serde_json::from_slice(&said.stdout).unwrap_or_default();
        for listener in &mut all {
            let is_it = |it: &&Listener| (it.port, it.address) == (listener.port, listener.address);
            if listener.process.is_none()
                && let Some(found) = seen.iter().find(is_it)
            {
                (listener.process, listener.pid) = (found.process.clone(), found.pid);
            }
        }
    }
    Ok(all)
}

/// Whom processes belong to, but for root.
fn users() -> BTreeSet<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    let owner = |entry: fs::DirEntry| entry.metadata().ok().map(|it| (it.uid(), it.gid()));
    numbered.filter_map(owner).filter(|(user, _)| *user != 0).collect()
}

/// The processes that have sockets open, by the sockets' numbers.
fn owners(sockets: &[Listening]) -> HashMap<u64, (u32, String)> {
    let mut owners = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // A server's first process comes before those that it made.
    pids.sort_unstable();
    for pid in pids {
        let place = Path::new("/proc").join(pid.to_string());
        for file in fs::read_dir(place.join("fd")).into_iter().flatten().flatten() {
            let link = fs::read_link(file.path()).ok();
            let number = link.as_deref().and_then(Path::to_str).and_then(inode);
            let Some(number) = number.filter(|n| sockets.iter().any(|s| s.inode == *n)) else {
                continue;
            };
            owners.entry(number).or_insert_with(|| (pid, name(&place)));
        }
    }
    owners
}

/// The last part of the program's path as it was called, else what the kernel calls it.
fn name(place: &Path) -> String {
    let line = fs::read(place.join("cmdline")).unwrap_or_default();
    let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let program = String::from_utf8_lossy(program);
    let first = program.split_whitespace().next().unwrap_or_default();
    let last = first.rsplit('/').next().unwrap_or_default().trim_end_matches(':');
    if last.is_empty() {
        return fs::read_to_string(place.join("comm")).unwrap_or_default().trim().to_owned();
    }
    last.to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_this_process_listens_at_is_seen() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0").unwrap();
        for process in [None, Some(std::process::id())] {
            let seen = look(process).unwrap();
            for own in [&four, &six] {
                let own = own.local_addr().unwrap();
                let mut found =
                    seen.iter().filter(|it| it.port == own.port() && it.address == own.ip());
                assert_eq!(found.next().unwrap().pid, Some(std::process::id()), "{seen:?}");
            }
        }
        assert!(look(Some(u32::MAX)).is_err());
    }
}
