//! What the doctor says of other nodes, and repairs.

use std::time::Duration;

use dwell_testkit::{HostPlan, wait_until};
use serde_json::Value;

use crate::bench::Bench;

const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "httpd -p 8080; exec sleep infinity"]
    expose: ["8080"]
    init: true
  db:
    image: busybox:latest
    command: ["httpd", "-f", "-p", "5432"]
    expose: ["5432"]
    init: true
"#;

/// What was found about what has this name.
#[track_caller]
fn finding(bench: &Bench, flags: &[&str], what: &str) -> Value {
    let ran = bench.home.dwell([&["doctor", "--json"], flags].concat());
    let all: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut found = all["findings"].as_array().unwrap().iter();
    found.find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("{what}: {all}")).clone()
}

#[test]
fn nodes_and_names_are_followed_from_end_to_end() {
    let Some(bench) = Bench::start([HostPlan::new("one").images(["busybox:latest"])]) else {
        return;
    };
    let project = bench.home.project("shop").compose(COMPOSE).git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    bench.home.dwell_in(&project, ["up", "blue", "--place", "db=one"]).ok();
    let one = bench.hosts.host("one");

    let node = finding(&bench, &[], "node one");
    let detail = node["detail"].as_str().unwrap();
    assert!(node["ok"] == true && detail.starts_with("ssh, "), "{node}");
    assert!(detail.contains("its engine answers; ") && detail.contains("2 environments"), "{node}");
    for name in ["web.red.test", "db.red.shop.test", "db.blue.test"] {
        let found = finding(&bench, &[], name);
        let detail = found["detail"].as_str().unwrap();
        assert!(found["ok"] == true && detail.starts_with("127."), "{found}");
    }

    // Its container runs, and nothing listens in it.
    let container = one.docker(["ps", "-q", "--filter", "label=dwell.service=web"]);
    one.docker(["exec", container.ok(), "killall", "httpd"]).ok();
    let found = finding(&bench, &[], "web.red.test");
    assert!(found["ok"] == false && found["fix"].is_string(), "{found}");
    assert!(found["detail"].as_str().unwrap().contains("took no connection"), "{found}");

    one.refuse();
    one.hang_up();
    wait_until(Duration::from_secs(10), "the link is known to be down", || {
        bench.get("/v1/remotes/one")["link"]["state"] == "down"
    });
    let node = finding(&bench, &[], "node one");
    assert!(node["ok"] == false && node["fix"].is_string(), "{node}");
    assert!(node["detail"].as_str().unwrap().starts_with("unreachable: "), "{node}");
    one.accept();
    let node = finding(&bench, &["--fix"], "node one");
    assert_eq!(node["ok"], true, "{node}");
    assert_eq!(finding(&bench, &[], "db.blue.test")["ok"], true);

    one.kill_engine();
    let found = finding(&bench, &[], "node one");
    assert!(
        found["ok"] == false && found["detail"].as_str().unwrap().contains("engine"),
        "{found}"
    );
}
