//! Services of one environment on several nodes: they call each other by name, wait for each
//! other, and reach what is here only where that is allowed.

use std::path::Path;

use dwell_testkit::{HostPlan, Ran};

use crate::bench::{Bench, service};

const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "mkdir /www; echo web > /www/index.html; exec httpd -f -p 8080 -h /www"]
    expose: ["8080"]
    init: true
    depends_on:
      first: { condition: service_healthy }
      prepare: { condition: service_completed_successfully }
  first:
    image: busybox:latest
    command: ["sh", "-c", "mkdir /www; wget -qO /www/index.html http://second:7000/ && exec httpd -f -p 9000 -h /www"]
    expose: ["9000"]
    init: true
    depends_on:
      second: { condition: service_healthy }
      prepare: { condition: service_completed_successfully }
    healthcheck: { test: ["CMD", "wget", "-qO-", "http://127.0.0.1:9000/"], interval: 500ms }
  second:
    image: busybox:latest
    command: ["sh", "-c", "sleep 1; mkdir /www; hostname > /www/index.html; exec httpd -f -p 7000 -h /www"]
    hostname: here-is-second
    expose: ["7000"]
    init: true
    healthcheck: { test: ["CMD", "wget", "-qO-", "http://127.0.0.1:7000/"], interval: 500ms }
  prepare:
    image: busybox:latest
    command: ["sh", "-c", "sleep 1; echo prepared"]
"#;

fn ask(bench: &Bench, project: &Path, from: &str, url: &str) -> Ran {
    bench.home.dwell_in(project, ["exec", "red", from, "timeout", "2", "wget", "-qO-", url])
}

#[test]
fn services_on_two_nodes_call_and_wait_for_each_other() {
    let plans = ["one", "two"].map(|name| HostPlan::new(name).engine());
    let Some(bench) = Bench::start(plans) else { return };
    bench.load("one", "busybox:latest");
    bench.load("two", "busybox:latest");
    let project = bench.home.project("lab").compose(COMPOSE).git();
    let project = project.path();
    let up = ["up", "red", "--place", "first=one", "--place", "second=two", "--place"];
    let ran = bench.home.dwell_in(project, up.iter().chain(&["prepare=two"]));
    ran.ok();
    let status = bench.status(project, "red");
    assert_eq!(status["status"], "running", "{status}");
    for (name, node) in [("first", "one"), ("second", "two"), ("prepare", "two")] {
        assert_eq!(service(&status, name)["node"], node, "{status}");
    }
    assert_eq!(service(&status, "prepare")["state"], "exited (0)", "{status}");

    // What was waited for was there: a page of `second`, through the machine that knows both.
    for url in ["http://first:9000/", "http://second.red.test:7000/"] {
        assert_eq!(ask(&bench, project, "web", url).ok(), "here-is-second", "{url}");
    }
    assert_eq!(ask(&bench, project, "second", "http://first:9000/").ok(), "here-is-second");
    let logs = bench.home.dwell_in(project, ["logs", "red", "prepare"]);
    assert!(logs.ok().contains("prepared"), "{}", logs.stdout);

    // What is here is not there, unless that was allowed.
    let refused = ask(&bench, project, "first", "http://web:8080/");
    assert_ne!(refused.code, Some(0), "{refused:?}");
    bench.home.dwell_in(project, ["up", "red", "--reverse", "web"]).ok();
    for from in ["first", "second"] {
        for name in ["web", "web.red.test"] {
            let url = format!("http://{name}:8080/");
            assert_eq!(ask(&bench, project, from, &url).ok(), "web", "{from} {name}");
        }
    }
    bench.home.dwell_in(project, ["destroy", "red", "--force"]).ok();
    for host in bench.hosts.all() {
        assert_eq!(host.docker(["ps", "-aq"]).ok(), "", "{}", host.name());
    }
}
