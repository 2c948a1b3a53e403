//! Shared services through the real binary: one instance of a project's service for several
//! environments.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use dwell_testkit::{Project, TestHome, docker, wait_until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

/// A database that remembers, checks its health and has a definition worth keeping; and a user.
const STORE: &str = "services:
  db:
    image: busybox
    init: true
    user: '1000:1000'
    working_dir: /data
    stop_grace_period: 1s
    shm_size: 32m
    env_file: [db.env]
    environment: {WHO: '${WHO:-nobody}'}
    entrypoint: [sh, -c]
    command: ['httpd -f -p 8080 -h /data']
    ports: ['18080:8080']
    restart: on-failure
    volumes: ['data:/data', './conf:/conf:ro']
    tmpfs: [/scratch]
    labels: ['cilo.share=true']
    healthcheck:
      test: [CMD, wget, -q, -O, /dev/null, 'http://127.0.0.1:8080/']
      interval: 300ms
      retries: 30
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    command: sleep infinity
    depends_on: {db: {condition: service_healthy}}
volumes: {data: {}}
";

fn home() -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.configure("[shared]\ngrace_seconds = 1\n");
    home
}

/// The database's directory is its user's, as an image of a real one would have it.
fn store(home: &TestHome) -> Project {
    let text = STORE.replace("user: '1000:1000'", "user: '0:0'");
    let index = "mkdir -p /data && echo store > /data/index.html && httpd";
    home.project("shop")
        .compose(&text.replace("'httpd", &format!("'{index}")))
        .file("db.env", "FROM_FILE=yes\n")
        .file("conf/setting", "one\n")
}

/// The containers of the shared instances of a home's project.
fn instances(home: &TestHome) -> Vec<String> {
    let node = home.node().unwrap();
    let filter = format!("label=dwell.node={node}");
    let list = ["ps", "--quiet", "--no-trunc", "--filter", &filter];
    let listed = docker(list.into_iter().chain(["--filter", "label=dwell.role=shared"]));
    listed.ok().lines().map(str::to_owned).collect()
}

fn role<'a>(status: &'a Value, service: &str) -> &'a str {
    let services = status["services"].as_array().unwrap();
    services.iter().find(|s| s["name"] == service).unwrap()["role"].as_str().unwrap()
}

fn fetch(home: &TestHome, shop: &Project, environment: &str, path: &str) -> String {
    let url = format!("http://db:8080/{path}");
    home.dwell_in(shop, ["exec", environment, "web", "wget", "-q", "-O", "-", &url]).ok().to_owned()
}

#[test]
fn one_instance_serves_all_and_ends_after_the_last() {
    let home = home();
    let shop = store(&home);
    home.dwell_in(&shop, ["up", "a"]).ok();
    home.dwell_in(&shop, ["up", "b"]).ok();
    let first = instances(&home);
    assert_eq!(first.len(), 1);
    let status = home.dwell_in(&shop, ["status", "b", "--json"]).json();
    assert_eq!((role(&status, "db"), role(&status, "web")), ("shared", "isolated"));
    for environment in ["a", "b"] {
        assert_eq!(fetch(&home, &shop, environment, ""), "store");
    }
    docker(["exec", &first[0], "sh", "-c", "echo kept > /data/row"]).ok();
    assert_eq!(fetch(&home, &shop, "b", "row"), "kept", "traffic passes the relay");

    // Destroyed without `down`: the use ends with the environment, and its tree may go.
    home.dwell_in(&shop, ["destroy", "a", "--force"]).ok();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(instances(&home), first, "another environment uses it");
    home.dwell_in(&shop, ["down", "b"]).ok();
    wait_until(SOON, "the end of the idle instance", || instances(&home).is_empty());

    home.dwell_in(&shop, ["up", "b"]).ok();
    assert_eq!(fetch(&home, &shop, "b", "row"), "kept", "its data was found again");
    let read = docker(["exec", &instances(&home)[0], "cat", "/conf/setting"]);
    assert_eq!(read.ok(), "one", "its files outlive the environment that first started it");
    assert!(!home.data().join("shop/a").exists(), "nothing of a destroyed tree comes back");
    home.dwell_in(&shop, ["destroy", "--all", "--force"]).ok();
    wait_until(SOON, "the end of the idle instance", || instances(&home).is_empty());
    let filter = format!("label=dwell.node={}", home.node().unwrap());
    let networks = || docker(["network", "ls", "--quiet", "--filter", &filter]).stdout;
    wait_until(SOON, "the end of all networks", || networks().is_empty());
}

