//! Environments whose services run on several nodes.

use std::net::TcpStream;

use dwell_testkit::{HostPlan, http};

use crate::bench::Bench;

/// A page here that asks a service which is to run elsewhere, and waits for it.
const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["httpd", "-f", "-p", "8080", "-h", "/files"]
    expose: ["8080"]
    volumes: ["./files:/files:ro"]
    init: true
    depends_on: { api: { condition: service_healthy } }
  api:
    image: busybox:latest
    command: ["sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 9000 -h /www"]
    hostname: api-elsewhere
    expose: ["9000"]
    init: true
    volumes: ["./api:/api:ro"]
    healthcheck: { test: ["CMD", "wget", "-qO-", "http://127.0.0.1:9000/"], interval: 1s }
"#;

#[test]
fn a_service_elsewhere_is_reached_by_its_name_from_everywhere() {
    let Some(bench) = Bench::start([HostPlan::new("one").engine()]) else { return };
    bench.load("one", "busybox:latest");
    let project = bench.home.project("shop").compose(COMPOSE);
    let project = project.file("files/index.html", "page\n").file("api/note", "travelled\n").git();
    let up = ["up", "red", "--remote-services", "api", "--remote-host", "one"];
    bench.home.dwell_in(&project, up).ok();

    let status = bench.status(&project, "red");
    let services = status["services"].as_array().unwrap();
    let api = services.iter().find(|service| service["name"] == "api").unwrap();
    assert_eq!((&api["node"], &api["role"]), (&"one".into(), &"remote".into()), "{status}");
    assert_eq!(status["status"], "running", "{status}");

    // From the laptop.
    let address = api["addresses"][0].as_str().unwrap();
    let stream = TcpStream::connect(format!("{address}:9000")).unwrap();
    let (_, page) = http(stream, "GET / HTTP/1.1\nhost: api.red.test", "");
    assert!(page.contains("api-elsewhere"), "{page}");
    // From a container here, under both names.
    for name in ["api", "api.red.test"] {
        let ask = ["exec", "red", "web", "wget", "-qO-", &format!("http://{name}:9000/")];
        assert_eq!(bench.home.dwell_in(&project, ask).ok(), "api-elsewhere");
    }
    let host = bench.hosts.host("one");
    let containers = host.docker(["ps", "--format", "{{.Names}}"]);
    assert!(containers.ok().contains("-api-1") && !containers.ok().contains("-web-1"));

    bench.home.dwell_in(&project, ["down", "red"]).ok();
    assert_eq!(host.docker(["ps", "-q"]).ok(), "");
    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    assert_eq!(host.docker(["volume", "ls", "-q"]).ok(), "");
    assert_eq!(host.docker(["network", "ls", "-q", "--filter", "label=dwell.env"]).ok(), "");
}
