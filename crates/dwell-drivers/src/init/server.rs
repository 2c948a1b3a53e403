//! The ssh server of a workspace: started where the image has one, and again when it ends.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dwell_core::workspace::{
    AGENT_SOCKET, AGENT_VARIABLE, AUTHORIZED_KEYS_FILE, GIVEN, HOST_KEY_FILE, USER, VARIABLES_FILE,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

const PROGRAM: &str = "/usr/sbin/sshd";
/// Where the server keeps its unprivileged half; it does not make it itself.
const EMPTY: &str = "/run/sshd";
/// The pause before a server that ended is started again, and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// One that ran for so long was well.
const WELL: Duration = Duration::from_secs(10);

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

/// The ssh server, if there is one.
pub(super) struct Server {
    there: bool,
    running: Option<(Pid, Instant)>,
    next: Option<Instant>,
    pause: Duration,
}

impl Server {
    /// The server of the image, where it has one and the node made a host key.
    pub(super) fn find() -> Self {
        let there = Path::new(PROGRAM).exists() && Path::new(GIVEN).join(HOST_KEY_FILE).exists();
        Self { there, running: None, next: None, pause: PAUSE }
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&mut self) {
        self.next = None;
        if !self.there || self.running.is_some() {
            return;
        }
        // It is there after the first start.
        let _ = std::fs::DirBuilder::new().mode(0o755).create(EMPTY);
        let mut command = Command::new(PROGRAM);
        command.args(arguments(&variables())).stdin(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                self.running = pid.map(|pid| (pid, Instant::now()));
            }
            Err(error) => {
                super::say(&format!("dwell: {PROGRAM} could not be started: {error}"));
                self.later();
            }
        }
    }

    /// A process has ended, which may be this.
    pub(super) fn ended(&mut self, pid: Pid) {
        let Some((_, since)) = self.running.filter(|(own, _)| *own == pid) else { return };
        self.running = None;
        if since.elapsed() > WELL {
            self.pause = PAUSE;
        }
        self.later();
    }

    fn later(&mut self) {
        self.next = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Ends it so that it is started with the settings of now; connections go on.
    pub(super) fn restart(&mut self) {
        if let Some((pid, _)) = self.running {
            self.pause = PAUSE;
            // It may have ended just now.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends when it is to be started; never while it is not.
    pub(super) async fn due(&self) {
        match self.next {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// The variables that the node gives, as `NAME=value`.
fn variables() -> Vec<String> {
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

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_stay_up_is_started_ever_less_often() {
        let mut server = Server { there: false, running: None, next: None, pause: PAUSE };
        let pid = Pid::from_raw(7).unwrap();
        let mut waits = Vec::new();
        for _ in 0..12 {
            server.running = Some((pid, Instant::now()));
            server.ended(pid);
            let begun = Instant::now();
            server.due().await;
            waits.push(begun.elapsed());
        }
        assert!(waits[1] > waits[0] && *waits.last().unwrap() <= PAUSE_MAX + PAUSE);
        server.running = Some((pid, Instant::now()));
        tokio::time::advance(WELL * 2).await;
        server.ended(pid);
        let begun = Instant::now();
        server.due().await;
        assert!(begun.elapsed() < PAUSE * 2);
    }
}
