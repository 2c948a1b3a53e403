//! The binary replaced, as by an upgrade, or removed under a daemon that goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dwell_testkit::{Ran, TestHome, run, wait_until};

/// Has what sessions need.
const IMAGE: &str = "dwell-test-workspace-image";
const LIMIT: Duration = Duration::from_secs(60);
const SHOP: &str = "
services:
  web: {image: busybox, command: sleep 1d, init: true, depends_on: [cache]}
  cache: {image: busybox, command: sleep 1d, init: true, expose: ['6379'], labels: {dwell.share: 'true'}}
";

/// A home whose daemon runs from a binary of its own, and that binary's path.
fn installed() -> (TestHome, PathBuf) {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let place = home.path().join("installed/dwell");
    fs::create_dir(place.parent().unwrap()).unwrap();
    fs::copy(home.binary(), &place).unwrap();
    run(home.command(&place).args(["node", "start"]), LIMIT).ok();
    let pid = crate::support::pid(&home);
    assert_eq!(fs::read_link(format!("/proc/{pid}/exe")).unwrap(), place, "it runs from there");
    (home, place)
}

fn all_works(home: &TestHome) {
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
    assert_eq!(home.dwell(["run", "--in", "box", "--", "echo", "here"]).ok(), "here");
    assert_eq!(home.dwell(["ssh", "box", "--", "echo", "there"]).ok(), "there");
    // A relay's image is made of the binary; an environment's session has it as its shim.
    let project = home.project("shop").compose(SHOP).git();
    home.dwell_in(&project, ["up", "red"]).ok();
    assert_eq!(home.dwell_in(&project, ["run", "echo", "red", "shim"]).ok(), "shim");
}

/// What runs in the workspace and what runs here is one binary.
fn same_inside(home: &TestHome, place: &Path) -> bool {
    let sum = |ran: Ran| ran.ok().split_whitespace().next().unwrap().to_owned();
    let inside = home.dwell(["ws", "exec", "box", "--", "sha256sum", "/run/dwell/dwell"]);
    sum(inside) == sum(run(home.command("sha256sum").arg(place), LIMIT))
}

#[test]
fn a_daemon_whose_binary_was_replaced_goes_on_with_its_own() {
    let (home, place) = installed();
    // Another version: the same with a tail.
    let mut other = fs::read(&place).unwrap();
    other.extend_from_slice(b"another version");
    fs::write(place.with_extension("new"), other).unwrap();
    fs::set_permissions(place.with_extension("new"), fs::metadata(&place).unwrap().permissions())
        .unwrap();
    fs::rename(place.with_extension("new"), &place).unwrap();
    all_works(&home);
    assert!(same_inside(&home, home.binary()), "the daemon and its workspaces are of one version");

    home.dwell(["node", "stop"]).ok();
    run(home.command(&place).args(["node", "start"]), LIMIT).ok();
    wait_until(LIMIT, "the workspace is seen", || {
        home.dwell(["ws", "show", "box", "--json"]).json()["status"] == "running"
    });
    home.dwell(["ports", "box"]).ok();
    assert!(same_inside(&home, &place), "the next daemon brings the other version");
}

#[test]
fn a_daemon_whose_binary_is_gone_goes_on() {
    let (home, place) = installed();
    fs::remove_dir_all(place.parent().unwrap()).unwrap();
    all_works(&home);
    assert!(same_inside(&home, home.binary()));
}
