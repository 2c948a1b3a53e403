//! Services and whole environments move between nodes: with their data, with their work, and back
//! to where they were when it goes wrong.

mod faults;
mod services;
mod whole;

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use dwell_testkit::{HostPlan, Project, Ran, ask, http, resolve, run, wait_until};
use serde_json::Value;

use crate::bench::Bench;

/// A page that needs a store, and the store with its data.
const COMPOSE: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["httpd", "-f", "-p", "80", "-h", "/www"]
    volumes: ["./web:/www:ro"]
    init: true
    depends_on: { store: { condition: service_healthy } }
  store:
    image: busybox:latest
    command: ["sh", "-c", "test ! -e /data/refuse && exec httpd -f -p 9000 -h /data"]
    expose: ["9000"]
    init: true
    volumes: ["data:/data"]
    stop_grace_period: 2s
    healthcheck: { test: "netstat -ltn | grep -q :9000", interval: 500ms, retries: 60 }
volumes:
  data:
"#;

/// The bench with so many hosts, called one, two...
fn bench(count: usize) -> Option<Bench> {
    let names = ["one", "two"].into_iter().take(count);
    Bench::start(names.map(|name| HostPlan::new(name).images(["busybox:latest"])))
}

fn project(bench: &Bench) -> Project {
    bench.home.project("shop").compose(COMPOSE).file("web/index.html", "page\n").git()
}

/// Puts data into the store that is easily lost: an owner, a mode, links, holes.
fn fill(bench: &Bench, project: &Path) {
    let script = "cd /data && echo 1 > count && echo secret > private && chmod 640 private \
                  && chown 70:71 private && ln count again && ln -s count there \
                  && truncate -s 20M hollow && chown 999:998 . && chmod 750 .";
    bench.home.dwell_in(project, ["exec", "red", "store", "sh", "-c", script]).ok();
}

/// That all of it is there.
#[track_caller]
fn is_filled(bench: &Bench, project: &Path) {
    let (ran, wanted) = content(bench, project);
    assert_eq!(ran.ok(), wanted);
}

/// What the store is asked, and has to answer.
fn content(bench: &Bench, project: &Path) -> (Ran, &'static str) {
    let script = "cd /data && stat -c '%u:%g %a' . && stat -c '%n %u:%g %a %h %s' private count \
                  again hollow && readlink there && cat again private";
    let ran = bench.home.dwell_in(project, ["exec", "red", "store", "sh", "-c", script]);
    let wanted = "999:998 750\nprivate 70:71 640 1 7\ncount 0:0 644 2 2\nagain 0:0 644 2 2\n\
                  hollow 0:0 644 1 20971520\ncount\n1\nsecret";
    (ran, wanted)
}

/// A service of an environment as `dwell status` shows it.
#[track_caller]
fn service<'a>(status: &'a Value, name: &str) -> &'a Value {
    let services = status["services"].as_array().expect("services are shown");
    let found = services.iter().find(|service| service["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not shown: {status}"))
}

/// What the store gives, asked on the laptop by its name.
#[track_caller]
fn page(bench: &Bench, path: &str) -> String {
    let addresses = resolve(bench.home.dns_port(), "store.red.test");
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    let stream = TcpStream::connect((addresses[0], 9000)).unwrap();
    let (code, text) = http(stream, &format!("GET {path} HTTP/1.0"), "");
    assert_eq!(code, 200, "{text}");
    text.rsplit("\r\n\r\n").next().unwrap().trim().to_owned()
}

/// The same from a container of the web service, wherever that is.
#[track_caller]
fn page_from_web(bench: &Bench, project: &Path, path: &str) -> String {
    let url = format!("http://store.red.test:9000{path}");
    let ask = ["exec", "red", "web", "wget", "-qO-", &url];
    bench.home.dwell_in(project, ask).ok().to_owned()
}

/// The node of a service, `local` for the laptop.
#[track_caller]
fn node_of(bench: &Bench, project: &Path, name: &str) -> String {
    let status = bench.status(project, "red");
    let home = status["node"].as_str().unwrap_or("local").to_owned();
    service(&status, name)["node"].as_str().map_or(home, str::to_owned)
}

/// Whether nothing of dwell is left on a host.
#[track_caller]
fn is_bare(bench: &Bench, host: &str) {
    let host = bench.hosts.host(host);
    for (what, arguments) in [
        ("containers", &["ps", "-aq"][..]),
        ("volumes", &["volume", "ls", "-q"]),
        ("networks", &["network", "ls", "-q", "--filter", "label=dwell.env"]),
    ] {
        assert_eq!(host.docker(arguments).ok(), "", "{what}");
    }
    let trees = host.shell("find /root/.local/share/dwell -mindepth 2 -maxdepth 2 -name red");
    assert_eq!(trees.ok(), "");
}

/// The names of the volumes on this machine of the home's environments.
fn volumes_here(bench: &Bench) -> Vec<String> {
    let label = format!("label=dwell.node={}", bench.home.node().unwrap());
    let mut list = bench.home.command("docker");
    list.args(["volume", "ls", "-q", "--filter", &label]);
    let ran = run(&mut list, Duration::from_secs(60));
    ran.ok().lines().map(str::to_owned).collect()
}
