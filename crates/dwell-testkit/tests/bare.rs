//! The bare host itself: there is nothing on it, packages can be installed, nothing is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::process::Command;
use std::time::{Duration, Instant};

use dwell_testkit::{BareHost, TestHome, docker, run};

#[test]
fn it_is_a_server_that_can_be_set_up() {
    let start = Instant::now();
    let Some(host) = BareHost::start() else { return };
    eprintln!("a bare host: {:?}", start.elapsed());
    let home = TestHome::new("/bin/false").ssh_to(&host);
    let mut ssh = home.command("ssh");
    ssh.args(["-o", "BatchMode=yes", "admin@bare", "sudo systemctl is-system-running --wait"]);
    assert_eq!(run(&mut ssh, Duration::from_secs(60)).ok(), "running");
    host.ssh_as("plain", ["systemctl --user show-environment"]).ok();
    host.ssh_as("root", ["loginctl enable-linger plain"]).ok();
    host.ssh_as("plain", ["sudo -n true"]).fails_with(1);
    host.ssh_as("root", ["! which docker git python3 rsync"]).ok();
    let install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends docker.io";
    host.ssh_as("admin", [format!("sudo sh -c '{install}' >/dev/null 2>&1")]).ok();
    host.load("busybox:latest");
    let ran = host.ssh_as("root", ["docker run --rm --network none busybox echo inside"]);
    assert_eq!(ran.ok(), "inside");
    let ran =
        host.ssh_as("root", ["docker run -d --stop-signal KILL --network none busybox sleep 600"]);
    let inside = ran.ok();
    assert!(!groups(inside).is_empty(), "the search finds what is there");
    host.reboot();
    let lingering = host.ssh_as("root", ["loginctl show-user plain -p State"]);
    assert_eq!(lingering.ok(), "State=lingering");
    let label = format!("label=dwell.test={}", host.id());
    drop(host);
    assert_eq!(docker(["ps", "--all", "--quiet", "--filter", &label]).ok(), "");
    assert_eq!(docker(["network", "ls", "--quiet", "--filter", &label]).ok(), "");
    assert_eq!(groups(inside), "");
}

/// The control groups of a container.
fn groups(id: &str) -> String {
    let found = Command::new("find").args(["/sys/fs/cgroup", "-name", id]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}
