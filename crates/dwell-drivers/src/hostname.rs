//! Calling a container's host something else while it runs. The engine gives a host name once and
//! for all; the kernel takes another one from who has rights over the container.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::system::sethostname;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cgroup::ControlGroup;

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";

/// A running container as the engine tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The engine's id.
    pub id: String,
    /// Its first process.
    pub pid: u32,
    /// The host name that it was made with.
    pub hostname: String,
    /// Where the engine keeps its `/etc/hostname`.
    pub hostname_file: String,
    /// Where the engine keeps its `/etc/hosts`.
    pub hosts_file: String,
    /// The engine's id of its image.
    pub image_id: String,
    /// Whether the engine has frozen it.
    pub paused: bool,
}

/// Calls the host of a container on this machine something else than `before`, from outside. Takes
/// root.
///
/// # Errors
/// When this user may not, or the container's process is not on this machine.
pub fn change(container: &Running, before: &[&str], name: &str) -> io::Result<()> {
    let space = File::open(format!("/proc/{}/ns/uts", container.pid))?;
    // Once that is open the number may be another process's.
    if ControlGroup::of(&container.id, container.pid).is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let bytes = name.as_bytes().to_owned();
    // A thread of its own, which ends with the foreign name space.
    let set = std::thread::spawn(move || {
        move_into_link_name_space(
            space.as_fd(),
            Some(LinkNameSpaceType::HostNameAndNISDomainName),
        )?;
        sethostname(&bytes)
    });
    set.join().map_err(|_| io::Error::other("the thread ended"))??;
    let (hostname, hosts) = (&container.hostname_file, &container.hosts_file);
    write(Path::new(hostname), Path::new(hosts), before, name)
}

/// Calls the host that this runs on something else than `before`. Takes the rights of a privileged
/// command in a container.
///
/// # Errors
/// When this process may not.
pub fn change_own(before: &[&str], name: &str) -> io::Result<()> {
    sethostname(name.as_bytes())?;
    write(Path::new(HOSTNAME), Path::new(HOSTS), before, name)
}

/// The files are mounted where they are, so they are written in place.
fn write(hostname: &Path, hosts: &Path, before: &[&str], name: &str) -> io::Result<()> {
    fs::write(hostname, format!("{name}\n"))?;
    let text = fs::read_to_string(hosts)?;
    let renamed = renamed(&text, before, name);
    if renamed == text { Ok(()) } else { fs::write(hosts, renamed) }
}

/// Lines of hosts with one name for others; nothing else of them changes.
fn renamed(text: &str, before: &[&str], name: &str) -> String {
    let line = |line: &str| {
        let (entry, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let mut words = entry.split_inclusive([' ', '\t', '\n']);
        let address = words.next().unwrap_or_default();
        let names = words.map(|word| {
            let bare = word.trim_end();
            let rest = word.get(bare.len()..).unwrap_or_default();
            if before.contains(&bare) { format!("{name}{rest}") } else { word.to_owned() }
        });
        format!("{address}{}{comment}", names.collect::<String>())
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_changes() {
        let text = "127.0.0.1\tlocalhost\n# abc stays\n10.0.0.2\tabc\n10.0.1.2\tabc abc.x # abc\nabc\tabcd";
        let wanted = "127.0.0.1\tlocalhost\n# abc stays\n10.0.0.2\tbox\n10.0.1.2\tbox abc.x # abc\nabc\tabcd";
        assert_eq!(renamed(text, &["abc"], "box"), wanted);
        assert_eq!(renamed(wanted, &["x", "abc"], "box"), wanted);
        assert_eq!(renamed("", &["abc"], "box"), "");
    }

    #[test]
    fn the_files_stay_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let (hostname, hosts) = (folder.path().join("hostname"), folder.path().join("hosts"));
        fs::write(&hostname, "abc\n").unwrap();
        fs::write(&hosts, "10.0.0.2\tabc\n").unwrap();
        let open = File::open(&hosts).unwrap();
        write(&hostname, &hosts, &["abc"], "box").unwrap();
        assert_eq!(fs::read_to_string(&hostname).unwrap(), "box\n");
        assert_eq!(io::read_to_string(open).unwrap(), "10.0.0.2\tbox\n");
    }

    #[test]
    fn a_process_that_is_not_the_containers_is_left_alone() {
        let before = rustix::system::uname().nodename().to_owned();
        let it = Running {
            id: "0123".to_owned(),
            pid: std::process::id(),
            hostname: "abc".to_owned(),
            hostname_file: String::new(),
            hosts_file: String::new(),
            image_id: String::new(),
            paused: false,
        };
        assert!(change(&it, &["abc"], "box").is_err());
        assert_eq!(rustix::system::uname().nodename(), before.as_c_str());
    }
}
