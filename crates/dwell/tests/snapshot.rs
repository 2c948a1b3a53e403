//! Snapshots of workspaces, going back to one, copies, and upgrades with setup steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::Duration;

use dwell_testkit::{Ran, TestHome, docker, has_image, labelled, show, wait_until};

const IMAGE: &str = "debian:bookworm";
/// Another image of the same family, with more packages.
const OTHER: &str = "dwell-test-workspace";

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn create(home: &TestHome, name: &str) {
    home.dwell(["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
}

#[track_caller]
fn sh(home: &TestHome, name: &str, line: &str) -> Ran {
    home.dwell(["ws", "exec", "-u", "root", name, "--", "sh", "-c", line])
}

/// Everything in Docker that belongs to a workspace: containers, volumes and images.
fn left(id: &str) -> (usize, usize, usize) {
    let own = format!("dwell.workspace={id}");
    let images = docker(["images", "-q", &format!("dwell-ws-{id}")]);
    let count = |kind| labelled(None, kind, &own).len();
    (count("container"), count("volume"), images.ok().lines().count())
}

fn start_with(home: &TestHome, fault: &str) {
    let mut daemon = home.dwell_command();
    let daemon = daemon.args(["node", "start"]).env("DWELL_TEST_FAULT", fault);
    dwell_testkit::run(daemon, Duration::from_secs(30)).ok();
}

#[test]
fn a_workspace_goes_back_to_a_snapshot_and_copies_begin_as_one() {
    let home = home();
    create(&home, "box");
    let id = show(&home, "box")["id"].as_str().unwrap().to_owned();
    sh(&home, "box", "echo one > /opt/file; echo one > /home/dev/file; chown dev /home/dev/file")
        .ok();
    // Processes are there before and after: nothing is ended for a snapshot.
    sh(&home, "box", "sleep 1000 > /dev/null 2>&1 &").ok();
    home.dwell(["ws", "snapshot", "create", "box", "clean"]).ok();
    home.dwell(["ws", "snapshot", "create", "box", "clean"]).fails_with(5);
    assert!(
        sh(&home, "box", "ls -d /proc/[0-9]*; cat /proc/*/cmdline | tr '\\0' ' '")
            .ok()
            .contains("sleep 1000")
    );
    sh(&home, "box", "echo two > /opt/file; echo two > /home/dev/file; echo two > /home/dev/more")
        .ok();
    home.dwell(["ws", "snapshot", "create", "box"]).ok();
    let all = home.dwell(["ws", "snapshot", "ls", "box", "--json"]).json();
    assert_eq!((&all[0]["name"], &all[1]["name"]), (&"clean".into(), &"s2".into()));
    assert!(all[0]["home_bytes"].as_u64().unwrap() > 0, "{all}");
    assert_eq!(left(&id), (1, 3, 2));

    let files = "cat /opt/file /home/dev/file; ls /home/dev; stat -c %U /home/dev/file";
    home.dwell(["ws", "snapshot", "restore", "box", "clean"]).fails_with(2);
    home.dwell(["ws", "snapshot", "restore", "box", "clean", "--yes"]).ok();
    assert_eq!(sh(&home, "box", files).ok(), "one\none\nfile\ndev");
    assert_eq!(show(&home, "box")["generation"], 2);
    home.dwell(["ws", "snapshot", "restore", "box", "s2", "--yes"]).ok();
    assert_eq!(sh(&home, "box", files).ok(), "two\ntwo\nfile\nmore\ndev");
    assert_eq!(left(&id), (1, 3, 3), "what it was is gone, the snapshots are not");
    home.dwell(["ws", "snapshot", "restore", "box", "none", "--yes"]).fails_with(3);

    // Copies, of now and of then, each with an identity of its own.
    sh(&home, "box", "echo three > /opt/file").ok();
    home.dwell(["ws", "fork", "box", "now"]).ok();
    home.dwell(["ws", "fork", "box", "then", "--from", "clean"]).ok();
    home.dwell(["ws", "fork", "box", "then"]).fails_with(5);
    assert_eq!(
        sh(&home, "now", "cat /opt/file /home/dev/file; hostname; echo $DWELL_WORKSPACE_NAME").ok(),
        "three\ntwo\nnow\nnow"
    );
    assert_eq!(sh(&home, "then", "cat /opt/file /home/dev/file").ok(), "one\none");
    let key = |name: &str| show(&home, name)["host_key"].as_str().unwrap().to_owned();
    let address = |name: &str| show(&home, name)["address"].as_str().unwrap().to_owned();
    assert!(key("now") != key("box") && address("now") != address("box"));
    sh(&home, "now", "echo mine > /home/dev/file").ok();
    assert_eq!(sh(&home, "box", "cat /home/dev/file").ok(), "two");

    // What the copies began as is theirs; a snapshot goes alone.
    home.dwell(["ws", "snapshot", "rm", "box", "clean"]).ok();
    home.dwell(["ws", "stop", "then"]).ok();
    home.dwell(["ws", "start", "then"]).ok();
    assert_eq!(sh(&home, "then", "cat /opt/file").ok(), "one");
    let other = show(&home, "then")["id"].as_str().unwrap().to_owned();
    for name in ["box", "now", "then"] {
        home.dwell(["ws", "destroy", name, "--force", "--purge"]).ok();
    }
    assert_eq!((left(&id), left(&other)), ((0, 0, 0), (0, 0, 0)));
}

#[test]
fn snapshots_leave_what_sleeps_asleep_and_are_kept_with_the_home() {
    let home = home();
    create(&home, "box");
    sh(&home, "box", "echo one > /opt/file").ok();
    home.dwell(["ws", "suspend", "box"]).ok();
    home.dwell(["ws", "snapshot", "create", "box", "frozen"]).ok();
    assert_eq!(show(&home, "box")["status"], "frozen");
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell(["ws", "snapshot", "create", "box", "stopped"]).ok();
    assert_eq!(show(&home, "box")["status"], "stopped");
    home.dwell(["ws", "destroy", "box", "--force"]).ok();
    home.dwell(["ws", "restore", "box"]).ok();
    assert_ne!(sh(&home, "box", "cat /opt/file").code, Some(0), "only its home was kept");
    home.dwell(["ws", "snapshot", "restore", "box", "stopped", "--yes"]).ok();
    assert_eq!(sh(&home, "box", "cat /opt/file").ok(), "one");
}

#[test]
fn an_upgrade_is_planned_keeps_the_home_and_runs_the_setup_again() {
    if !has_image(OTHER) {
        return;
    }
    let home = home();
    create(&home, "box");
    sh(&home, "box", "echo mine > /home/dev/file; echo lost > /opt/lost").ok();
    let key = show(&home, "box")["host_key"].clone();
    let add = home.dwell(["ws", "setup", "add", "box", "--", "sh", "-c", "echo made >> /opt/made"]);
    assert!(add.ok().contains("is run again"), "{add:?}");
    home.dwell(["ws", "setup", "add", "box", "--", "false"]).fails_with(1);
    let steps = home.dwell(["ws", "setup", "ls", "box", "--json"]).json();
    assert_eq!(steps.as_array().unwrap().len(), 1, "{steps}");

    let same = home.dwell(["ws", "upgrade", "box", "--yes"]);
    assert!(same.ok().contains("already"), "{same:?}");
    let plan = home.dwell(["ws", "upgrade", "box", "--image", OTHER, "--dry-run"]);
    for part in ["runs again: sh -c echo made", "new: ", IMAGE, OTHER] {
        assert!(plan.ok().contains(part), "{part}: {plan:?}");
    }
    let plan = home.dwell(["ws", "upgrade", "box", "--image", OTHER, "--dry-run", "--json"]).json();
    let gained = plan["packages"]["gained"].as_array().unwrap();
    assert!(gained.iter().any(|package| package[0] == "openssh-server"), "{plan}");
    assert_eq!(show(&home, "box")["generation"], 1, "a plan does nothing");
    home.dwell(["ws", "upgrade", "box", "--image", OTHER]).fails_with(2);
    let upgraded = home.dwell(["ws", "upgrade", "box", "--image", OTHER, "--yes"]);
    assert!(upgraded.ok().contains("packages are new"), "{upgraded:?}");
    let files = sh(&home, "box", "cat /home/dev/file /opt/made; ls /opt; command -v sshd");
    assert_eq!(files.ok(), "mine\nmade\nmade\n/usr/sbin/sshd");
    let now = show(&home, "box");
    assert_eq!(
        (&now["generation"], &now["image"], &now["host_key"]),
        (&2.into(), &OTHER.into(), &key)
    );

    // One whose setup fails comes back as it was.
    sh(&home, "box", "echo kept > /opt/kept").ok();
    home.dwell(["ws", "setup", "add", "box", "--no-run", "--", "sh", "-c", "echo no >&2; exit 3"])
        .ok();
    let failed = home.dwell(["ws", "upgrade", "box", "--image", IMAGE, "--yes"]);
    assert!(failed.fails_with(1).contains("ended with 3"), "{failed:?}");
    assert_eq!(sh(&home, "box", "cat /opt/kept /home/dev/file").ok(), "kept\nmine");
    let now = show(&home, "box");
    assert_eq!((&now["image"], &now["status"]), (&OTHER.into(), &"running".into()));
    assert_eq!(left(now["id"].as_str().unwrap()), (1, 1, 0));
    home.dwell(["ws", "setup", "rm", "box", "2"]).ok();
    home.dwell(["ws", "setup", "rm", "box", "2"]).fails_with(3);
}

#[test]
fn what_a_crash_cut_off_is_what_it_was() {
    let home = home();
    create(&home, "box");
    let id = show(&home, "box")["id"].as_str().unwrap().to_owned();
    sh(&home, "box", "echo one > /opt/file").ok();
    home.dwell(["ws", "snapshot", "create", "box", "clean"]).ok();
    sh(&home, "box", "echo two > /opt/file; echo two > /home/dev/file").ok();
    home.dwell(["node", "stop"]).ok();
    start_with(&home, "workspace_replace:stopped:abort");
    let cut = home.dwell(["ws", "snapshot", "restore", "box", "clean", "--yes"]);
    assert_ne!(cut.code, Some(0), "{cut:?}");
    wait_until(Duration::from_secs(40), "it runs as it was", || {
        let now = show(&home, "box");
        now["status"] == "running" && now["generation"] == 1 && left(&id) == (1, 2, 1)
    });
    assert_eq!(sh(&home, "box", "cat /opt/file /home/dev/file").ok(), "two\ntwo");

    start_again(&home, "workspace_snapshot:copied:abort");
    let cut = home.dwell(["ws", "snapshot", "create", "box", "other"]);
    assert_ne!(cut.code, Some(0), "{cut:?}");
    wait_until(Duration::from_secs(40), "nothing is left of it", || {
        let one = home.dwell(["ws", "snapshot", "ls", "box", "--json"]).json();
        one.as_array().unwrap().len() == 1 && left(&id) == (1, 2, 1)
    });
    assert_eq!(sh(&home, "box", "cat /opt/file").ok(), "two", "it goes on");
}

fn start_again(home: &TestHome, fault: &str) {
    home.dwell(["node", "stop"]).ok();
    start_with(home, fault);
}
