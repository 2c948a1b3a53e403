use dwell_testkit::HostPlan;

use crate::bench::Bench;

#[test]
fn a_node_answers_over_one_ssh_connection() {
    let Some(bench) = Bench::start([HostPlan::new("one")]) else { return };
    let pong = bench.post("/v1/remotes/one/ping", "{}");
    assert_eq!(pong["via"], "ssh", "{pong}");
    let machine = bench.get("/v1/remotes/one/machine");
    assert_eq!(machine["host"], "one", "{machine}");
    let shown = bench.get("/v1/remotes/one");
    assert_eq!(shown["link"]["state"], "up", "{shown}");
}
