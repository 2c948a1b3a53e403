//! A node without space left.

use dwell_testkit::HostPlan;

use crate::bench::Bench;

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_made() {
    let plan = HostPlan::new("one").images(["busybox:latest"]).disk(512);
    let Some(bench) = Bench::start([plan]) else { return };
    let project = bench.idle();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let project = project.file("large", vec![7; 4 << 20]);
    let host = bench.host();
    host.fill_disk();

    let refused = bench.home.dwell_in(&project, ["up", "blue", "--remote", "one", "--json"]);
    refused.fails_with(7);
    assert!(refused.stdout.contains("\"disk_full\""), "{refused:?}");
    let refused = bench.home.dwell_in(&project, ["sync", "red"]);
    assert!(refused.fails_with(7).contains("disk_full"), "{}", refused.stderr);
    let status = bench.home.dwell(["remote", "status", "one", "--json"]).json();
    assert_eq!(status[0]["machine"]["capacity"]["disk"]["free"], 0, "{status}");
    assert_eq!(bench.listed(&project), ["red"]);
    assert!(!bench.tree("one", "lab/blue").exists());
    assert!(!bench.tree("one", "lab/red/large").exists());
    assert_eq!(bench.status(&project, "red")["status"], "running");

    host.free_disk();
    bench.home.dwell_in(&project, ["up", "blue", "--remote", "one"]).ok();
    assert!(bench.tree("one", "lab/blue/large").exists());
    bench.home.dwell_in(&project, ["sync", "red"]).ok();
    assert!(bench.tree("one", "lab/red/large").exists());
    // What takes no space works on a full disk.
    host.fill_disk();
    bench.home.dwell_in(&project, ["destroy", "red", "blue", "--force"]).ok();
    assert_eq!(bench.listed(&project), [""; 0]);
}
