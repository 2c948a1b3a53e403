//! Nodes that have too little left.

use dwell_testkit::HostPlan;

use crate::bench::Bench;

const GREEDY: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sleep", "infinity"]
    init: true
    deploy: { resources: { reservations: { memory: 900g } } }
  small:
    image: busybox:latest
    command: ["sleep", "infinity"]
    init: true
"#;

#[test]
fn a_node_without_room_is_told_of_and_refused_where_strict() {
    let Some(bench) = Bench::start([HostPlan::new("one").images(["busybox:latest"])]) else {
        return;
    };
    let project = bench.home.project("shop").compose(GREEDY).git();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(&project, arguments);

    let ran = dwell(&["up", "red", "--remote", "one", "--strict"]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.stderr.contains("one: memory: "), "{ran:?}");
    let ran = dwell(&["up", "red", "--place", "web=one", "--strict"]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(
        ran.stderr.contains("one: memory: ") && !ran.stderr.contains("this machine"),
        "{ran:?}"
    );
    // Nothing was begun, here or there.
    let list = bench.home.dwell_in(&project, ["ls", "--json"]);
    assert!(!list.ok().contains("red"), "{list:?}");
    let there = bench.hosts.host("one").shell("find /root/.local/share/dwell -name red");
    assert_eq!(there.ok(), "");
    assert!(!bench.home.data().join("shop/red").exists());

    let ran = dwell(&["up", "blue", "--place", "web=one"]);
    assert!(ran.stderr.contains("one: memory: ") && ran.code == Some(0), "{ran:?}");
    // What runs there already is not asked for a second time.
    let ran = dwell(&["up", "blue", "--strict"]);
    assert!(!ran.stderr.contains("one: memory: ") && ran.code == Some(0), "{ran:?}");
}

#[test]
fn this_machine_is_asked_too() {
    let home = dwell_testkit::TestHome::new(crate::bench::binary());
    let project = home.project("shop").compose(GREEDY);
    let ran = home.dwell_in(&project, ["up", "red", "--strict", "--json"]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.stdout.contains("\"no_room\"") && ran.stdout.contains("this machine: memory: "));
    assert!(!home.data().join("shop/red").exists());
    let ran = home.dwell_in(&project, ["up", "red"]);
    assert!(ran.stderr.contains("this machine: memory: ") && ran.code == Some(0), "{ran:?}");
}
