//! Workspaces on other nodes: made, used and found from the laptop as if they were on it.

use std::time::Duration;

use dwell_testkit::{HostPlan, Ran, has_image, wait_until};
use serde_json::Value;

use crate::bench::Bench;

/// Has an ssh server.
const IMAGE: &str = "dwell-test-workspace";

fn sh(bench: &Bench, name: &str, line: &str) -> Ran {
    bench.home.dwell(["ws", "exec", name, "--", "sh", "-c", line])
}

fn show(bench: &Bench, name: &str) -> Value {
    bench.home.dwell(["ws", "show", name, "--json"]).json()
}

fn create(bench: &Bench, name: &str, node: &str) -> Ran {
    let class = "cpu=1,mem=512m";
    let arguments = ["ws", "create", name, "--image", IMAGE, "--class", class, "--node", node];
    bench.home.dwell(arguments)
}

#[test]
fn a_workspace_on_a_node_is_used_as_one_that_is_here() {
    if !has_image(IMAGE) {
        return;
    }
    let Some(bench) = Bench::start([HostPlan::new("one").images([IMAGE])]) else { return };
    let unknown = create(&bench, "box", "nowhere");
    assert!(unknown.fails_with(3).contains("no node `nowhere`"), "{unknown:?}");
    create(&bench, "box", "one").ok();
    let list = bench.home.dwell(["ws", "ls"]);
    assert!(list.ok().contains("one"), "{list:?}");
    assert_eq!(show(&bench, "box")["node"], "one");
    assert_eq!(show(&bench, "box")["status"], "running");
    let here = bench.home.dwell(["ws", "create", "box", "--image", IMAGE]);
    assert!(here.fails_with(5).contains("node `one` has a workspace `box`"), "{here:?}");

    assert_eq!(sh(&bench, "box", "id -un; echo $DWELL_WORKSPACE_NAME").ok(), "dev\nbox");
    sh(&bench, "box", "exit 7").fails_with(7);
    sh(&bench, "box", "echo mine > ~/file").ok();
    assert_eq!(bench.home.dwell(["ssh", "box", "--", "cat", "file"]).ok(), "mine");
    bench.home.dwell(["ws", "suspend", "box"]).ok();
    assert_eq!(show(&bench, "box")["status"], "frozen");
    assert_eq!(sh(&bench, "box", "cat ~/file").ok(), "mine", "a command wakes it");
    bench.home.dwell(["ws", "rename", "box", "red"]).ok();
    bench.home.dwell(["ws", "show", "box"]).fails_with(3);
    assert_eq!(sh(&bench, "red", "echo $DWELL_WORKSPACE_NAME").ok(), "red");

    bench.host().partition();
    wait_until(Duration::from_secs(20), "the node is away", || {
        show(&bench, "red")["status"] == "unknown"
    });
    assert!(show(&bench, "red")["seen"].is_i64());
    let away = sh(&bench, "red", "true");
    assert!(!away.stderr.is_empty() && away.code != Some(0), "{away:?}");
    bench.host().heal();
    bench.comes_back("one");
    wait_until(Duration::from_secs(20), "the workspace is seen", || {
        show(&bench, "red")["status"] == "running"
    });

    bench.home.dwell(["ws", "destroy", "red", "--force"]).ok();
    assert!(bench.home.dwell(["ws", "ls"]).ok().contains("no workspaces"));
    assert!(bench.home.dwell(["ws", "ls", "--all"]).ok().contains("destroyed"));
    bench.home.dwell(["ws", "restore", "red"]).ok();
    assert_eq!(sh(&bench, "red", "cat ~/file").ok(), "mine");
    bench.home.dwell(["ws", "destroy", "red", "--force", "--purge"]).ok();
}

