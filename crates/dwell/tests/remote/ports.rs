//! Ports below 1024 of services on other nodes, for a user who is not root.

use std::fs;
use std::time::Duration;

use dwell_testkit::{Host, HostPlan, Hosts, Ran, wait_until};

use crate::bench::binary;

const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["httpd", "-f", "-p", "80"]
    expose: ["80"]
    init: true
"#;

/// Where the laptop's user has dwell.
const DWELL: &str = "/usr/local/bin/dwell";

/// A laptop with a user, and a node on which an environment of that user serves port 80.
fn laptop_and_node() -> Option<Hosts> {
    let node = HostPlan::new("one").images(["busybox:latest"]);
    let hosts = Hosts::start([HostPlan::new("laptop").user("me"), node])?;
    hosts.let_reach_each_other("laptop");
    let laptop = hosts.host("laptop");
    laptop.install(binary(), DWELL);
    hosts.host("one").install(binary(), "/root/.local/share/dwell/bin/dwell");
    laptop
        .shell(
            "cp -r /root/.ssh /home/me/\nsed -i s:/root/:/home/me/: /home/me/.ssh/config\n\
             mkdir /home/me/shop\nchown -R me: /home/me",
        )
        .ok();
    fs::write(laptop.path("/home/me/shop/compose.yaml"), COMPOSE).unwrap();
    me(laptop, "cd shop && git init -q && git add . && git -c user.name=me -c user.email=me@laptop commit -qm first").ok();
    me(laptop, "dwell remote add one --host root@one").ok();
    me(laptop, "cd shop && dwell up red --remote one").ok();
    Some(hosts)
}

fn me(laptop: &Host, command: &str) -> Ran {
    laptop.ssh_as("me", [command])
}

/// Changes the laptop as the user would with sudo.
fn sudo_setup(laptop: &Host, more: &str) -> Ran {
    let id = me(laptop, "id -u");
    laptop.shell(&format!(
        "env HOME=/home/me SUDO_UID={} {DWELL} setup --no-resolver --no-service {more}",
        id.ok()
    ))
}

/// What the doctor says of the ports: whether they are well, and what to do.
fn doctor(laptop: &Host) -> (bool, String) {
    let found = me(laptop, "dwell doctor ports --json").stdout;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let finding = found["findings"].as_array().unwrap().first().cloned().unwrap_or_default();
    (finding["ok"] == true, format!("{} {}", finding["detail"], finding["fix"]))
}

/// Whether something answers at a port of the service's address.
fn answers(laptop: &Host, port: u16) -> bool {
    let shown = me(laptop, "cd shop && dwell status red --json");
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
    let Some(address) = shown["services"][0]["addresses"][0].as_str() else { return false };
    me(laptop, &format!("curl -s -o /dev/null http://{address}:{port}/")).code == Some(0)
}

/// The next daemon has what was changed.
fn restart(laptop: &Host) {
    me(laptop, "dwell node stop && dwell node start").ok();
}

#[test]
fn setup_gives_the_binary_the_right_and_takes_it_back() {
    let Some(hosts) = laptop_and_node() else { return };
    let laptop = hosts.host("laptop");
    let soon = Duration::from_secs(20);
    wait_until(soon, "it is found at the higher port", || answers(laptop, 10_080));
    assert!(!answers(laptop, 80));
    let (well, told) = doctor(laptop);
    assert!(!well && told.contains("80") && told.contains("`dwell setup`"), "{told}");

    let dry = sudo_setup(laptop, "--dry-run");
    assert!(dry.ok().contains("setcap cap_net_bind_service=+ep /usr/local/bin/dwell"), "{dry:?}");
    sudo_setup(laptop, "--yes").ok();
    let (well, told) = doctor(laptop);
    assert!(!well && told.contains("`dwell node stop`"), "{told}");
    restart(laptop);
    wait_until(soon, "it is found at its own port", || answers(laptop, 80));
    assert!(doctor(laptop).0 && !answers(laptop, 10_080));
    assert!(sudo_setup(laptop, "--dry-run").ok().contains("nothing to change"));

    // A new binary does not have it.
    laptop.shell(&format!("cp {DWELL} /usr/local/bin/new && mv /usr/local/bin/new {DWELL}")).ok();
    restart(laptop);
    wait_until(soon, "it is found at the higher port again", || answers(laptop, 10_080));
    sudo_setup(laptop, "--yes").ok();
    sudo_setup(laptop, "--undo --yes").ok();
    assert_eq!(laptop.shell(&format!("getcap {DWELL}")).ok(), "");
}

#[test]
fn without_setcap_the_kernel_is_told() {
    let Some(hosts) = laptop_and_node() else { return };
    let laptop = hosts.host("laptop");
    laptop.shell("mount --bind /dev/null /usr/sbin/setcap").ok();
    let setting =
        || laptop.shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start").ok().to_owned();
    let before = setting();
    sudo_setup(laptop, "--yes").ok();
    assert_eq!(setting(), "0");
    restart(laptop);
    wait_until(Duration::from_secs(20), "it is found at its own port", || answers(laptop, 80));
    assert!(doctor(laptop).0);
    sudo_setup(laptop, "--undo --yes").ok();
    assert_eq!(setting(), before);
    assert!(sudo_setup(laptop, "--undo --dry-run").ok().contains("nothing to change"));
}
