//! The parts of remote tests that need nothing of dwell: a home with hosts, and the project.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::process::Command;
use std::time::{Duration, Instant};

use dwell_testkit::{HostPlan, Project, RemoteBench, SHOP_IMAGES, run, shop};

#[test]
fn the_shop_runs_on_a_host() {
    let start = Instant::now();
    let plans = ["one", "two"].map(|name| HostPlan::new(name).images(SHOP_IMAGES));
    let Some(bench) = RemoteBench::start("/bin/false", plans) else { return };
    eprintln!("two hosts with the shop's images: {:?}", start.elapsed());
    let project = shop(bench.home.project("shop"));
    let one = bench.host("one");
    copy(&bench, &project);
    let start = Instant::now();
    one.ssh(["cd shop && docker compose up -d --wait --quiet-pull"]).ok();
    eprintln!("the shop: {:?}", start.elapsed());
    let ask = |service: &str, port: u16, word: &str| {
        let inspect = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = one.docker(["inspect", "-f", inspect, &format!("shop-{service}-1")]);
        let url = format!("http://{}:{port}/cgi-bin/shop?{word}", address.ok());
        one.ssh([format!("curl -s -m 10 '{url}'")]).json().to_string()
    };
    assert_eq!(ask("web", 80, "fox"), r#"{"orders":1,"hits":0}"#);
    one.docker(["exec", "shop-search-1", "sh", "-c", "echo red fox >>/data/documents"]).ok();
    assert_eq!(ask("api", 8000, "fox"), r#"{"orders":2,"hits":1}"#);
    assert_eq!(one.containers("shop", None), [""; 0]);
}

/// Copies a project to the home directory of the host `one`.
fn copy(bench: &RemoteBench, project: &Project) {
    let mut copy: Command = bench.home.command("rsync");
    copy.args(["-a", &format!("{}/", project.path().display()), "one:shop/"]);
    run(&mut copy, Duration::from_secs(20)).ok();
}
