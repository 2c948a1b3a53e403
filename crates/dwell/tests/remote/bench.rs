//! A home with hosts that it knows as nodes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dwell_testkit::{Host, HostPlan, Hosts, Project, TestHome, wait_until};
use serde_json::Value;

/// A laptop's home and the hosts around it.
pub(crate) struct Bench {
    // The home goes first: its daemon holds links to the hosts.
    pub(crate) home: TestHome,
    pub(crate) hosts: Hosts,
}

/// A service that does nothing.
pub(crate) const IDLE: &str = r#"
services:
  web: { image: "busybox:latest", command: ["sleep", "1000"], init: true, expose: ["8080"] }
"#;

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dwell"))
}

/// Where `dwell remote add` puts the binary for a user of a host.
pub(crate) fn place(user: &str) -> String {
    let home = if user == "root" { "/root".to_owned() } else { format!("/home/{user}") };
    format!("{home}/.local/share/dwell/bin/dwell")
}

impl Bench {
    /// Hosts by these plans, with the binary and registered by their names; `None` where hosts
    /// cannot be had.
    pub(crate) fn start(plans: impl IntoIterator<Item = HostPlan>) -> Option<Self> {
        let hosts = Hosts::start(plans)?;
        let home = TestHome::new(binary()).ssh_to(&hosts);
        for host in hosts.all() {
            host.install(binary(), &place("root"));
            register(&home, host.name(), "root");
        }
        Some(Self { home, hosts })
    }

    /// One host, `one`, whose engine has the image that these tests use.
    pub(crate) fn one() -> Option<Self> {
        Self::start([HostPlan::new("one").images(["busybox:latest"])])
    }

    /// Another laptop, on which all hosts are registered for this user of them.
    pub(crate) fn laptop(&self, user: &str) -> TestHome {
        let home = TestHome::new(binary()).ssh_to(&self.hosts);
        for host in self.hosts.all() {
            if !host.path(place(user)).exists() {
                host.install(binary(), &place(user));
                host.shell(&format!("chown -R {user}: /home/{user}/.local")).ok();
            }
            register(&home, host.name(), user);
        }
        home
    }

    /// The host `one`.
    pub(crate) fn host(&self) -> &Host {
        self.hosts.host("one")
    }

    /// Brings an image of this machine to a host's engine.
    pub(crate) fn load(&self, host: &str, image: &str) {
        self.hosts.host(host).load(image);
    }

    /// A project of one idle service, in git.
    pub(crate) fn idle(&self) -> Project {
        self.home.project("lab").compose(IDLE).git()
    }

    /// An environment as `dwell status` shows it in a project.
    pub(crate) fn status(&self, project: impl AsRef<Path>, name: &str) -> Value {
        self.home.dwell_in(project, ["status", name, "--json"]).json()
    }

    /// The names of all environments that `dwell ls` shows in a project.
    pub(crate) fn listed(&self, project: impl AsRef<Path>) -> Vec<String> {
        let list = self.home.dwell_in(project, ["ls", "--all", "--json"]).json();
        let names = list.as_array().into_iter().flatten();
        names.filter_map(|shown| Some(shown["name"].as_str()?.to_owned())).collect()
    }

    /// Where an environment's tree is on a host, as the test reaches it.
    pub(crate) fn tree(&self, host: &str, environment: &str) -> PathBuf {
        self.hosts.host(host).path("/root/.local/share/dwell").join(environment)
    }

    /// How the link to a node is, in a word.
    pub(crate) fn link(&self, node: &str) -> String {
        let shown = self.get(&format!("/v1/remotes/{node}"));
        shown["link"]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the link to a node is up, starting the daemon if it does not run.
    pub(crate) fn comes_back(&self, node: &str) {
        let limit = Duration::from_secs(30);
        self.home.dwell(["node", "start"]).ok();
        wait_until(limit, "the link is up", || self.link(node) == "up");
    }

    /// Asks the daemon.
    pub(crate) fn get(&self, path: &str) -> Value {
        call(&self.home, &["-X", "GET"], path)
    }

    /// Tells the daemon.
    pub(crate) fn post(&self, path: &str, body: &str) -> Value {
        post(&self.home, path, body)
    }
}

/// Nothing is left of anybody's environments on a host.
#[track_caller]
pub(crate) fn is_bare(host: &Host) {
    for (kind, list) in [
        ("containers", &["ps", "-aq"][..]),
        ("volumes", &["volume", "ls", "-q"]),
        ("networks", &["network", "ls", "-q", "--filter", "label=dwell.env"]),
    ] {
        assert_eq!(host.docker(list).ok(), "", "{kind} of {}", host.name());
    }
}

/// A service of an environment as `dwell status` shows it.
#[track_caller]
pub(crate) fn service<'a>(status: &'a Value, name: &str) -> &'a Value {
    let services = status["services"].as_array().expect("services are shown");
    let found = services.iter().find(|service| service["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not shown: {status}"))
}

fn register(home: &TestHome, host: &str, user: &str) {
    home.dwell(["node", "start"]).ok();
    let body = format!(r#"{{"name": "{host}", "host": "{host}", "user": "{user}"}}"#);
    post(home, "/v1/remotes", &body);
}

fn post(home: &TestHome, path: &str, body: &str) -> Value {
    let key = format!("idempotency-key: {path}-{:?}", Instant::now());
    call(
        home,
        &["-X", "POST", "-H", &key, "-H", "content-type: application/json", "-d", body],
        path,
    )
}

fn call(home: &TestHome, arguments: &[&str], path: &str) -> Value {
    let mut curl = home.command("curl");
    curl.args(["-sS", "--max-time", "60", "--unix-socket"]).arg(home.socket()).args(arguments);
    curl.arg(format!("http://node{path}"));
    let ran = dwell_testkit::run(&mut curl, Duration::from_secs(70));
    serde_json::from_str(ran.ok()).unwrap_or(Value::Null)
}
