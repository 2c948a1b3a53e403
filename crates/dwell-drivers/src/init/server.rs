//! The ssh server of a workspace: started where the image has one, and again when it ends.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::supervised::Supervised;
use dwell_core::workspace::{
    AGENT_SOCKET, AGENT_VARIABLE, AUTHORIZED_KEYS_FILE, GIVEN, HOST_KEY_FILE, USER, VARIABLES_FILE,
};

pub(super) const PROGRAM: &str = "/usr/sbin/sshd";
/// Where the server keeps its unprivileged half; it does not make it itself.
const EMPTY: &str = "/run/sshd";
/// Settings of the server. Nothing of the image's own holds, so that every image behaves alike.
const SETTINGS: [&str; 14] = [
    "Port=22",
    "PidFile=none",
    "UsePAM=no",
    "PermitRootLogin=no",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "PubkeyAuthentication=yes",
    // The keys are in a directory that only the node writes.
    "StrictModes=no",
    // A client that is gone is noticed, so that its agent is asked no more.
    "ClientAliveInterval=15",
    "ClientAliveCountMax=3",
    "X11Forwarding=no",
    "PrintMotd=no",
    "UseDNS=no",
    "Subsystem=sftp internal-sftp",
];

/// The server of the image, where it has one and the node made a host key.
pub(super) fn find() -> Option<Supervised> {
    let there = Path::new(PROGRAM).exists() && Path::new(GIVEN).join(HOST_KEY_FILE).exists();
    there.then(|| Supervised::new(PROGRAM, command))
}

fn command() -> Command {
    // It is there after the first start.
    let _ = std::fs::DirBuilder::new().mode(0o755).create(EMPTY);
    let mut command = Command::new(PROGRAM);
    command.args(arguments(&variables())).stdin(Stdio::null());
    command
}

/// The variables that the node gives, as `NAME=value`.
pub(super) fn variables() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(GIVEN).join(VARIABLES_FILE)).unwrap_or_default();
    text.lines().filter(|line| line.contains('=')).map(str::to_owned).collect()
}

/// Whether connections may forward their ssh agent: then programs are told where it is.
pub(super) fn allows_agents() -> bool {
    forwards_agents(&variables())
}

fn forwards_agents(variables: &[String]) -> bool {
    let ours = format!("{AGENT_VARIABLE}={AGENT_SOCKET}");
    variables.contains(&ours)
}

fn arguments(variables: &[String]) -> Vec<String> {
    let mut settings: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
    // Who comes was let in by the node already; many may come at once to one that just woke.
    settings.push("MaxStartups=1000".to_owned());
    settings.push(format!("AllowUsers={USER}"));
    settings.push(format!("HostKey={GIVEN}/{HOST_KEY_FILE}"));
    settings.push(format!("AuthorizedKeysFile={GIVEN}/{AUTHORIZED_KEYS_FILE}"));
    let agents = if forwards_agents(variables) { "yes" } else { "no" };
    settings.push(format!("AllowAgentForwarding={agents}"));
    if !variables.is_empty() {
        settings.push(format!("SetEnv={}", variables.join(" ")));
    }
    let mut arguments: Vec<String> = ["-D", "-e", "-f", "/dev/null"].map(str::to_owned).into();
    for setting in settings {
        arguments.extend(["-o".to_owned(), setting]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_gets_what_the_node_gives_and_nothing_of_the_image() {
        let line = arguments(&["A=1".to_owned(), "B=2".to_owned()]).join(" ");
        assert!(line.starts_with("-D -e -f /dev/null -o "), "{line}");
        assert!(line.contains("HostKey=/run/dwell/ssh_host_ed25519_key"), "{line}");
        assert!(line.ends_with("SetEnv=A=1 B=2"), "{line}");
        assert!(!arguments(&[]).join(" ").contains("SetEnv"));
        assert!(arguments(&[]).join(" ").contains("AllowAgentForwarding=no"));
        let agent = arguments(&[format!("{AGENT_VARIABLE}={AGENT_SOCKET}")]).join(" ");
        assert!(agent.contains("AllowAgentForwarding=yes"), "{agent}");
    }
}
