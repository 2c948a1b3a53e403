//! Several people on one node.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dwell_testkit::{HostPlan, TestHome, run};
use serde_json::Value;

use crate::bench::{Bench, IDLE};

fn listed(home: &TestHome) -> Vec<Value> {
    home.dwell(["ls", "--all", "--json"]).json().as_array().unwrap().clone()
}

#[test]
fn people_on_one_node_neither_see_nor_reach_each_other() {
    let plan = HostPlan::new("one").images(["busybox:latest"]).user("alice").user("bob");
    let Some(bench) = Bench::start([plan]) else { return };
    let users = ["alice", "bob"];
    let homes = users.map(|user| bench.laptop(user));
    std::thread::scope(|scope| {
        for home in &homes {
            scope.spawn(move || {
                let project = home.project("lab").compose(IDLE).git();
                home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
            });
        }
    });
    let host = bench.host();
    let shown: Vec<Vec<Value>> = homes.iter().map(listed).collect();
    for (user, shown) in users.iter().zip(&shown) {
        assert_eq!(shown.len(), 1, "{user}: {shown:?}");
        assert_eq!((&shown[0]["name"], &shown[0]["status"]), (&"red".into(), &"running".into()));
        let data = format!("/home/{user}/.local/share/dwell");
        // Also where homes are open, the trees in them are not.
        host.shell(&format!("chmod 755 /home/{user}")).ok();
        for place in [format!("{data}/lab"), format!("{data}/.sources")] {
            let mode = std::fs::metadata(host.path(&place)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{place}");
        }
        let other = users.iter().find(|other| *other != user).unwrap();
        let look = host.ssh_as(other, [format!("ls {data}/lab/red")]);
        assert!(look.stderr.contains("Permission denied"), "{look:?}");
    }
    let (alices, bobs) = (&shown[0][0], &shown[1][0]);
    assert_ne!(alices["subnets"], bobs["subnets"]);

    // By name, by identity, or past the API: to bob alice's environment is not there.
    let bob = &homes[1];
    let id = alices["id"].as_str().unwrap();
    bob.dwell(["status", id]).fails_with(3);
    bob.dwell(["exec", id, "web", "true"]).fails_with(3);
    let target = format!(
        r#"{{"target": {{"to": "service", "environment": "{id}", "service": "web", "port": 8080}}}}"#
    );
    let mut dial = bob.command("curl");
    dial.args(["-sS", "--max-time", "20", "--unix-socket"]).arg(bob.socket());
    dial.args(["-H", "connection: upgrade", "-H", "upgrade: dwell-dial", "-H"]);
    dial.args(["content-type: application/json", "-H", "idempotency-key: dial", "-d", &target]);
    let refused = run(dial.arg("http://node/v1/remotes/one/dial"), Duration::from_secs(30));
    assert!(refused.ok().contains("not_found"), "{refused:?}");

    let status = bob.dwell(["remote", "status", "one", "--json"]).json();
    let environments = &status[0]["machine"]["environments"];
    assert_eq!(environments, &serde_json::json!([["alice", 1], ["bob", 1]]), "{status}");
    bob.dwell(["destroy", "red", "--force"]).ok();
    assert_eq!(listed(&homes[0])[0]["status"], "running");
}
