//! Environments whose home is another node.

use dwell_testkit::{HostPlan, http};

use crate::bench::Bench;

const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "echo $$WORD > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
    environment: { WORD: "${WORD:-hello}" }
    expose: ["8080"]
    volumes: ["./files:/files:ro"]
    init: true
"#;

#[test]
fn a_whole_environment_runs_on_a_node_and_is_used_from_here() {
    let Some(bench) = Bench::start([HostPlan::new("one").engine()]) else { return };
    bench.load("one", "busybox:latest");
    let project = bench.home.project("shop").compose(COMPOSE).file("files/a", "first\n").git();
    let project = project.file("files/b", "not committed\n");
    let up = bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]);
    up.ok();

    let ran = bench.home.dwell_in(&project, ["ls"]);
    let list = ran.ok();
    assert!(list.contains("one") && list.contains("running"), "{list}");
    assert_eq!(
        bench.home.dwell_in(&project, ["exec", "red", "web", "cat", "/files/b"]).ok(),
        "not committed"
    );

    let status = bench.status(&project, "red");
    let service = &status["services"][0];
    let address = service["addresses"][0].as_str().unwrap();
    assert!(address.starts_with("127."), "{status}");
    let stream = std::net::TcpStream::connect(format!("{address}:8080")).unwrap();
    let (code, page) = http(stream, "GET /index.html HTTP/1.1\nhost: web.red.test", "");
    assert!(code == 200 && page.contains("hello"), "{page}");

    bench.home.dwell_in(&project, ["down", "red"]).ok();
    assert_eq!(bench.status(&project, "red")["status"], "stopped");
    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    let ran = bench.home.dwell_in(&project, ["ls"]);
    let list = ran.ok();
    assert!(!list.contains("red"), "{list}");
}

#[test]
fn an_address_that_somebody_else_uses_is_left_to_them() {
    let Some(bench) = Bench::one() else { return };
    let pool = bench.home.loopback_pool();
    let first = pool.replace(".0/20", ".1");
    let theirs = std::net::TcpListener::bind(format!("{first}:8080")).unwrap();
    let project = bench.idle();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let shown = || bench.status(&project, "red")["services"][0]["addresses"].clone();
    let ours = shown();
    assert_eq!(ours, serde_json::json!([pool.replace(".0/20", ".2")]));
    drop(theirs);
    bench.home.dwell(["node", "stop"]).ok();
    bench.comes_back("one");
    assert_eq!(shown(), ours, "it stays where it is");
}
