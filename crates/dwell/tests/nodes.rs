//! Registering a bare machine as a node, looking after it and forgetting it, over a real ssh.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dwell_testkit::{Host, HostPlan, Hosts, TestHome};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A host with an engine and a user, and a home that reaches it.
fn bench() -> Option<(Hosts, TestHome)> {
    let hosts = Hosts::start([HostPlan::new("box").user("alice").engine()])?;
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell")).ssh_to(&hosts);
    Some((hosts, home))
}

fn installed(host: &Host) -> PathBuf {
    host.path("/home/alice/.local/share/dwell/bin/dwell")
}

#[test]
fn a_bare_machine_becomes_a_node_and_is_forgotten() {
    let Some((hosts, home)) = bench() else { return };
    let host = hosts.host("box");
    assert!(home.dwell(["remote", "ls"]).ok().contains("no nodes yet"));
    let added = home.dwell(["remote", "add", "red", "--host", "alice@box"]);
    assert!(added.ok().starts_with(&format!("red is ready: dwell {VERSION} on box")), "{added:?}");
    assert_eq!(fs::metadata(installed(host)).unwrap().permissions().mode() & 0o777, 0o755);

    let listed = home.dwell(["remote", "ls", "--json"]).json();
    assert_eq!(listed[0]["link"]["state"], "up");
    assert_eq!(listed[0]["link"]["via"], "ssh");
    assert_eq!(listed[0]["hello"]["user"], "alice");
    assert_eq!(home.dwell(["host", "list", "-q"]).ok(), "red");
    assert!(home.dwell(["remote", "ping", "red"]).ok().ends_with(" ms over ssh"));
    let status = home.dwell(["remote", "status", "--json"]).json();
    assert_eq!(status[0]["node"], "local");
    assert_eq!(status[1]["machine"]["host"], "box");
    assert!(home.dwell(["remote", "status", "red"]).ok().contains("environments: none"));

    // The very same binary is not sent again; another way to reach it is taken.
    let again = home.dwell(["remote", "add", "red", "--host", "box", "--user", "alice"]);
    again.ok();
    assert!(!again.stderr.contains("sending"), "{again:?}");

    home.dwell(["remote", "remove", "red"]).ok();
    home.dwell(["remote", "ping", "red"]).fails_with(3);
    home.dwell(["remote", "rm", "red"]).fails_with(3);
}

#[test]
fn another_version_is_replaced_and_its_daemon_with_it() {
    let Some((hosts, home)) = bench() else { return };
    let host = hosts.host("box");
    home.dwell(["remote", "add", "red", "--host", "alice@box"]).ok();
    let first = home.dwell(["remote", "upgrade", "red"]);
    assert_eq!(first.ok(), format!("red has dwell {VERSION} already"));

    let told = host.path("/home/alice/told");
    let old = "#!/bin/sh\n[ \"$*\" = --version ] && echo dwell 0.0.1 || echo \"$*\" >> ~/told\n";
    fs::write(host.path("/home/alice/old"), old).unwrap();
    let replace = "cp old own && chmod 755 own && mv own .local/share/dwell/bin/dwell";
    host.ssh_as("alice", [replace]).ok();
    let upgraded = home.dwell(["remote", "upgrade", "--all"]);
    assert_eq!(upgraded.ok(), format!("red has dwell {VERSION} now, and had 0.0.1"));
    assert!(upgraded.stderr.contains("ending the old daemon"), "{upgraded:?}");
    // The one that is there now tells the running daemon.
    assert!(!told.exists());
    home.dwell(["remote", "ping", "red"]).ok();

    fs::write(host.path("/home/alice/new"), old.replace("0.0.1", "99.0.0")).unwrap();
    host.ssh_as("alice", [replace.replace("old", "new")]).ok();
    let newer = home.dwell(["remote", "upgrade", "red"]);
    assert!(newer.fails_with(5).contains("99.0.0, which is newer"), "{newer:?}");
}

#[test]
fn what_keeps_a_node_from_being_added_is_told_and_nothing_is_registered() {
    let Some((hosts, home)) = bench() else { return };
    let host = hosts.host("box");
    let add = |more: &[&str]| {
        let words = ["remote", "add", "red", "--host", "box"];
        home.dwell(words.iter().chain(more))
    };
    home.forget_hosts();
    assert!(add(&[]).fails_with(8).contains("the host's key is not known"));
    home.trust_hosts(&hosts);
    host.change_key();
    assert!(add(&[]).fails_with(8).contains("ssh-keygen"));
    home.trust_hosts(&hosts);
    assert!(add(&["--user", "nobody"]).fails_with(8).contains("permission denied"));
    host.refuse();
    assert!(add(&[]).fails_with(8).contains("refused"));
    host.accept();
    let named = home.dwell(["remote", "add", "local", "--host", "box"]);
    assert!(named.fails_with(2).contains("always means this machine"), "{named:?}");
    let option = home.dwell(["remote", "add", "red", "--host=-oProxyCommand=x"]);
    option.fails_with(2);
    assert_eq!(home.dwell(["remote", "ls", "--json"]).ok(), "[]");
}

#[test]
fn preparing_shows_its_steps_and_changes_nothing_where_all_is_there() {
    let Some((_hosts, home)) = bench() else { return };
    home.dwell(["remote", "add", "red", "--host", "alice@box"]).ok();
    let ready = home.dwell(["remote", "init", "red", "--dry-run", "--json"]).json();
    assert_eq!(ready["steps"], serde_json::json!([]));
    assert_eq!(home.dwell(["remote", "init", "red"]).ok(), "red is prepared");
}