#[test]
fn the_whole_definition_is_kept_and_drift_is_told() {
    let home = home();
    let shop = store(&home);
    home.dwell_in(&shop, ["up", "a"]).ok();
    let inspected = docker(["inspect", &instances(&home)[0]]).json();
    let of = |path: &str| inspected[0].pointer(path).unwrap_or(&Value::Null).clone();
    assert_eq!(of("/Config/User"), "0:0");
    assert_eq!(of("/Config/WorkingDir"), "/data");
    assert_eq!(of("/Config/Entrypoint"), serde_json::json!(["sh", "-c"]));
    assert_eq!(of("/HostConfig/ShmSize"), 32 * 1024 * 1024);
    assert_eq!(of("/HostConfig/RestartPolicy/Name"), "on-failure");
    assert_eq!(of("/HostConfig/Init"), true);
    assert_eq!(of("/Config/Healthcheck/Test/0"), "CMD");
    assert!(of("/HostConfig/Tmpfs").get("/scratch").is_some());
    assert_eq!(of("/HostConfig/PortBindings"), serde_json::json!({}));
    let environment = of("/Config/Env").to_string();
    assert!(environment.contains("WHO=nobody") && environment.contains("FROM_FILE=yes"));

    home.dwell_in(&shop, ["create", "b"]).ok();
    let tree = home.dwell_in(&shop, ["path", "b"]).ok().to_owned();
    let file = Path::new(&tree).join("compose.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("shm_size: 32m", "shm_size: 48m")).unwrap();
    let before = instances(&home);
    let up = home.dwell_in(&shop, ["up", "b"]);
    up.ok();
    assert!(up.stderr.contains("db") && up.stderr.contains("differently"), "{up:?}");
    assert_eq!(instances(&home), before, "the instance that others use goes on");
}

#[test]
fn isolate_beats_shared_and_shared_beats_labels() {
    let home = home();
    let shop = store(&home);
    home.dwell_in(&shop, ["up", "label"]).ok();
    home.dwell_in(&shop, ["up", "flag", "--isolate", "db"]).ok();
    home.dwell_in(&shop, ["up", "both", "--shared", "db,web", "--isolate", "db,web"]).ok();
    let role_of = |name: &str, service: &str| {
        let status = home.dwell_in(&shop, ["status", name, "--json"]).json();
        role(&status, service).to_owned()
    };
    assert_eq!(role_of("label", "db"), "shared");
    assert_eq!(
        (role_of("flag", "db"), role_of("both", "db")),
        ("isolated".into(), "isolated".into())
    );
    assert_eq!(role_of("both", "web"), "isolated");
    // The choice stays with the environment, and can be taken back.
    home.dwell_in(&shop, ["up", "flag"]).ok();
    assert_eq!(role_of("flag", "db"), "isolated");
    home.dwell_in(&shop, ["up", "flag", "--shared", "db"]).ok();
    assert_eq!(role_of("flag", "db"), "shared");
    assert_eq!(instances(&home).len(), 1);
}

#[test]
fn two_first_users_at_once_get_one_instance() {
    let home = home();
    let shop = store(&home);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let (home, shop) = (&home, &shop);
            scope.spawn(move || home.dwell_in(shop, ["up", name]).ok().len());
        }
    });
    assert_eq!(instances(&home).len(), 1);
    for name in ["a", "b", "c"] {
        assert_eq!(fetch(&home, &shop, name, ""), "store");
    }
}

#[test]
fn jobs_and_dependent_services_may_be_shared() {
    let home = home();
    let text = "services:
  migrate:
    image: busybox
    init: true
    command: sh -c 'echo done > /data/state'
    volumes: ['data:/data']
  api:
    image: busybox
    init: true
    stop_grace_period: 1s
    command: sleep infinity
    depends_on: {migrate: {condition: service_completed_successfully}}
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    command: sleep infinity
    depends_on: [api]
volumes: {data: {}}
";
    let shop = home.project("jobs").compose(text);
    home.dwell_in(&shop, ["up", "a", "--shared", "migrate"]).ok();
    home.dwell_in(&shop, ["up", "b", "--shared", "migrate,api"]).ok();
    let status = home.dwell_in(&shop, ["status", "b", "--json"]).json();
    assert_eq!((role(&status, "api"), role(&status, "web")), ("shared", "isolated"));
    assert_eq!(status["status"], "running", "{status}");
    let again = home.dwell_in(&shop, ["up", "b", "--json"]).json();
    assert_eq!(again["changed"], false);
}