#[test]
fn a_name_that_two_nodes_have_is_told_apart_by_identity() {
    if !has_image(IMAGE) {
        return;
    }
    let plans = ["one", "two"].map(|name| HostPlan::new(name).images([IMAGE]));
    let Some(bench) = Bench::start(plans) else { return };
    create(&bench, "box", "one").ok();
    let refused = create(&bench, "box", "two");
    assert!(refused.fails_with(5).contains("node `one`"), "{refused:?}");

    // Somebody who does not know the first node makes one on the second.
    let other = bench.laptop("root");
    other.dwell(["remote", "remove", "one", "--yes"]).ok();
    let arguments = ["ws", "create", "box", "--image", IMAGE, "--node", "two"];
    other.dwell(arguments).ok();
    let mut ambiguous = None;
    wait_until(Duration::from_secs(20), "both are seen", || {
        let shown = bench.home.dwell(["ws", "show", "box"]);
        let is_refused = shown.code != Some(0);
        ambiguous = Some(shown);
        is_refused
    });
    let ambiguous = ambiguous.unwrap();
    assert!(ambiguous.stderr.contains("2 nodes have a workspace `box`"), "{ambiguous:?}");
    let all = bench.home.dwell(["ws", "ls", "--json"]).json();
    for it in all.as_array().unwrap() {
        let id = it["id"].as_str().unwrap();
        assert_eq!(show(&bench, id)["node"], it["node"]);
        bench.home.dwell(["ws", "destroy", id, "--force", "--purge"]).ok();
    }
}

#[test]
fn an_image_is_built_by_the_engine_of_the_node_that_it_is_for() {
    let Some(bench) = Bench::one() else { return };
    bench.host().docker(["tag", "busybox:latest", "only-there:1"]).ok();
    let build = ["image", "build", "--no-agents", "--base", "only-there:1"];
    let here = bench.home.dwell(build);
    assert!(here.fails_with(3).contains("only-there:1 is not here"), "{here:?}");
    let there = bench.home.dwell(build.iter().chain(&["--node", "one"]));
    let said = there.fails_with(1);
    assert!(said.contains("dwell-workspace:base could not be built"), "no Debian: {there:?}");
    let nowhere = bench.home.dwell(build.iter().chain(&["--node", "nowhere"]));
    assert!(nowhere.fails_with(3).contains("no node `nowhere`"), "{nowhere:?}");

    // So are those that are there looked at by it.
    let check = |more: &[&str]| {
        let words = ["image", "check", "base", "--repository", "only-there"];
        bench.home.dwell(words.iter().chain(more))
    };
    let missing = check(&["--node", "one"]);
    missing.fails_with(1);
    assert_eq!(missing.stdout, "only-there:base missing\n");
    bench.host().docker(["tag", "busybox:latest", "only-there:base"]).ok();
    let foreign = check(&["--node", "one"]);
    foreign.fails_with(1);
    assert_eq!(foreign.stdout, "only-there:base old\n  dwell did not build it\n");
    check(&[]).fails_with(1);
    assert_eq!(check(&[]).stdout, "only-there:base missing\n");
    assert!(check(&["--node", "nowhere"]).fails_with(3).contains("no node `nowhere`"));
    bench.host().docker(["create", "--name", "labelled", "busybox:latest", "true"]).ok();
    let label = "LABEL dwell.image.hash=0";
    bench.host().docker(["commit", "--change", label, "labelled", "only-there:old"]).ok();
    let there = bench.home.dwell(["image", "ls", "--node", "one", "--json"]).json();
    assert_eq!((&there[0]["tag"], &there[0]["state"]), (&"only-there:old".into(), &"old".into()));
    let here = bench.home.dwell(["image", "ls", "-q"]);
    assert!(!here.ok().contains("only-there"), "{here:?}");
}

#[test]
fn workspaces_are_kept_apart_also_while_the_engine_does_not() {
    if !has_image(IMAGE) {
        return;
    }
    let Some(bench) = Bench::start([HostPlan::new("one").images([IMAGE])]) else { return };
    create(&bench, "red", "one").ok();
    create(&bench, "blue", "one").ok();
    let address = show(&bench, "red")["address"].as_str().unwrap().to_owned();
    let ask = format!("timeout 2 bash -c 'head -c 3 < /dev/tcp/{address}/22'");
    let kept = || sh(&bench, "blue", &ask);
    assert_ne!(kept().code, Some(0), "{:?}", kept());
    // As while it makes networks.
    bench.host().shell("iptables -w 30 -F DOCKER-ISOLATION-STAGE-1").ok();
    assert_ne!(kept().code, Some(0), "{:?}", kept());
    assert_eq!(bench.home.dwell(["ssh", "red", "--", "echo here"]).ok(), "here");
    bench.host().shell("iptables -w 30 -t mangle -F DWELL-APART").ok();
    assert_eq!(kept().ok(), "SSH", "nothing else keeps them apart now");
}
