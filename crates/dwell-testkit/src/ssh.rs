//! The client's side of ssh: keys, known hosts, a configuration with the hosts' names, and a
//! wrapper that makes programs use them.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::host::Host;
use crate::hosts::Hosts;
use crate::process::run;

/// What a client has to know of a host.
pub struct Target {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// The host's public key, a line.
    pub(crate) key: String,
}

/// Hosts that one private key opens.
pub trait SshTargets {
    /// The hosts.
    fn targets(&self) -> Vec<Target>;

    /// The file with the private key.
    fn identity(&self) -> PathBuf;
}

/// Makes a key pair without a passphrase.
pub(crate) fn make_key(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path);
    run(&mut command, Duration::from_secs(20)).ok();
}

/// Writes `config` and `known_hosts` beside a copy of the `identity`.
pub(crate) fn write(folder: &Path, hosts: &impl SshTargets) {
    write_to(folder, folder, hosts);
}

/// Writes the same as root's of a host.
pub(crate) fn write_inside(host: &Host, hosts: &Hosts) {
    let folder = Path::new("/root/.ssh");
    let outside = host.path(folder);
    write_to(&outside, folder, hosts);
}

/// Writes the files to a folder whose user knows it by another path.
fn write_to(folder: &Path, known_as: &Path, hosts: &impl SshTargets) {
    fs::create_dir_all(folder).expect("a folder can be made");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("a mode can be set");
    let identity = folder.join("identity");
    if identity != hosts.identity() {
        fs::copy(hosts.identity(), &identity).expect("a key can be copied");
    }
    let mut text = String::new();
    for target in hosts.targets() {
        text.push_str(&format!("Host {}\n    HostName {}\n", target.name, target.address));
    }
    let at = known_as.display();
    text.push_str(&format!(
        "Host *\n    User root\n    IdentityFile {at}/identity\n    IdentitiesOnly yes\n    \
         IdentityAgent none\n    UserKnownHostsFile {at}/known_hosts\n    \
         GlobalKnownHostsFile none\n"
    ));
    fs::write(folder.join("config"), text).expect("a file can be written");
    trust(folder, hosts);
}

/// Pins the keys that the hosts have now.
pub(crate) fn trust(folder: &Path, hosts: &impl SshTargets) {
    let targets = hosts.targets();
    let lines = targets.iter().map(|host| format!("{} {}", host.address, host.key));
    fs::write(folder.join("known_hosts"), lines.collect::<String>())
        .expect("a file can be written");
}

/// Writes an `ssh` that takes the configuration of a folder.
pub(crate) fn wrapper(folder: &Path) -> String {
    format!("#!/bin/sh\nexec /usr/bin/ssh -F {}/config \"$@\"\n", folder.display())
}
