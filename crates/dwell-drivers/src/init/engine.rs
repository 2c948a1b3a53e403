//! The Docker engine of a workspace, where it has one of its own; and the host's, where it was let
//! in.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use dwell_core::workspace::{
    DOCKER_LOG, DOCKER_VARIABLE, Docker, HOME, HOST_SOCKET, RUNTIME, UID, USER,
};

use super::account::run;
use super::supervised::Supervised;

/// What maps users; with capabilities of files they need no more rights than that.
const MAPPERS: [(&str, &str); 2] =
    [("/usr/bin/newuidmap", "cap_setuid=ep"), ("/usr/bin/newgidmap", "cap_setgid=ep")];
/// Devices that an engine without root uses.
const DEVICES: [&str; 2] = ["/dev/net/tun", "/dev/fuse"];

/// The engine that the node asks for, made ready to be started.
pub(super) fn find(variables: &[String]) -> Option<Supervised> {
    let wanted = variables.iter().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name == DOCKER_VARIABLE).then_some(value)
    });
    let (troubles, start): (_, Option<fn() -> Command>) = match wanted?.parse().ok()? {
        Docker::None => return None,
        Docker::Socket => (let_in(), None),
        Docker::Rootless => (prepare_rootless(), Some(rootless)),
        Docker::Dind => (prepare_rooted(), Some(rooted)),
    };
    for trouble in troubles {
        super::say(&format!("dwell: {trouble}"));
    }
    start.map(|start| Supervised::new("the Docker engine", start))
}

/// The user may use the socket of the host's engine, by the group that it has.
fn let_in() -> Vec<String> {
    let Ok(seen) = fs::metadata(HOST_SOCKET) else { return Vec::new() };
    if !seen.file_type().is_socket() {
        return vec![format!("{HOST_SOCKET} is no socket")];
    }
    let group = seen.gid().to_string();
    let named = fs::read_to_string("/etc/group").unwrap_or_default().lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1) == Some(group.as_str())).then_some(name)
    });
    let mut troubles = Vec::new();
    let name = named.unwrap_or_else(|| {
        troubles.extend(run("groupadd", &["--gid", &group, "dwell-docker"]).err());
        "dwell-docker".to_owned()
    });
    troubles.extend(run("usermod", &["--append", "--groups", &name, USER]).err());
    troubles
}

fn prepare_rootless() -> Vec<String> {
    let mut troubles = Vec::new();
    for (program, capability) in MAPPERS {
        // A program that becomes root is refused where root itself has few rights.
        if fs::metadata(program).is_ok_and(|seen| seen.permissions().mode() & 0o4000 != 0) {
            troubles.extend(
                fs::set_permissions(program, Permissions::from_mode(0o755))
                    .err()
                    .map(|e| e.to_string()),
            );
            troubles.extend(run("setcap", &[capability, program]).err());
        }
    }
    for device in DEVICES {
        let opened = fs::set_permissions(device, Permissions::from_mode(0o666));
        troubles.extend(opened.err().filter(|_| Path::new(device).exists()).map(|e| e.to_string()));
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let known = fs::read_to_string(file).unwrap_or_default();
        if !known.lines().any(|line| line.starts_with("dev:")) {
            let all = format!("{known}{USER}:100000:65536\n");
            troubles.extend(fs::write(file, all).err().map(|e| format!("{file}: {e}")));
        }
    }
    troubles
}

/// An engine with root takes file systems that can be written to.
fn prepare_rooted() -> Vec<String> {
    let mut troubles = Vec::new();
    troubles.extend(run("mount", &["-o", "remount,bind,rw", "/sys"]).err());
    let groups = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    for group in groups.filter(|entry| entry.path().is_dir()) {
        // Of those that are no mounts of their own the one above decides.
        let _ = run("mount", &["-o", "remount,bind,rw", &group.path().display().to_string()]);
    }
    let _ = run("mount", &["-o", "remount,bind,rw", "/sys/fs/cgroup"]);
    let _ = run("groupadd", &["--force", "docker"]);
    troubles.extend(run("usermod", &["--append", "--groups", "docker", USER]).err());
    troubles
}

/// What an engine says goes to a file that is made anew at every start.
fn log(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(file) = File::create(DOCKER_LOG)
        && let Ok(too) = file.try_clone()
    {
        let _ = fs::set_permissions(DOCKER_LOG, Permissions::from_mode(0o644));
        command.stdout(file).stderr(too);
    }
}

fn rootless() -> Command {
    // Left of a life that was killed.
    for name in ["docker.pid", "docker.sock", "docker", "dockerd-rootless"] {
        let path = Path::new(RUNTIME).join(name);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    let _ = chown(RUNTIME, Some(UID), Some(UID));
    let mut command = Command::new("dockerd-rootless.sh");
    let search = std::env::var("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", format!("{search}:/usr/sbin:/sbin"))
        .envs([("HOME", HOME), ("USER", USER), ("XDG_RUNTIME_DIR", RUNTIME)])
        .current_dir(HOME)
        .uid(UID)
        .gid(UID);
    log(&mut command);
    command
}

fn rooted() -> Command {
    for path in ["/var/run/docker.pid", "/var/run/docker/containerd/containerd.pid"] {
        let _ = fs::remove_file(path);
    }
    let mut command = Command::new("dockerd");
    command.args(["--host", "unix:///var/run/docker.sock"]).current_dir("/");
    log(&mut command);
    command
}
